"""gRPC in: what the caller does not want to hear."""

from collections.abc import Callable
from datetime import datetime

import grpc

from museed.social.v1 import blocklists_pb2, blocklists_pb2_grpc
from services.chassis.auth import require_viewer
from services.social.domain import paging
from services.social.domain.ids import UserId, is_id
from services.social.errors import Malformed, TrackNotFound
from services.social.errors.library import ArtistNotFound
from services.social.store import blocklists
from services.social.store.blocklists import Blocked, BlockedKind
from services.social.store.database import Database
from services.social.wire import timestamp

_DEFAULT_PAGE, _LARGEST_PAGE = 50, 500
_KINDS = {
    blocklists_pb2.BLOCKED_KIND_TRACK: BlockedKind.TRACK,
    blocklists_pb2.BLOCKED_KIND_ARTIST: BlockedKind.ARTIST,
}


class BlocklistServicer(blocklists_pb2_grpc.BlocklistServiceServicer):
    """Serves BlocklistService: everybody's list is their own.

    Args:
        database: The truth.
        clock: Time of day.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    async def BlockTrack(
        self,
        request: blocklists_pb2.BlockTrackRequest,
        context: grpc.aio.ServicerContext[blocklists_pb2.BlockTrackRequest, blocklists_pb2.BlockTrackResponse],
    ) -> blocklists_pb2.BlockTrackResponse:
        """Block a track."""
        if not is_id(request.track_id):
            raise TrackNotFound(request.track_id)
        await self._block(BlockedKind.TRACK, request.track_id)
        return blocklists_pb2.BlockTrackResponse()

    async def UnblockTrack(
        self,
        request: blocklists_pb2.UnblockTrackRequest,
        context: grpc.aio.ServicerContext[blocklists_pb2.UnblockTrackRequest, blocklists_pb2.UnblockTrackResponse],
    ) -> blocklists_pb2.UnblockTrackResponse:
        """Let a track be heard again."""
        if not is_id(request.track_id):
            raise TrackNotFound(request.track_id)
        await self._unblock(BlockedKind.TRACK, request.track_id)
        return blocklists_pb2.UnblockTrackResponse()

    async def BlockArtist(
        self,
        request: blocklists_pb2.BlockArtistRequest,
        context: grpc.aio.ServicerContext[blocklists_pb2.BlockArtistRequest, blocklists_pb2.BlockArtistResponse],
    ) -> blocklists_pb2.BlockArtistResponse:
        """Block all tracks of an artist."""
        if not is_id(request.artist_id):
            raise ArtistNotFound(request.artist_id)
        await self._block(BlockedKind.ARTIST, request.artist_id)
        return blocklists_pb2.BlockArtistResponse()

    async def UnblockArtist(
        self,
        request: blocklists_pb2.UnblockArtistRequest,
        context: grpc.aio.ServicerContext[blocklists_pb2.UnblockArtistRequest, blocklists_pb2.UnblockArtistResponse],
    ) -> blocklists_pb2.UnblockArtistResponse:
        """Let an artist be heard again."""
        if not is_id(request.artist_id):
            raise ArtistNotFound(request.artist_id)
        await self._unblock(BlockedKind.ARTIST, request.artist_id)
        return blocklists_pb2.UnblockArtistResponse()

    async def ListBlocked(
        self,
        request: blocklists_pb2.ListBlockedRequest,
        context: grpc.aio.ServicerContext[blocklists_pb2.ListBlockedRequest, blocklists_pb2.ListBlockedResponse],
    ) -> blocklists_pb2.ListBlockedResponse:
        """List what the caller blocks, newest first."""
        kind = _KINDS.get(request.kind)
        if kind is None:
            raise Malformed("kind", request.kind, "tracks or artists")
        size = paging.page_size(request.page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
        scope = f"ListBlocked {kind} {_caller()}"
        key = paging.decode_token(scope, request.page_token, [paging.is_time, is_id])
        after = None if key is None else Blocked(str(key[1]), datetime.fromisoformat(str(key[0])))
        async with self._database.connection() as connection:
            found = await blocklists.list_blocked(connection, _caller(), kind, after, size + 1)
        page = paging.cut(found, size, scope, lambda one: (one.at.isoformat(), one.blocked_id))
        return blocklists_pb2.ListBlockedResponse(
            blocked=[_message(kind, one) for one in page.items], next_page_token=page.next_token
        )

    async def _block(self, kind: BlockedKind, blocked_id: str) -> None:
        async with self._database.transaction() as connection:
            await blocklists.block(connection, _caller(), kind, blocked_id, self._clock())

    async def _unblock(self, kind: BlockedKind, blocked_id: str) -> None:
        async with self._database.transaction() as connection:
            await blocklists.unblock(connection, _caller(), kind, blocked_id)


def _caller() -> UserId:
    return UserId(require_viewer().user_id)


def _message(kind: BlockedKind, one: Blocked) -> blocklists_pb2.Blocked:
    at = timestamp(one.at)
    if kind is BlockedKind.TRACK:
        return blocklists_pb2.Blocked(track_id=one.blocked_id, blocked_at=at)
    return blocklists_pb2.Blocked(artist_id=one.blocked_id, blocked_at=at)
