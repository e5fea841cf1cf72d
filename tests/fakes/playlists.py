"""The batches of playlists, from those that a test put into the fake."""

from typing import Any

from museed.social.v1 import editing_pb2, playlists_pb2
from services.chassis import auth
from services.chassis.errors import NotFound


class FakePlaylists:
    """Part of `FakeSocial`."""

    playlists: dict[str, playlists_pb2.GetPlaylistResponse]

    async def note(self, name: str, request: Any) -> None:
        """Count the call."""
        raise NotImplementedError

    def _open(self, playlist_ids: Any) -> list[playlists_pb2.GetPlaylistResponse]:
        """Those that the caller may open, in another order than asked for, as the contract allows."""
        who = auth.viewer()
        found = [self.playlists[one] for one in sorted(set(playlist_ids)) if one in self.playlists]
        return [
            one
            for one in found
            if one.playlist.visibility != playlists_pb2.VISIBILITY_PRIVATE
            or (who is not None and who.user_id == one.playlist.owner_id)
        ]

    async def BatchGetPlaylists(
        self, request: editing_pb2.BatchGetPlaylistsRequest, context: object
    ) -> editing_pb2.BatchGetPlaylistsResponse:
        await self.note("BatchGetPlaylists", request)
        found = [one.playlist for one in self._open(request.playlist_ids)]
        return editing_pb2.BatchGetPlaylistsResponse(playlists=found)

    async def BatchListEntries(
        self, request: editing_pb2.BatchListEntriesRequest, context: object
    ) -> editing_pb2.BatchListEntriesResponse:
        await self.note("BatchListEntries", request)
        end = request.offset + request.page_size
        return editing_pb2.BatchListEntriesResponse(
            playlists=[
                editing_pb2.EntriesOfPlaylist(
                    playlist_id=one.playlist.playlist_id,
                    entries=one.entries[request.offset : end],
                    has_more=end < len(one.entries),
                )
                for one in self._open(request.playlist_ids)
            ]
        )

    async def GetPlaylistBySlug(
        self, request: editing_pb2.GetPlaylistBySlugRequest, context: object
    ) -> editing_pb2.GetPlaylistBySlugResponse:
        await self.note("GetPlaylistBySlug", request)
        for one in self.playlists.values():
            is_open = one.playlist.visibility != playlists_pb2.VISIBILITY_PRIVATE
            if is_open and one.playlist.share_slug == request.share_slug:
                return editing_pb2.GetPlaylistBySlugResponse(playlist=one.playlist, entries=one.entries)
        raise NotFound(
            "there is no such playlist", reason="PLAYLIST_NOT_FOUND", field="share_slug", value=request.share_slug
        )
