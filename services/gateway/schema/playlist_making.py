"""Playlists as they are made without a model: by hand, as a copy of another, of a file."""

from typing import Annotated, Self

import strawberry
from strawberry import field

from museed.social.v1 import editing_pb2, exchange_pb2, playlists_pb2
from services.gateway.context import Info
from services.gateway.ids import decode_id
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import key_or_new, mutation
from services.gateway.schema.playlist import Playlist, Visibility
from services.gateway.schema.playlist_edit import track_ids_of
from services.gateway.schema.playlist_format import PlaylistFormat

_SAME_PLAYLIST = "1 to 200 characters; repeating the request with it returns the same playlist for 24 hours."


@strawberry.input(description="A new playlist.")
class CreatePlaylistInput:
    """For `createPlaylist`."""

    title: str = field(description="1 to 200 characters.")
    description: str | None = field(default=None, description="At most 2,000 characters.")
    visibility: Visibility | None = field(default=None, description="Who may open it; else PRIVATE.")
    track_ids: list[strawberry.ID] | None = field(
        default=None, description="At most 500 in playing order; a track may stand twice."
    )
    idempotency_key: str | None = field(default=None, description=_SAME_PLAYLIST)


@strawberry.input(description="What to copy.")
class CopyPlaylistInput:
    """For `copyPlaylist`."""

    playlist_id: strawberry.ID = field(description="The playlist, by `id` or `playlistId`.")
    title: str | None = field(default=None, description="At most 200 characters; else that of the playlist.")
    idempotency_key: str | None = field(default=None, description=_SAME_PLAYLIST)


@strawberry.input(description="A file to make a playlist of.")
class ImportPlaylistInput:
    """For `importPlaylist`."""

    format: PlaylistFormat = field(description="Format of the file.")
    content: str = field(
        description="The file as text, at most 1,000 rows; bytes that are not UTF-8 go to `POST /playlists/import`."
    )
    title: str | None = field(default=None, description="At most 200 characters; else the file's own.")
    visibility: Visibility | None = field(default=None, description="Who may open it; else PRIVATE.")
    idempotency_key: str | None = field(default=None, description=_SAME_PLAYLIST)


@strawberry.type(description="A row of a file that no track of the library belongs to.")
class UnmatchedRow:
    """Why something of a file is not in the playlist."""

    row: int = field(description="Its number in the file, from 1.")
    title: str = field(description="Title as the file says it.")
    artist: str | None = field(description="Artist as the file says it; null when it names nobody.")
    duration_seconds: float | None = field(description="Length in seconds; null when the file does not say it.")
    reason: str = field(description='"NO_TRACK_FOUND", or "AMBIGUOUS" where several recordings fit.')

    @classmethod
    def from_message(cls, message: exchange_pb2.UnmatchedRow) -> Self:
        """Translate social's message."""
        return cls(
            row=message.row,
            title=message.title,
            artist=message.artist or None,
            duration_seconds=message.duration_seconds or None,
            reason=message.reason,
        )


@strawberry.type(description="The playlist was made.")
class CreatePlaylistSuccess:
    """Of `createPlaylist`."""

    playlist: Playlist = field(description="The new playlist.")


@strawberry.type(description="The playlist is saved as one of the caller's own.")
class CopyPlaylistSuccess:
    """Of `copyPlaylist`."""

    playlist: Playlist = field(description="The copy.")


@strawberry.type(description="The playlist was made of the rows that the library knows.")
class ImportPlaylistSuccess:
    """Of `importPlaylist`."""

    playlist: Playlist = field(description="The new playlist.")
    row_count: int = field(description="Rows of the file.")
    unmatched: list[UnmatchedRow] = field(description="Rows that were left out, in their order; at most 1,000.")


CreatePlaylistResult = Annotated[CreatePlaylistSuccess | Refusal, strawberry.union("CreatePlaylistResult")]
CopyPlaylistResult = Annotated[CopyPlaylistSuccess | Refusal, strawberry.union("CopyPlaylistResult")]
ImportPlaylistResult = Annotated[ImportPlaylistSuccess | Refusal, strawberry.union("ImportPlaylistResult")]


def _visibility(given: Visibility | None) -> playlists_pb2.Visibility.ValueType:
    return given.value if given else playlists_pb2.VISIBILITY_UNSPECIFIED


@strawberry.type
class PlaylistMakingMutation:
    """Mutations that make playlists."""

    @mutation("Makes a playlist by hand, empty or of some tracks.")
    async def create_playlist(self, info: Info, input: CreatePlaylistInput) -> CreatePlaylistResult:
        """Pass it on."""
        request = editing_pb2.CreatePlaylistRequest(
            idempotency_key=key_or_new(input.idempotency_key),
            title=input.title,
            description=input.description or "",
            visibility=_visibility(input.visibility),
            track_ids=track_ids_of(input.track_ids or []),
        )
        answer = await info.context.call(info.context.parts.upstream.editing.CreatePlaylist, request)
        return CreatePlaylistSuccess(playlist=Playlist.from_message(answer.playlist, answer.entries))

    @mutation(
        "Saves a playlist that the caller can open as a private one of their own. A second time returns the first "
        "copy, unless that was deleted; one's own is copied anew."
    )
    async def copy_playlist(self, info: Info, input: CopyPlaylistInput) -> CopyPlaylistResult:
        """Pass the wish on."""
        request = editing_pb2.CopyPlaylistRequest(
            idempotency_key=key_or_new(input.idempotency_key),
            playlist_id=decode_id(input.playlist_id, "Playlist", "playlistId"),
            title=input.title or "",
        )
        answer = await info.context.call(info.context.parts.upstream.editing.CopyPlaylist, request)
        return CopyPlaylistSuccess(playlist=Playlist.from_message(answer.playlist))

    @mutation(
        "Makes a playlist of a file's rows whose recordings the library has: by MusicBrainz id, else ISRC, else title "
        "and artist with a length within 3 s."
    )
    async def import_playlist(self, info: Info, input: ImportPlaylistInput) -> ImportPlaylistResult:
        """Pass the file on."""
        request = exchange_pb2.ImportPlaylistRequest(
            idempotency_key=key_or_new(input.idempotency_key),
            format=input.format.value,
            content=input.content.encode(),
            title=input.title or "",
            visibility=_visibility(input.visibility),
        )
        answer = await info.context.call(info.context.parts.upstream.exchange.ImportPlaylist, request)
        return ImportPlaylistSuccess(
            playlist=Playlist.from_message(answer.playlist),
            row_count=answer.row_count,
            unmatched=[UnmatchedRow.from_message(row) for row in answer.unmatched],
        )
