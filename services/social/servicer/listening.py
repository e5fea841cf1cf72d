"""gRPC in: what people hear."""

from collections.abc import Callable
from datetime import UTC, datetime

import grpc

from museed.social.v1 import listening_pb2, listening_pb2_grpc
from services.chassis.auth import require_viewer
from services.social.actions.history import forget_all, forget_plays, record_plays
from services.social.domain import fields, paging
from services.social.domain.ids import PlaylistId, TrackId, UserId, is_id
from services.social.domain.listening import MOST_HEARD_SECONDS, MOST_PLAYS, HeardPlay, Play
from services.social.domain.ranges import ListeningRange, Share
from services.social.errors import Malformed, Missing
from services.social.errors.people import UserNotFound
from services.social.servicer import keys
from services.social.store import charts, listening
from services.social.store.database import Connection, Database
from services.social.wire import timestamp

_DEFAULT_PAGE, _LARGEST_PAGE = 50, 100
_DEFAULT_TOP, _LARGEST_TOP = 10, 50
_MOST_PEOPLE = 20
# The last second that protobuf can tell, 9999-12-31.
_LAST_SECOND = 253_402_300_799


class ListeningServicer(listening_pb2_grpc.ListeningServiceServicer):
    """Serves ListeningService. What somebody hears is open to themselves, and to others where they are listed."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    async def RecordPlays(
        self,
        request: listening_pb2.RecordPlaysRequest,
        context: grpc.aio.ServicerContext[listening_pb2.RecordPlaysRequest, listening_pb2.RecordPlaysResponse],
    ) -> listening_pb2.RecordPlaysResponse:
        """Record what the caller heard."""
        user_id = UserId(require_viewer().user_id)
        if not request.plays:
            raise Missing("plays")
        fields.count(len(request.plays), "plays", MOST_PLAYS)
        plays = [_play(play, f"plays[{number}]") for number, play in enumerate(request.plays)]
        outcomes = await record_plays(self._database, user_id, plays, self._clock())
        return listening_pb2.RecordPlaysResponse(
            outcomes=[listening_pb2.PlayOutcome.Value(f"PLAY_OUTCOME_{outcome.value}") for outcome in outcomes]
        )

    async def ListHistory(
        self,
        request: listening_pb2.ListHistoryRequest,
        context: grpc.aio.ServicerContext[listening_pb2.ListHistoryRequest, listening_pb2.ListHistoryResponse],
    ) -> listening_pb2.ListHistoryResponse:
        """List what the caller heard, newest first."""
        user_id = UserId(require_viewer().user_id)
        size = paging.page_size(request.page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
        scope = f"ListHistory {user_id}"
        key = paging.decode_token(scope, request.page_token, [paging.is_time, is_id])
        before = None if key is None else (datetime.fromisoformat(str(key[0])), str(key[1]))
        async with self._database.connection() as connection:
            found = await listening.history(connection, user_id, before, size + 1)
        page = paging.cut(found, size, scope, lambda one: (one.played_at.isoformat(), one.play_id))
        return listening_pb2.ListHistoryResponse(
            entries=[_entry(one) for one in page.items], next_page_token=page.next_token
        )

    async def DeleteHistory(
        self,
        request: listening_pb2.DeleteHistoryRequest,
        context: grpc.aio.ServicerContext[listening_pb2.DeleteHistoryRequest, listening_pb2.DeleteHistoryResponse],
    ) -> listening_pb2.DeleteHistoryResponse:
        """Forget what the caller heard."""
        user_id = UserId(require_viewer().user_id)
        fields.count(len(request.play_ids), "play_ids", MOST_PLAYS)
        if bool(request.play_ids) == request.all:
            raise Missing("play_ids")
        if request.all:
            await forget_all(self._database, user_id, self._clock())
        else:
            play_ids = [_id(one, f"play_ids[{number}]") for number, one in enumerate(request.play_ids)]
            await forget_plays(self._database, user_id, play_ids, self._clock())
        return listening_pb2.DeleteHistoryResponse()

    async def GetListening(
        self,
        request: listening_pb2.GetListeningRequest,
        context: grpc.aio.ServicerContext[listening_pb2.GetListeningRequest, listening_pb2.GetListeningResponse],
    ) -> listening_pb2.GetListeningResponse:
        """Say what a person listens to."""
        top_count, span = _top_count(request.top_count), _range(request.range)
        user_id, viewer_id = known_user(request.user_id), keys.viewer_id()
        async with self._database.connection() as connection:
            if not await charts.is_open(connection, user_id, viewer_id):
                raise UserNotFound(user_id)
        async with self._database.reading() if viewer_id != user_id else self._database.connection() as connection:
            return await self._listening(connection, user_id, viewer_id, span, top_count)

    async def BatchGetListening(
        self,
        request: listening_pb2.BatchGetListeningRequest,
        context: grpc.aio.ServicerContext[
            listening_pb2.BatchGetListeningRequest, listening_pb2.BatchGetListeningResponse
        ],
    ) -> listening_pb2.BatchGetListeningResponse:
        """Say what several people listen to."""
        top_count, span = _top_count(request.top_count), _range(request.range)
        fields.count(len(request.user_ids), "user_ids", _MOST_PEOPLE)
        viewer_id = keys.viewer_id()
        user_ids = sorted({UserId(one) for one in request.user_ids if is_id(one)})
        async with self._database.connection() as connection:
            are_open = await charts.are_open(connection, user_ids, viewer_id)
        users = []
        own = viewer_id in are_open
        async with self._database.connection() if own else self._database.reading() as connection:
            for user_id in (one for one, is_open in are_open.items() if is_open):
                found = await self._listening(connection, user_id, viewer_id, span, top_count)
                users.append(listening_pb2.ListeningOfUser(user_id=user_id, listening=found))
        return listening_pb2.BatchGetListeningResponse(users=users)

    async def _listening(
        self, connection: Connection, user_id: UserId, viewer_id: UserId | None, span: ListeningRange, top_count: int
    ) -> listening_pb2.GetListeningResponse:
        found = await charts.listening_of(connection, user_id, span, top_count, self._clock())
        made = await charts.genres_made(connection, user_id, is_own=viewer_id == user_id)
        return listening_pb2.GetListeningResponse(
            play_count=found.plays,
            heard_seconds=found.seconds,
            top_genre=found.genres[0].name if found.genres else "",
            listened=_shares(found.genres),
            made=_shares(made),
            top_tracks=[listening_pb2.TrackPlays(track_id=one.key, play_count=one.plays) for one in found.tracks],
            top_artists=[
                listening_pb2.ArtistPlays(artist_id=one.key, name=one.name, play_count=one.plays)
                for one in found.artists
            ],
        )


def known_user(given: str) -> UserId:
    """Read a person's id.

    Raises:
        Missing: It is empty.
        UserNotFound: It is nobody's.
    """
    if not given:
        raise Missing("user_id")
    if not is_id(given):
        raise UserNotFound(given)
    return UserId(given)


def _play(message: listening_pb2.Play, field: str) -> Play:
    heard = fields.number(message.heard_seconds, f"{field}.heard_seconds", 0.0, MOST_HEARD_SECONDS)
    if not message.HasField("played_at"):
        raise Missing(f"{field}.played_at")
    fields.integer(message.played_at.seconds, f"{field}.played_at", 0, _LAST_SECOND)
    fields.integer(message.played_at.nanos, f"{field}.played_at", 0, 999_999_999)
    return Play(
        _id(message.play_id, f"{field}.play_id"),
        TrackId(_id(message.track_id, f"{field}.track_id")),
        PlaylistId(_id(message.playlist_id, f"{field}.playlist_id")) if message.playlist_id else None,
        message.played_at.ToDatetime(tzinfo=UTC),
        heard,
    )


def _id(given: str, field: str) -> str:
    if not given:
        raise Missing(field)
    if not is_id(given):
        raise Malformed(field, given[:40], "a UUID")
    return given


def _top_count(given: int) -> int:
    return fields.integer(given, "top_count", 0, _LARGEST_TOP) or _DEFAULT_TOP


def _range(value: listening_pb2.ListeningRange.ValueType) -> ListeningRange:
    if value == listening_pb2.LISTENING_RANGE_UNSPECIFIED:
        return ListeningRange.ALL
    if value not in listening_pb2.ListeningRange.values():
        raise Malformed("range", value, "WEEK, MONTH, YEAR or ALL")
    return ListeningRange(listening_pb2.ListeningRange.Name(value).removeprefix("LISTENING_RANGE_"))


def _shares(found: list[Share]) -> list[listening_pb2.GenreShare]:
    return [listening_pb2.GenreShare(genre=one.name, count=one.count, share=one.share) for one in found]


def _entry(found: HeardPlay) -> listening_pb2.HistoryEntry:
    play = listening_pb2.Play(
        play_id=found.play_id,
        track_id=found.track_id,
        playlist_id=found.playlist_id or "",
        played_at=timestamp(found.played_at),
        heard_seconds=found.heard_seconds,
    )
    return listening_pb2.HistoryEntry(play=play, is_counted=found.is_counted)
