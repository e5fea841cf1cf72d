"""gRPC in: playlists that people keep."""

from collections.abc import Callable
from datetime import datetime

import grpc

from museed.social.v1 import playlists_pb2, playlists_pb2_grpc
from services.chassis.auth import require_viewer
from services.social.domain import paging
from services.social.domain.ids import PlaylistId, UserId, is_id
from services.social.domain.playlists import check_edit, edited
from services.social.errors import PlaylistNotFound
from services.social.events.playlists import playlist_changed, playlist_deleted
from services.social.servicer.playlist_messages import (
    is_admin,
    person,
    playlist_id_of,
    shown,
    to_entry,
    to_playlist,
    to_visibility,
)
from services.social.store import accounts, activities, engagement, outbox, playlists
from services.social.store.database import Database

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
        viewer_id, playlist_id = person(), playlist_id_of(request.playlist_id)
        async with self._database.snapshot() as connection:
            found = await playlists.open_for(connection, playlist_id, viewer_id, is_admin=is_admin())
            entries = await playlists.entries_of(connection, playlist_id)
            liked = await engagement.liked_among(connection, viewer_id, [playlist_id])
        return playlists_pb2.GetPlaylistResponse(
            playlist=to_playlist(found, viewer_id, playlist_id in liked), entries=[to_entry(one) for one in entries]
        )

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
            liked = await engagement.liked_among(connection, user_id, [one.playlist_id for one in found])
        page = paging.cut(found, size, scope, lambda one: (one.playlist_id,))
        return playlists_pb2.ListMyPlaylistsResponse(
            playlists=[to_playlist(one, user_id, one.playlist_id in liked) for one in page.items],
            next_page_token=page.next_token,
        )

    async def UpdatePlaylist(
        self,
        request: playlists_pb2.UpdatePlaylistRequest,
        context: grpc.aio.ServicerContext[playlists_pb2.UpdatePlaylistRequest, playlists_pb2.UpdatePlaylistResponse],
    ) -> playlists_pb2.UpdatePlaylistResponse:
        """Edit a playlist of the caller's own, unless somebody edited it in between."""
        user_id = UserId(require_viewer().user_id)
        playlist_id = playlist_id_of(request.playlist_id)
        edit = check_edit(
            request.version,
            request.title if request.HasField("title") else None,
            request.description if request.HasField("description") else None,
            to_visibility(request.visibility),
        )
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, user_id)
            found = await playlists.lock_own(connection, playlist_id, user_id)
            changed = edited(found, edit, self._clock())
            if changed is not found:
                if found.visibility is not changed.visibility:
                    await activities.record_shown(
                        connection, user_id, playlist_id, changed.visibility, changed.updated_at
                    )
                await playlists.update_playlist(connection, changed)
                told = playlist_changed(playlist_id, user_id, changed.version, changed.updated_at)
                await outbox.add(connection, told)
            # When it became public is the database's to say.
            answer = await shown(connection, playlist_id, user_id)
        return playlists_pb2.UpdatePlaylistResponse(playlist=answer)

    async def DeletePlaylist(
        self,
        request: playlists_pb2.DeletePlaylistRequest,
        context: grpc.aio.ServicerContext[playlists_pb2.DeletePlaylistRequest, playlists_pb2.DeletePlaylistResponse],
    ) -> playlists_pb2.DeletePlaylistResponse:
        """Delete a playlist of the caller's own."""
        user_id, playlist_id = UserId(require_viewer().user_id), playlist_id_of(request.playlist_id)
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, user_id)
            if not await playlists.delete_playlist(connection, playlist_id, user_id):
                raise PlaylistNotFound(playlist_id)
            await outbox.add(connection, playlist_deleted(playlist_id, user_id, self._clock()))
        return playlists_pb2.DeletePlaylistResponse()
