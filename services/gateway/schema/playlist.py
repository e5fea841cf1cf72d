"""Playlists: one with its entries, one's own, changing and deleting."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Annotated, ClassVar, Self

import strawberry
from strawberry import field, relay

from museed.social.v1 import playlists_pb2
from services.gateway.context import Info, RequestContext
from services.gateway.ids import decode_id
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import AnyId, member, mutation, resolver
from services.gateway.schema.paging import (
    MAX_PAGE_SIZE,
    After,
    Connection,
    First,
    connection_from_list,
    connection_from_page,
    page_request,
)
from services.gateway.schema.track import Track, load_track
from services.gateway.schema.user import User
from services.gateway.schema.values import round_single, to_datetime


@strawberry.enum(description="Who may open a playlist.")
class Visibility(Enum):
    """Social's values."""

    PRIVATE = member(playlists_pb2.VISIBILITY_PRIVATE, "Its owner.")
    UNLISTED = member(playlists_pb2.VISIBILITY_UNLISTED, "Everybody who knows its id; it is listed nowhere.")
    PUBLIC = member(playlists_pb2.VISIBILITY_PUBLIC, "Everybody.")


@strawberry.type(description="A place in a playlist; a track may stand twice.")
class PlaylistEntry:
    """A place and why its track is there."""

    entry_id: strawberry.ID = field(description="The place's own id.")
    position: int = field(description="From 0.")
    is_seed: bool = field(description="True for a seed that the list grew from.")
    similarity: float | None = field(description="Cosine to the seeds, −1 to 1; null when a person put it there.")
    shared_tags: list[str] = field(description="Tags shared with a seed, best first.")
    track_id: strawberry.ID = field(description="UUID of the track.")

    @resolver("The track; null when it was deleted.")
    async def track(self, info: Info) -> Track | None:
        """Load it together with all others of the document."""
        return await load_track(info.context, self.track_id)

    @classmethod
    def from_message(cls, message: playlists_pb2.PlaylistEntry) -> Self:
        """Translate social's message."""
        return cls(
            entry_id=strawberry.ID(message.entry_id),
            position=message.position,
            is_seed=message.is_seed,
            similarity=round_single(message.similarity) if message.HasField("similarity") else None,
            shared_tags=list(message.shared_tags),
            track_id=strawberry.ID(message.track_id),
        )


@strawberry.type(description="A list of tracks with an owner.")
class Playlist(relay.Node):
    """A playlist, with its entries where they came along."""

    _id_attr: ClassVar[str | None] = "playlist_id"

    playlist_id: strawberry.ID = field(description="Its UUID.")
    title: str = field(description="1 to 200 characters.")
    description: str = field(description="At most 2,000 characters.")
    visibility: Visibility = field(description="Who may open it.")
    entry_count: int = field(description="Number of entries.")
    duration_seconds: float = field(description="Sum of the tracks' lengths.")
    encoder_id: str | None = field(description="Model whose ear chose the tracks; null when a person did.")
    version: int = field(description="Rises with every edit; give it back when you edit.")
    created_at: datetime = field(description="When it was made.")
    updated_at: datetime = field(description="When it was last edited.")
    owner_id: strawberry.ID = field(description="UUID of its owner.")
    loaded_entries: strawberry.Private[Sequence[playlists_pb2.PlaylistEntry] | None]

    @resolver("Its owner.")
    async def owner(self, info: Info) -> User | None:
        """Load the owner together with all others of the document."""
        message = await info.context.loaders.users.load(self.owner_id)
        return None if message is None else User.from_message(message)

    @resolver("Its tracks in playing order; null with an error while they cannot be had.")
    async def entries(
        self, info: Info, first: First = MAX_PAGE_SIZE, after: After = None
    ) -> Connection[PlaylistEntry] | None:
        """Page through the list, which social sends as a whole."""
        page = page_request(first, after)
        loaded = self.loaded_entries
        if loaded is None:
            loaded = (await info.context.loaders.whole_playlists.load(self.playlist_id)).entries
        return connection_from_list(page, [PlaylistEntry.from_message(entry) for entry in loaded])

    @classmethod
    def from_message(
        cls, message: playlists_pb2.Playlist, entries: Sequence[playlists_pb2.PlaylistEntry] | None = None
    ) -> Self:
        """Translate social's message; without entries they are loaded when they are asked for."""
        return cls(
            playlist_id=strawberry.ID(message.playlist_id),
            title=message.title,
            description=message.description,
            visibility=Visibility(message.visibility),
            entry_count=message.entry_count,
            duration_seconds=message.duration_seconds,
            encoder_id=message.encoder_id or None,
            version=message.version,
            created_at=to_datetime(message.created_at),
            updated_at=to_datetime(message.updated_at),
            owner_id=strawberry.ID(message.owner_id),
            loaded_entries=entries,
        )


@strawberry.input(description="What to change; what is left out stays.")
class UpdatePlaylistInput:
    """For `updatePlaylist`."""

    playlist_id: strawberry.ID = field(description="The playlist, by `id` or `playlistId`.")
    version: int = field(description="The version that you saw; when it is not the newest, nothing is changed.")
    title: str | None = field(default=None, description="1 to 200 characters.")
    description: str | None = field(default=None, description="At most 2,000 characters.")
    visibility: Visibility | None = field(default=None, description="Who may open it.")


@strawberry.input(description="Which playlist.")
class DeletePlaylistInput:
    """For `deletePlaylist`."""

    playlist_id: strawberry.ID = field(description="The playlist, by `id` or `playlistId`.")


@strawberry.type(description="The playlist was changed.")
class UpdatePlaylistSuccess:
    """Of `updatePlaylist`."""

    playlist: Playlist = field(description="As it is now.")


@strawberry.type(description="The playlist was deleted.")
class DeletePlaylistSuccess:
    """Of `deletePlaylist`."""

    deleted_playlist_id: strawberry.ID = field(description="UUID of what is gone.")


UpdatePlaylistResult = Annotated[UpdatePlaylistSuccess | Refusal, strawberry.union("UpdatePlaylistResult")]
DeletePlaylistResult = Annotated[DeletePlaylistSuccess | Refusal, strawberry.union("DeletePlaylistResult")]


async def load_playlist(context: RequestContext, playlist_id: str) -> Playlist:
    """Return a playlist with its entries through the loader.

    Raises:
        NotFound: There is none, or it is somebody else's private one.
    """
    answer = await context.loaders.whole_playlists.load(playlist_id)
    return Playlist.from_message(answer.playlist, answer.entries)


async def load_listed_playlist(context: RequestContext, playlist_id: str) -> Playlist | None:
    """Return a playlist through the loader, together with all others of the document; None for no id and none seen."""
    message = await context.loaders.playlists.load(playlist_id) if playlist_id else None
    return None if message is None else Playlist.from_message(message)


@strawberry.type
class PlaylistQuery:
    """Queries about playlists."""

    @resolver("A playlist by id; somebody else's private one is not found.")
    async def playlist(self, info: Info, id: AnyId) -> Playlist | None:
        """Load it."""
        return await load_playlist(info.context, decode_id(id, "Playlist", "id"))

    @resolver("The caller's own playlists, newest first.")
    async def my_playlists(self, info: Info, first: First = 20, after: After = None) -> Connection[Playlist] | None:
        """List them."""
        page = page_request(first, after)
        request = playlists_pb2.ListMyPlaylistsRequest(page_size=page.size, page_token=page.token)
        answer = await info.context.call(info.context.parts.upstream.playlists.ListMyPlaylists, request)
        nodes = [Playlist.from_message(each) for each in answer.playlists]
        return connection_from_page(page, nodes, answer.next_page_token)


@strawberry.type
class PlaylistMutation:
    """Mutations of playlists."""

    @mutation("Changes title, description or visibility of a playlist of the caller's own.")
    async def update_playlist(self, info: Info, input: UpdatePlaylistInput) -> UpdatePlaylistResult:
        """Pass the change on."""
        request = playlists_pb2.UpdatePlaylistRequest(
            playlist_id=decode_id(input.playlist_id, "Playlist", "playlistId"),
            version=input.version,
            title=input.title,
            description=input.description,
            visibility=input.visibility.value if input.visibility else playlists_pb2.VISIBILITY_UNSPECIFIED,
        )
        answer = await info.context.call(info.context.parts.upstream.playlists.UpdatePlaylist, request)
        return UpdatePlaylistSuccess(playlist=Playlist.from_message(answer.playlist))

    @mutation("Deletes a playlist of the caller's own.")
    async def delete_playlist(self, info: Info, input: DeletePlaylistInput) -> DeletePlaylistResult:
        """Pass the wish on."""
        playlist_id = decode_id(input.playlist_id, "Playlist", "playlistId")
        request = playlists_pb2.DeletePlaylistRequest(playlist_id=playlist_id)
        await info.context.call(info.context.parts.upstream.playlists.DeletePlaylist, request)
        return DeletePlaylistSuccess(deleted_playlist_id=strawberry.ID(playlist_id))
