"""Somebody who makes, edits and likes playlists; and tracks to do that with."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from museed.social.v1 import (
    editing_pb2,
    editing_pb2_grpc,
    engagement_pb2,
    engagement_pb2_grpc,
    exchange_pb2_grpc,
    playlists_pb2,
)
from services.social.domain.ids import new_id
from tests.integration.social.client import TIMEOUT_S, Client, Person, registration
from tests.integration.social.conftest import Sql

PRIVATE = playlists_pb2.VISIBILITY_PRIVATE
UNLISTED = playlists_pb2.VISIBILITY_UNLISTED
PUBLIC = playlists_pb2.VISIBILITY_PUBLIC


@dataclass
class Hands:
    """The calls of one person; None is a guest."""

    client: Client
    person: Person | None

    @property
    def metadata(self) -> tuple[tuple[str, str], ...] | None:
        return None if self.person is None else self.person.metadata

    @property
    def user_id(self) -> str:
        assert self.person is not None
        return self.person.user_id

    @property
    def editing(self) -> "editing_pb2_grpc.EditingServiceAsyncStub":
        return editing_pb2_grpc.EditingServiceStub(self.client.channel)

    @property
    def engagement(self) -> "engagement_pb2_grpc.EngagementServiceAsyncStub":
        return engagement_pb2_grpc.EngagementServiceStub(self.client.channel)

    @property
    def exchange(self) -> "exchange_pb2_grpc.ExchangeServiceAsyncStub":
        return exchange_pb2_grpc.ExchangeServiceStub(self.client.channel)

    async def create(
        self,
        tracks: Sequence[str] = (),
        title: str = "By hand",
        visibility: playlists_pb2.Visibility.ValueType = PRIVATE,
        key: str = "",
    ) -> editing_pb2.CreatePlaylistResponse:
        request = editing_pb2.CreatePlaylistRequest(
            idempotency_key=key or new_id(), title=title, visibility=visibility, track_ids=tracks
        )
        return await self.editing.CreatePlaylist(request, timeout=TIMEOUT_S, metadata=self.metadata)

    async def get(self, playlist_id: str) -> playlists_pb2.GetPlaylistResponse:
        return await self.client.playlist(self.person, playlist_id)

    async def update(self, playlist_id: str, version: int, **changes: object) -> playlists_pb2.Playlist:
        request = playlists_pb2.UpdatePlaylistRequest(
            playlist_id=playlist_id,
            version=version,
            **changes,  # type: ignore[arg-type]  # any field
        )
        stub = self.client.playlists
        return (await stub.UpdatePlaylist(request, timeout=TIMEOUT_S, metadata=self.metadata)).playlist

    async def show(self, playlist_id: str, visibility: playlists_pb2.Visibility.ValueType) -> playlists_pb2.Playlist:
        version = (await self.get(playlist_id)).playlist.version
        return await self.update(playlist_id, version, visibility=visibility)

    async def delete(self, playlist_id: str) -> None:
        request = playlists_pb2.DeletePlaylistRequest(playlist_id=playlist_id)
        await self.client.playlists.DeletePlaylist(request, timeout=TIMEOUT_S, metadata=self.metadata)

    async def add(
        self, playlist_id: str, tracks: Sequence[str], position: int | None = None, key: str = ""
    ) -> editing_pb2.AddEntriesResponse:
        request = editing_pb2.AddEntriesRequest(
            idempotency_key=key or new_id(), playlist_id=playlist_id, track_ids=tracks, position=position
        )
        return await self.editing.AddEntries(request, timeout=TIMEOUT_S, metadata=self.metadata)

    async def remove(self, playlist_id: str, entries: Sequence[str]) -> playlists_pb2.Playlist:
        request = editing_pb2.RemoveEntriesRequest(playlist_id=playlist_id, entry_ids=entries)
        return (await self.editing.RemoveEntries(request, timeout=TIMEOUT_S, metadata=self.metadata)).playlist

    async def move(self, playlist_id: str, entry_id: str, position: int) -> editing_pb2.MoveEntryResponse:
        request = editing_pb2.MoveEntryRequest(playlist_id=playlist_id, entry_id=entry_id, position=position)
        return await self.editing.MoveEntry(request, timeout=TIMEOUT_S, metadata=self.metadata)

    async def reorder(self, playlist_id: str, version: int, entries: Sequence[str]) -> playlists_pb2.Playlist:
        request = editing_pb2.ReorderEntriesRequest(playlist_id=playlist_id, version=version, entry_ids=entries)
        return (await self.editing.ReorderEntries(request, timeout=TIMEOUT_S, metadata=self.metadata)).playlist

    async def reorder_by_tracks(self, playlist_id: str, version: int, tracks: Sequence[str]) -> playlists_pb2.Playlist:
        request = editing_pb2.ReorderByTracksRequest(playlist_id=playlist_id, version=version, track_ids=tracks)
        return (await self.editing.ReorderByTracks(request, timeout=TIMEOUT_S, metadata=self.metadata)).playlist

    async def copy(self, playlist_id: str, title: str = "", key: str = "") -> playlists_pb2.Playlist:
        request = editing_pb2.CopyPlaylistRequest(idempotency_key=key or new_id(), playlist_id=playlist_id, title=title)
        return (await self.editing.CopyPlaylist(request, timeout=TIMEOUT_S, metadata=self.metadata)).playlist

    async def batch(self, playlist_ids: Sequence[str]) -> dict[str, playlists_pb2.Playlist]:
        request = editing_pb2.BatchGetPlaylistsRequest(playlist_ids=playlist_ids)
        answer = await self.editing.BatchGetPlaylists(request, timeout=TIMEOUT_S, metadata=self.metadata)
        return {one.playlist_id: one for one in answer.playlists}

    async def by_slug(self, slug: str) -> editing_pb2.GetPlaylistBySlugResponse:
        request = editing_pb2.GetPlaylistBySlugRequest(share_slug=slug)
        return await self.editing.GetPlaylistBySlug(request, timeout=TIMEOUT_S, metadata=self.metadata)

    async def rotate(self, playlist_id: str) -> playlists_pb2.Playlist:
        request = editing_pb2.RotateShareSlugRequest(playlist_id=playlist_id)
        return (await self.editing.RotateShareSlug(request, timeout=TIMEOUT_S, metadata=self.metadata)).playlist

    async def like(self, playlist_id: str) -> playlists_pb2.Playlist:
        request = engagement_pb2.LikePlaylistRequest(playlist_id=playlist_id)
        return (await self.engagement.LikePlaylist(request, timeout=TIMEOUT_S, metadata=self.metadata)).playlist

    async def unlike(self, playlist_id: str) -> playlists_pb2.Playlist:
        request = engagement_pb2.UnlikePlaylistRequest(playlist_id=playlist_id)
        return (await self.engagement.UnlikePlaylist(request, timeout=TIMEOUT_S, metadata=self.metadata)).playlist

    async def comment(self, playlist_id: str, text: str, key: str = "") -> engagement_pb2.Comment:
        request = engagement_pb2.AddCommentRequest(idempotency_key=key or new_id(), playlist_id=playlist_id, text=text)
        return (await self.engagement.AddComment(request, timeout=TIMEOUT_S, metadata=self.metadata)).comment

    async def edit_comment(self, comment_id: str, text: str) -> engagement_pb2.Comment:
        request = engagement_pb2.EditCommentRequest(comment_id=comment_id, text=text)
        return (await self.engagement.EditComment(request, timeout=TIMEOUT_S, metadata=self.metadata)).comment

    async def delete_comment(self, comment_id: str) -> None:
        request = engagement_pb2.DeleteCommentRequest(comment_id=comment_id)
        await self.engagement.DeleteComment(request, timeout=TIMEOUT_S, metadata=self.metadata)

    async def comments(self, playlist_id: str, size: int = 0, token: str = "") -> engagement_pb2.ListCommentsResponse:
        request = engagement_pb2.ListCommentsRequest(playlist_id=playlist_id, page_size=size, page_token=token)
        return await self.engagement.ListComments(request, timeout=TIMEOUT_S, metadata=self.metadata)

    async def likers(self, playlist_id: str, size: int = 0, token: str = "") -> engagement_pb2.ListLikersResponse:
        request = engagement_pb2.ListLikersRequest(playlist_id=playlist_id, page_size=size, page_token=token)
        return await self.engagement.ListLikers(request, timeout=TIMEOUT_S, metadata=self.metadata)


async def block(sql: Sql, blocker: Hands, blocked: Hands) -> None:
    await sql.execute(
        "INSERT INTO user_blocks (blocker_id, blocked_id, at) VALUES ($1, $2, now())", blocker.user_id, blocked.user_id
    )


async def is_waiting(sql: Sql, statement: str) -> bool:
    """Say whether a statement with these words waits for a lock in this database."""
    await sql.execute("SELECT pg_stat_clear_snapshot()")  # else a transaction sees the same all the time
    return bool(
        await sql.fetchval(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND pid <> pg_backend_pid() AND position($1 IN query) > 0)",
            statement,
        )
    )


async def register_tracks(social: Client, count: int = 6) -> list[str]:
    """Register tracks by a new admin, the first person of the mesh; track n lasts 60 + n seconds."""
    admin = await social.sign_up("admin")
    root_id = await social.register_root(admin)
    files = [registration(f"Track {number}", duration_seconds=60.0 + number) for number in range(count)]
    return [track.track_id for track in await social.register(admin, root_id, files)]


@pytest.fixture
async def tracks(social: Client) -> list[str]:
    """Six tracks of the library."""
    return await register_tracks(social)
