"""What happens to playlists; what people do is keyed by who does it."""

from datetime import datetime

from google.protobuf.message import Message

from museed.social.v1 import events_pb2, feed_pb2, people_events_pb2
from services.social.domain.ids import PlaylistId, UserId, new_id
from services.social.events.event import Event
from services.social.wire import timestamp


def playlist_created(playlist_id: PlaylistId, user_id: UserId, now: datetime) -> Event:
    """Tell that somebody has a new playlist."""
    message = events_pb2.PlaylistCreated(playlist_id=playlist_id, user_id=user_id, created_at=timestamp(now))
    return Event(new_id(), playlist_id, "museed.social.v1.playlist_created", message.SerializeToString())


def playlist_changed(playlist_id: PlaylistId, user_id: UserId, version: int, now: datetime) -> Event:
    """Tell that somebody changed a playlist of theirs."""
    message = people_events_pb2.PlaylistChanged(
        playlist_id=playlist_id, user_id=user_id, version=version, changed_at=timestamp(now)
    )
    return _by(user_id, "playlist_changed", message)


def playlist_deleted(playlist_id: PlaylistId, user_id: UserId, now: datetime) -> Event:
    """Tell that somebody deleted a playlist of theirs."""
    message = people_events_pb2.PlaylistDeleted(playlist_id=playlist_id, user_id=user_id, deleted_at=timestamp(now))
    return _by(user_id, "playlist_deleted", message)


def playlist_liked(playlist_id: PlaylistId, user_id: UserId, now: datetime, activity_id: str | None) -> Event:
    """Tell that somebody likes a playlist, and with it what feeds tell of that."""
    message = people_events_pb2.PlaylistLiked(
        playlist_id=playlist_id, user_id=user_id, liked_at=timestamp(now), activity_id=activity_id or ""
    )
    return _by(user_id, "playlist_liked", message)


def playlist_unliked(playlist_id: PlaylistId, user_id: UserId, now: datetime) -> Event:
    """Tell that somebody took a like back."""
    message = people_events_pb2.PlaylistUnliked(playlist_id=playlist_id, user_id=user_id, unliked_at=timestamp(now))
    return _by(user_id, "playlist_unliked", message)


def playlist_saved(
    playlist_id: PlaylistId, user_id: UserId, copy_id: PlaylistId, now: datetime, activity_id: str | None
) -> Event:
    """Tell that somebody has a copy of a playlist, and with it what feeds tell of that."""
    message = people_events_pb2.PlaylistSaved(
        playlist_id=playlist_id,
        user_id=user_id,
        copy_id=copy_id,
        saved_at=timestamp(now),
        activity_id=activity_id or "",
    )
    return _by(user_id, "playlist_saved", message)


def playlist_shown(activity_id: str, playlist_id: PlaylistId, user_id: UserId, now: datetime) -> Event:
    """Tell what feeds tell of a playlist that became public; each by itself, since feeds have no order among people."""
    activity = feed_pb2.Activity(
        activity_id=activity_id,
        kind=feed_pb2.ACTIVITY_KIND_CREATED,
        actor_id=user_id,
        playlist_id=playlist_id,
        at=timestamp(now),
    )
    message = people_events_pb2.ActivityRecorded(activity=activity)
    return Event(new_id(), activity_id, "museed.social.v1.activity_recorded", message.SerializeToString())


def _by(user_id: UserId, name: str, message: Message) -> Event:
    return Event(new_id(), user_id, f"museed.social.v1.{name}", message.SerializeToString())
