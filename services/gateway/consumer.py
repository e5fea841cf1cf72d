"""NATS in: one reader of each stream for the whole process, which tells the hub what came."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC
from typing import Protocol

import nats.errors
import nats.js.errors
from google.protobuf.message import DecodeError, Message

from museed.social.v1 import events_pb2, feed_pb2, people_events_pb2
from services.chassis.bus import PEOPLE_EVENTS, SOCIAL_EVENTS, Bus, LogEntry, LogPosition, read_log
from services.chassis.telemetry import tracing
from services.chassis.tokens import Revocations
from services.gateway.live.cursors import Place
from services.gateway.live.hub import MOST_KEPT
from services.gateway.live.live import Live
from services.gateway.live.topics import activity_item, notification_item

logger = logging.getLogger(__name__)

_PREFIX = "museed.social.v1."
_RETRY_DELAY_S = 0.5

Tell = Callable[[LogEntry], None]


class _Telling(Protocol):
    """An event of something that feeds tell as well."""

    @property
    def activity_id(self) -> str:
        """Of its row; empty where feeds told it before."""


class Streams:
    """Reads what social tells, from a little before the process began, and without a gap when NATS was away.

    Args:
        live: Who is told.
        revocations: Learns which sessions ended before it asks itself.
    """

    def __init__(self, live: Live, revocations: Revocations) -> None:
        self._live = live
        self._hub = live.hub
        self._revocations = revocations
        people = people_events_pb2
        self._tells: dict[str, Tell] = {
            "job_progressed": self._job_progressed,
            "session_revoked": self._session_revoked,
            "playlist_changed": self._playlist(people.PlaylistChanged, "EDITED"),
            "playlist_deleted": self._playlist(people.PlaylistDeleted, "GONE"),
            "playlist_liked": self._playlist_liked,
            "playlist_unliked": self._playlist(people.PlaylistUnliked, "LIKES"),
            "playlist_saved": self._playlist_saved,
            "comment_added": self._comment_added,
            "comment_changed": self._playlist(people.CommentChanged, "COMMENTS"),
            "comment_removed": self._playlist(people.CommentRemoved, "COMMENTS"),
            "activity_recorded": self._activity_recorded,
            "notification_added": self._notification_added,
            "user_followed": self._user_followed,
            "user_unfollowed": self._user_unfollowed,
        }

    async def run(self, bus: Bus) -> None:
        """Read for ever; a lost server is waited for."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read(bus, SOCIAL_EVENTS, 0, is_kept=False))
            tasks.create_task(self._read(bus, PEOPLE_EVENTS, MOST_KEPT, is_kept=True))

    async def _read(self, bus: Bus, stream: str, messages_back: int, *, is_kept: bool) -> None:
        """Read a stream; the hub's place is the one in that whose items are kept."""
        is_first = True
        was_caught_up = False
        async for batch in read_log(bus, stream, f"{_PREFIX}*", await _start(bus, stream, messages_back)):
            self._hub.hear(stream)
            epoch = round(batch.position.created_at.timestamp() * 1_000_000)
            if is_kept and (is_first or batch.is_reset):
                self._hub.begin(Place(epoch, batch.position.sequence))
            is_first = False
            for entry in batch.entries:
                with entry.span(stream) if was_caught_up else tracing.NOTHING:
                    self.tell(entry)
            was_caught_up = batch.is_caught_up
            if is_kept:
                self._hub.reach(Place(epoch, batch.position.sequence), is_caught_up=batch.is_caught_up)

    def tell(self, entry: LogEntry) -> None:
        """Tell the hub of a message, where it is one of those that somebody follows."""
        tell = self._tells.get(entry.subject.removeprefix(_PREFIX))
        if tell is None:
            return
        try:
            tell(entry)
        except (DecodeError, ValueError):  # the border of this process: what cannot be read is nobody's
            logger.exception("event_unreadable", extra={"subject": entry.subject, "sequence": entry.sequence})

    def _job_progressed(self, entry: LogEntry) -> None:
        self._hub.bells.ring(f"job/{events_pb2.JobProgressed.FromString(entry.payload).job_id}")

    def _session_revoked(self, entry: LogEntry) -> None:
        session_id = events_pb2.SessionRevoked.FromString(entry.payload).session_id
        self._revocations.hear_of(session_id)
        self._live.sockets.end_session(session_id)

    def _playlist(self, kind: type[Message], reason: str) -> Tell:
        def ring(entry: LogEntry) -> None:
            playlist_id: str = kind.FromString(entry.payload).playlist_id  # type: ignore[attr-defined]  # all have it
            self._hub.bells.ring(f"playlist/{playlist_id}", reason)

        return ring

    def _playlist_liked(self, entry: LogEntry) -> None:
        event = people_events_pb2.PlaylistLiked.FromString(entry.payload)
        self._hub.bells.ring(f"playlist/{event.playlist_id}", "LIKES")
        liked = feed_pb2.Activity(kind=feed_pb2.ACTIVITY_KIND_LIKED, playlist_id=event.playlist_id, at=event.liked_at)
        self._tell_feeds(entry, event, event.user_id, liked)

    def _playlist_saved(self, entry: LogEntry) -> None:
        event = people_events_pb2.PlaylistSaved.FromString(entry.payload)
        self._hub.bells.ring(f"playlist/{event.playlist_id}", "SAVES")
        saved = feed_pb2.Activity(kind=feed_pb2.ACTIVITY_KIND_SAVED, playlist_id=event.playlist_id, at=event.saved_at)
        self._tell_feeds(entry, event, event.user_id, saved)

    def _comment_added(self, entry: LogEntry) -> None:
        event = people_events_pb2.CommentAdded.FromString(entry.payload)
        self._hub.bells.ring(f"playlist/{event.playlist_id}", "COMMENTS")
        commented = feed_pb2.Activity(
            kind=feed_pb2.ACTIVITY_KIND_COMMENTED,
            playlist_id=event.playlist_id,
            comment_id=event.comment_id,
            at=event.added_at,
        )
        self._tell_feeds(entry, event, event.user_id, commented)

    def _tell_feeds(self, entry: LogEntry, event: _Telling, actor_id: str, activity: feed_pb2.Activity) -> None:
        """Give on what somebody did, as its row has it, unless feeds told it before."""
        if event.activity_id:
            activity.activity_id, activity.actor_id = event.activity_id, actor_id
            self._hub.put(activity_item(activity, entry.sequence))

    def _activity_recorded(self, entry: LogEntry) -> None:
        event = people_events_pb2.ActivityRecorded.FromString(entry.payload)
        self._hub.put(activity_item(event.activity, entry.sequence))

    def _notification_added(self, entry: LogEntry) -> None:
        event = people_events_pb2.NotificationAdded.FromString(entry.payload)
        self._hub.put(notification_item(event.notification, event.user_id, entry.sequence))

    def _user_followed(self, entry: LogEntry) -> None:
        event = people_events_pb2.UserFollowed.FromString(entry.payload)
        self._hub.begin_to_follow(event.follower_id, event.followee_id, event.followed_at.ToDatetime(tzinfo=UTC))
        followed = feed_pb2.Activity(
            kind=feed_pb2.ACTIVITY_KIND_FOLLOWED, user_id=event.followee_id, at=event.followed_at
        )
        self._tell_feeds(entry, event, event.follower_id, followed)

    def _user_unfollowed(self, entry: LogEntry) -> None:
        event = people_events_pb2.UserUnfollowed.FromString(entry.payload)
        self._hub.end_to_follow(event.follower_id, event.followee_id)


async def _start(bus: Bus, stream: str, messages_back: int) -> LogPosition | None:
    """Return the position so many messages before the end of a stream; None, its beginning, where there is none yet."""
    while True:
        try:
            info = await bus.jetstream.stream_info(stream)
        except nats.js.errors.NotFoundError:
            return None
        except (nats.errors.Error, TimeoutError):
            await asyncio.sleep(_RETRY_DELAY_S)
            continue
        if info.created is None:
            raise TypeError("stream info without creation time")
        first = max(info.state.first_seq - 1, info.state.last_seq - messages_back, 0)
        return LogPosition(info.created, first)
