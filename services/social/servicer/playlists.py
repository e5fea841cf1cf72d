"""gRPC in: playlists that people keep."""

from collections.abc import Callable
from datetime import datetime

import grpc

from museed.social.v1 import playlists_pb2, playlists_pb2_grpc
from services.chassis.auth import TokenKind, require_viewer, viewer
from services.social import paging
from services.social.errors import Malformed, PlaylistNotFound
from services.social.ids import PlaylistId, UserId, is_id
from services.social.playlists import Entry, Playlist, Visibility, check_edit, edited
from services.social.store import playlists
from services.social.store.database import Database
from services.social.wire import timestamp

_DEFAULT_PAGE, _LARGEST_PAGE = 20, 100


class PlaylistServicer(playlists_pb2_grpc.PlaylistServiceServicer):
    """Serves PlaylistService. A playlist that is not for the caller is as good as none."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    async def GetPlaylist(
        self,
        request: playlists_pb2.GetPlaylistRequest,
        context: grpc.aio.ServicerContext[playlists_pb2.GetPlaylistRequest, playlists_pb2.GetPlaylistResponse],
    ) -> playlists_pb2.GetPlaylistResponse:
        """Return a playlist with its entries."""
        who = viewer()
        # A job token speaks for one job, and not for what its owner may see.
        user_id = UserId(who.user_id) if who is not None and who.kind is TokenKind.ACCESS else None
        playlist_id = _playlist_id(request.playlist_id)
        async with self._database.connection() as connection:
            found = await playlists.find_playlist(connection, playlist_id)
            if found is None or not found.is_open_to(user_id):
                raise PlaylistNotFound(playlist_id)
            entries = await playlists.entries_of(connection, playlist_id)
        return playlists_pb2.GetPlaylistResponse(playlist=_playlist(found), entries=[_entry(one) for one in entries])

    async def ListMyPlaylists(
        self,
        request: playlists_pb2.ListMyPlaylistsRequest,
        context: grpc.aio.ServicerContext[playlists_pb2.ListMyPlaylistsRequest, playlists_pb2.ListMyPlaylistsResponse],
    ) -> playlists_pb2.ListMyPlaylistsResponse:
        """List the caller's own playlists, newest first."""
        user_id = UserId(require_viewer().user_id)
        size = paging.page_size(request.page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
        scope = f"ListMyPlaylists {user_id}"
        key = paging.decode_token(scope, request.page_token, [is_id])
        before = None if key is None else PlaylistId(str(key[0]))
        async with self._database.connection() as connection:
            found = await playlists.own_playlists(connection, user_id, before, size + 1)
        page = paging.cut(found, size, scope, lambda one: (one.playlist_id,))
        return playlists_pb2.ListMyPlaylistsResponse(
            playlists=[_playlist(one) for one in page.items], next_page_token=page.next_token
        )

    async def UpdatePlaylist(
        self,
        request: playlists_pb2.UpdatePlaylistRequest,
        context: grpc.aio.ServicerContext[playlists_pb2.UpdatePlaylistRequest, playlists_pb2.UpdatePlaylistResponse],
    ) -> playlists_pb2.UpdatePlaylistResponse:
        """Edit a playlist of the caller's own, unless somebody edited it in between."""
        user_id = UserId(require_viewer().user_id)
        playlist_id = _playlist_id(request.playlist_id)
        edit = check_edit(
            request.version,
            request.title if request.HasField("title") else None,
            request.description if request.HasField("description") else None,
            to_visibility(request.visibility),
        )
        async with self._database.transaction() as connection:
            found = await playlists.lock_playlist(connection, playlist_id)
            if found is None or found.owner_id != user_id:
                raise PlaylistNotFound(playlist_id)
            changed = edited(found, edit, self._clock())
            await playlists.update_playlist(connection, changed)
        return playlists_pb2.UpdatePlaylistResponse(playlist=_playlist(changed))

    async def DeletePlaylist(
        self,
        request: playlists_pb2.DeletePlaylistRequest,
        context: grpc.aio.ServicerContext[playlists_pb2.DeletePlaylistRequest, playlists_pb2.DeletePlaylistResponse],
    ) -> playlists_pb2.DeletePlaylistResponse:
        """Delete a playlist of the caller's own."""
        user_id, playlist_id = UserId(require_viewer().user_id), _playlist_id(request.playlist_id)
        async with self._database.transaction() as connection:
            if not await playlists.delete_playlist(connection, playlist_id, user_id):
                raise PlaylistNotFound(playlist_id)
        return playlists_pb2.DeletePlaylistResponse()


def to_visibility(value: playlists_pb2.Visibility.ValueType) -> Visibility | None:
    """Read who may open a playlist; None where it is left open.

    Raises:
        Malformed: A number that means nothing.
    """
    if value == playlists_pb2.VISIBILITY_UNSPECIFIED:
        return None
    if value not in playlists_pb2.Visibility.values():
        raise Malformed("visibility", value, "PRIVATE, UNLISTED or PUBLIC")
    return Visibility(playlists_pb2.Visibility.Name(value).removeprefix("VISIBILITY_"))


def _playlist_id(given: str) -> PlaylistId:
    if not is_id(given):
        raise PlaylistNotFound(given)
    return PlaylistId(given)


def _playlist(found: Playlist) -> playlists_pb2.Playlist:
    return playlists_pb2.Playlist(
        playlist_id=found.playlist_id,
        owner_id=found.owner_id,
        title=found.title,
        description=found.description,
        visibility=playlists_pb2.Visibility.Value(f"VISIBILITY_{found.visibility.value}"),
        entry_count=found.entry_count,
        duration_seconds=found.duration_seconds,
        encoder_id=found.encoder_id,
        version=found.version,
        created_at=timestamp(found.created_at),
        updated_at=timestamp(found.updated_at),
    )


def _entry(found: Entry) -> playlists_pb2.PlaylistEntry:
    return playlists_pb2.PlaylistEntry(
        entry_id=found.entry_id,
        track_id=found.track_id,
        position=found.position,
        is_seed=found.is_seed,
        similarity=found.similarity,
        shared_tags=found.shared_tags,
    )
