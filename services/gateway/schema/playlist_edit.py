"""Playlists as they are edited by their owners: what they are called, what stands in them, and where."""

from typing import Annotated

import strawberry
from strawberry import field

from museed.social.v1 import editing_pb2, playlists_pb2
from services.chassis.errors import InvalidArgument
from services.gateway.context import Info
from services.gateway.ids import decode_id, decode_ids
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import key_or_new, mutation
from services.gateway.schema.playlist import Playlist, PlaylistEntry, Visibility


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


@strawberry.input(description="Which tracks to add, and where.")
class AddPlaylistEntriesInput:
    """For `addPlaylistEntries`."""

    playlist_id: strawberry.ID = field(description="The playlist, by `id` or `playlistId`.")
    track_ids: list[strawberry.ID] = field(description="1 to 500 in playing order; a track may stand twice.")
    position: int | None = field(
        default=None, description="Place of the first one, from 0; without it, or beyond the end, they go to the end."
    )
    idempotency_key: str | None = field(
        default=None,
        description="1 to 200 characters; repeating the request with it adds nothing a second time for 24 hours.",
    )


@strawberry.input(description="Which entries to take out.")
class RemovePlaylistEntriesInput:
    """For `removePlaylistEntries`."""

    playlist_id: strawberry.ID = field(description="The playlist, by `id` or `playlistId`.")
    entry_ids: list[strawberry.ID] = field(
        description="1 to 500, by `id` or `entryId`; those that are gone already stay so."
    )


@strawberry.input(description="Which entry to move, and where.")
class MovePlaylistEntryInput:
    """For `movePlaylistEntry`."""

    playlist_id: strawberry.ID = field(description="The playlist, by `id` or `playlistId`.")
    entry_id: strawberry.ID = field(description="The entry, by `id` or `entryId`.")
    position: int = field(description="Its place afterwards, from 0; beyond the end is the end.")


@strawberry.input(description="The whole order, by entries or by tracks.")
class ReorderPlaylistInput:
    """For `reorderPlaylist`."""

    playlist_id: strawberry.ID = field(description="The playlist, by `id` or `playlistId`.")
    version: int = field(description="The version that you saw; when it is not the newest, nothing is changed.")
    entry_ids: list[strawberry.ID] | None = field(
        default=None, description="Every entry once, by `id` or `entryId`; at most 1,000."
    )
    track_ids: list[strawberry.ID] | None = field(
        default=None, description="Instead: every track as often as it stands there; equal ones keep their order."
    )


@strawberry.input(description="Whose link.")
class RotateShareSlugInput:
    """For `rotateShareSlug`."""

    playlist_id: strawberry.ID = field(description="The playlist, by `id` or `playlistId`.")
    idempotency_key: str | None = field(
        default=None, description="1 to 200 characters; repeating the request with it makes no other link for 24 hours."
    )


@strawberry.type(description="The playlist was changed.")
class UpdatePlaylistSuccess:
    """Of `updatePlaylist`."""

    playlist: Playlist = field(description="As it is now.")


@strawberry.type(description="The playlist was deleted.")
class DeletePlaylistSuccess:
    """Of `deletePlaylist`."""

    deleted_playlist_id: strawberry.ID = field(description="UUID of what is gone.")


@strawberry.type(description="The tracks were added.")
class AddPlaylistEntriesSuccess:
    """Of `addPlaylistEntries`."""

    playlist: Playlist = field(description="As it is now.")
    entries: list[PlaylistEntry] = field(description="The new ones, without those that were taken out since.")


@strawberry.type(description="The entries are not there any more.")
class RemovePlaylistEntriesSuccess:
    """Of `removePlaylistEntries`."""

    playlist: Playlist = field(description="As it is now.")


@strawberry.type(description="The entry has its place.")
class MovePlaylistEntrySuccess:
    """Of `movePlaylistEntry`."""

    playlist: Playlist = field(description="As it is now.")
    entry: PlaylistEntry = field(description="The entry at its place.")


@strawberry.type(description="The playlist is in this order.")
class ReorderPlaylistSuccess:
    """Of `reorderPlaylist`."""

    playlist: Playlist = field(description="As it is now.")


@strawberry.type(description="The playlist has another link.")
class RotateShareSlugSuccess:
    """Of `rotateShareSlug`."""

    playlist: Playlist = field(description="As it is now.")


UpdatePlaylistResult = Annotated[UpdatePlaylistSuccess | Refusal, strawberry.union("UpdatePlaylistResult")]
DeletePlaylistResult = Annotated[DeletePlaylistSuccess | Refusal, strawberry.union("DeletePlaylistResult")]
AddPlaylistEntriesResult = Annotated[AddPlaylistEntriesSuccess | Refusal, strawberry.union("AddPlaylistEntriesResult")]
RemovePlaylistEntriesResult = Annotated[
    RemovePlaylistEntriesSuccess | Refusal, strawberry.union("RemovePlaylistEntriesResult")
]
MovePlaylistEntryResult = Annotated[MovePlaylistEntrySuccess | Refusal, strawberry.union("MovePlaylistEntryResult")]
ReorderPlaylistResult = Annotated[ReorderPlaylistSuccess | Refusal, strawberry.union("ReorderPlaylistResult")]
RotateShareSlugResult = Annotated[RotateShareSlugSuccess | Refusal, strawberry.union("RotateShareSlugResult")]


def track_ids_of(given: list[strawberry.ID], field: str = "trackIds") -> list[str]:
    """Return the UUIDs of tracks that an input names.

    Raises:
        InvalidArgument: ID_INVALID or ID_OF_ANOTHER_TYPE; the field says which one.
    """
    return [decode_id(track_id, "Track", f"{field}[{number}]") for number, track_id in enumerate(given)]


@strawberry.type
class PlaylistEditMutation:
    """Mutations of playlists that are there."""

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

    @mutation("Adds tracks to a playlist of the caller's own: all of them, or none where one is unknown.")
    async def add_playlist_entries(self, info: Info, input: AddPlaylistEntriesInput) -> AddPlaylistEntriesResult:
        """Pass them on."""
        request = editing_pb2.AddEntriesRequest(
            idempotency_key=key_or_new(input.idempotency_key),
            playlist_id=decode_id(input.playlist_id, "Playlist", "playlistId"),
            track_ids=track_ids_of(input.track_ids),
            position=input.position,
        )
        answer = await info.context.call(info.context.parts.upstream.editing.AddEntries, request)
        return AddPlaylistEntriesSuccess(
            playlist=Playlist.from_message(answer.playlist),
            entries=[PlaylistEntry.from_message(entry, request.playlist_id) for entry in answer.entries],
        )

    @mutation("Takes entries out of a playlist of the caller's own.")
    async def remove_playlist_entries(
        self, info: Info, input: RemovePlaylistEntriesInput
    ) -> RemovePlaylistEntriesResult:
        """Pass the wish on."""
        request = editing_pb2.RemoveEntriesRequest(
            playlist_id=decode_id(input.playlist_id, "Playlist", "playlistId"),
            entry_ids=decode_ids(input.entry_ids, "PlaylistEntry", "entryIds"),
        )
        answer = await info.context.call(info.context.parts.upstream.editing.RemoveEntries, request)
        return RemovePlaylistEntriesSuccess(playlist=Playlist.from_message(answer.playlist))

    @mutation(
        "Puts one entry of a playlist of the caller's own at another place, as drag and drop does: among what is there "
        "now, whatever version was seen."
    )
    async def move_playlist_entry(self, info: Info, input: MovePlaylistEntryInput) -> MovePlaylistEntryResult:
        """Pass the wish on."""
        request = editing_pb2.MoveEntryRequest(
            playlist_id=decode_id(input.playlist_id, "Playlist", "playlistId"),
            entry_id=decode_id(input.entry_id, "PlaylistEntry", "entryId"),
            position=input.position,
        )
        answer = await info.context.call(info.context.parts.upstream.editing.MoveEntry, request)
        return MovePlaylistEntrySuccess(
            playlist=Playlist.from_message(answer.playlist),
            entry=PlaylistEntry.from_message(answer.entry, request.playlist_id),
        )

    @mutation("Puts all entries of a playlist of the caller's own in an order; one that is so already stays.")
    async def reorder_playlist(self, info: Info, input: ReorderPlaylistInput) -> ReorderPlaylistResult:
        """Pass the order on in the form that it has."""
        playlist_id = decode_id(input.playlist_id, "Playlist", "playlistId")
        editing = info.context.parts.upstream.editing
        if input.entry_ids is not None and input.track_ids is None:
            by_entries = editing_pb2.ReorderEntriesRequest(
                playlist_id=playlist_id,
                version=input.version,
                entry_ids=decode_ids(input.entry_ids, "PlaylistEntry", "entryIds"),
            )
            playlist = (await info.context.call(editing.ReorderEntries, by_entries)).playlist
        elif input.track_ids is not None and input.entry_ids is None:
            by_tracks = editing_pb2.ReorderByTracksRequest(
                playlist_id=playlist_id, version=input.version, track_ids=track_ids_of(input.track_ids)
            )
            playlist = (await info.context.call(editing.ReorderByTracks, by_tracks)).playlist
        else:
            raise InvalidArgument(
                "an order is told either by entryIds or by trackIds", reason="ORDER_AMBIGUOUS", field="entryIds"
            )
        return ReorderPlaylistSuccess(playlist=Playlist.from_message(playlist))

    @mutation("Gives a playlist of the caller's own another link; the one before is void.")
    async def rotate_share_slug(self, info: Info, input: RotateShareSlugInput) -> RotateShareSlugResult:
        """Pass the wish on."""
        request = editing_pb2.RotateShareSlugRequest(
            playlist_id=decode_id(input.playlist_id, "Playlist", "playlistId"),
            idempotency_key=key_or_new(input.idempotency_key),
        )
        answer = await info.context.call(info.context.parts.upstream.editing.RotateShareSlug, request)
        return RotateShareSlugSuccess(playlist=Playlist.from_message(answer.playlist))
