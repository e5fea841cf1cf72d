"""Looking after the library: registering folders and tracks, and watching the ingest. Social admits admins only."""

import base64
import binascii
import os
from enum import Enum
from typing import Annotated, Self

import strawberry
from strawberry import field

from museed.social.v1 import catalog_pb2
from services.chassis.errors import InvalidArgument
from services.gateway.context import Info
from services.gateway.ids import decode_id
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import AnyId, member, mutation, resolver
from services.gateway.schema.paging import After, Connection, First, connection_from_page, page_request
from services.gateway.schema.scalars import BigInt
from services.gateway.schema.track import EmbeddingState, Track, load_track

RootFilter = Annotated[strawberry.ID | None, strawberry.argument(description="Global id or UUID; else all roots.")]

MAX_REGISTRATIONS = 500
_DIGEST_BYTES = 32


@strawberry.enum(description="What a registration did.")
class RegistrationOutcome(Enum):
    """Social's outcomes."""

    CREATED = member(catalog_pb2.REGISTRATION_OUTCOME_CREATED, "A new track.")
    UNCHANGED = member(catalog_pb2.REGISTRATION_OUTCOME_UNCHANGED, "Nothing differs.")
    RETAGGED = member(catalog_pb2.REGISTRATION_OUTCOME_RETAGGED, "Other tags, same audio.")
    REPLACED = member(catalog_pb2.REGISTRATION_OUTCOME_REPLACED, "Other audio at the same path.")
    MOVED = member(catalog_pb2.REGISTRATION_OUTCOME_MOVED, "The same audio at another path, gone from the old one.")
    REFUSED = member(catalog_pb2.REGISTRATION_OUTCOME_REFUSED, "Not taken; see the reason.")


@strawberry.type(description="Tracks of a root by their way to the index.")
class IngestProgress:
    """Counts of a root."""

    root_id: strawberry.ID = field(description="UUID of the root.")
    pending: int = field(description="Waiting to be heard.")
    embedded: int = field(description="Heard, on the way to the index.")
    indexed: int = field(description="Playlists can use them.")
    failed: int = field(description="Cannot be heard; see `failedTracks`.")

    @resolver("All of them.")
    def total(self) -> int:
        """Add them up."""
        return self.pending + self.embedded + self.indexed + self.failed


@strawberry.type(description="A track that could not be heard.")
class FailedTrack:
    """A failure with its reason."""

    track_id: strawberry.ID = field(description="UUID of the track.")
    relative_path: str = field(description="Its path below the root; bytes that are not UTF-8 are shown as `\\xNN`.")
    relative_path_base64: str = field(description="The path's own bytes.")
    reason: str = field(description="Stable code.")
    message: str = field(description="Sentence for people.")

    @resolver("The track.")
    async def track(self, info: Info) -> Track | None:
        """Load it together with all others of the document."""
        return await load_track(info.context, self.track_id)

    @classmethod
    def from_message(cls, message: catalog_pb2.FailedTrack) -> Self:
        """Translate social's message."""
        return cls(
            track_id=strawberry.ID(message.track_id),
            relative_path=message.relative_path.decode(errors="backslashreplace"),
            relative_path_base64=base64.b64encode(message.relative_path).decode(),
            reason=message.reason,
            message=message.message,
        )


@strawberry.type(description="What became of a registration.")
class RegisteredTrack:
    """Outcome of one registration."""

    track_id: strawberry.ID | None = field(description="UUID of the track; null when refused.")
    outcome: RegistrationOutcome = field(description="What happened.")
    embedding_state: EmbeddingState | None = field(description="Way to the index; null when refused.")
    reason: str | None = field(description="Stable code when refused, or when this audio is known not to be usable.")
    message: str | None = field(description="Sentence for people when there is a reason.")

    @classmethod
    def from_message(cls, message: catalog_pb2.RegisteredTrack) -> Self:
        """Translate social's message."""
        return cls(
            track_id=strawberry.ID(message.track_id) if message.track_id else None,
            outcome=RegistrationOutcome(message.outcome),
            embedding_state=EmbeddingState(message.embedding_state) if message.embedding_state else None,
            reason=message.reason or None,
            message=message.message or None,
        )


@strawberry.input(description="A folder of music.")
class RegisterRootInput:
    """For `registerRoot`."""

    location: str = field(description="Absolute path, as every process that reads media sees it.")


@strawberry.input(description="What is known of a file.")
class TrackRegistrationInput:
    """One file of `registerTracks`."""

    relative_path: str | None = field(default=None, description="Path below the root, when it is UTF-8.")
    relative_path_base64: str | None = field(default=None, description="The path's own bytes, when it is not.")
    file_hash: str = field(description="SHA-256 of the file, 64 hexadecimal digits.")
    audio_hash: str = field(description="SHA-256 of the encoded audio without tags and art, 64 hexadecimal digits.")
    size_bytes: BigInt = field(description="Size of the file.")
    content_type: str = field(description='Content type by content, for example "audio/ogg".')
    title: str | None = field(default=None, description="At most 500 characters; else the file's name is taken.")
    artist: str | None = field(default=None, description="At most 500 characters; else nobody.")
    album: str | None = field(default=None, description="At most 500 characters.")
    raw_genre: str | None = field(default=None, description="Genre as the file says it, at most 500 characters.")
    year: int | None = field(default=None, description="Year of release.")
    duration_seconds: float = field(description="Length by the file's header.")

    def to_message(self, path: str) -> catalog_pb2.TrackRegistration:
        """Translate for social.

        Args:
            path: Path of this input, for errors.

        Raises:
            InvalidArgument: PATH_AMBIGUOUS, PATH_INVALID or HASH_INVALID.
        """
        return catalog_pb2.TrackRegistration(
            relative_path=self._path_bytes(path),
            file_hash=_digest(self.file_hash, f"{path}.fileHash"),
            audio_hash=_digest(self.audio_hash, f"{path}.audioHash"),
            size_bytes=self.size_bytes,
            content_type=self.content_type,
            title=self.title or "",
            artist=self.artist or "",
            album=self.album or "",
            raw_genre=self.raw_genre or "",
            year=self.year or 0,
            duration_seconds=self.duration_seconds,
        )

    def _path_bytes(self, path: str) -> bytes:
        if (self.relative_path is None) == (self.relative_path_base64 is None):
            raise InvalidArgument(
                "give either relativePath or relativePathBase64", reason="PATH_AMBIGUOUS", field=f"{path}.relativePath"
            )
        if self.relative_path is not None:
            return os.fsencode(self.relative_path)
        try:
            return base64.b64decode(self.relative_path_base64 or "", validate=True)
        except (binascii.Error, ValueError):
            raise InvalidArgument(
                "this is not base64",
                reason="PATH_INVALID",
                field=f"{path}.relativePathBase64",
                value=self.relative_path_base64,
            ) from None


@strawberry.input(description="Files of one root.")
class RegisterTracksInput:
    """For `registerTracks`."""

    root_id: strawberry.ID = field(description="The root.")
    tracks: list[TrackRegistrationInput] = field(description="At most 500.")


@strawberry.type(description="The folder is known.")
class RegisterRootSuccess:
    """Of `registerRoot`."""

    root_id: strawberry.ID = field(description="UUID of the root; the same for the same folder.")


@strawberry.type(description="The files are known, and what is new will be heard.")
class RegisterTracksSuccess:
    """Of `registerTracks`."""

    tracks: list[RegisteredTrack] = field(description="What became of each, in the order of the input.")


RegisterRootResult = Annotated[RegisterRootSuccess | Refusal, strawberry.union("RegisterRootResult")]
RegisterTracksResult = Annotated[RegisterTracksSuccess | Refusal, strawberry.union("RegisterTracksResult")]


def _digest(text: str, field: str) -> bytes:
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != _DIGEST_BYTES:
        raise InvalidArgument(
            "a hash is 64 hexadecimal digits", reason="HASH_INVALID", field=field, value=text, limit=2 * _DIGEST_BYTES
        )
    return digest


@strawberry.type
class AdminQuery:
    """Queries for admins."""

    @resolver("How far the ingest of a root is. Admins only.")
    async def ingest_progress(self, info: Info, root_id: AnyId) -> IngestProgress | None:
        """Count."""
        uuid = decode_id(root_id, "Root", "rootId")
        method = info.context.parts.upstream.catalog.GetIngestProgress
        answer = await info.context.call(method, catalog_pb2.GetIngestProgressRequest(root_id=uuid))
        return IngestProgress(
            root_id=strawberry.ID(uuid),
            pending=answer.pending,
            embedded=answer.embedded,
            indexed=answer.indexed,
            failed=answer.failed,
        )

    @resolver("Tracks that could not be heard, newest first; of all roots without one. Admins only.")
    async def failed_tracks(
        self, info: Info, root_id: RootFilter = None, first: First = 50, after: After = None
    ) -> Connection[FailedTrack] | None:
        """List them."""
        page = page_request(first, after)
        request = catalog_pb2.ListFailedTracksRequest(
            root_id=decode_id(root_id, "Root", "rootId") if root_id is not None else "",
            page_size=page.size,
            page_token=page.token,
        )
        answer = await info.context.call(info.context.parts.upstream.catalog.ListFailedTracks, request)
        nodes = [FailedTrack.from_message(failure) for failure in answer.failures]
        return connection_from_page(page, nodes, answer.next_page_token)


@strawberry.type
class AdminMutation:
    """Mutations for admins."""

    @mutation("Registers a folder that every process that reads media can open. Admins only.")
    async def register_root(self, info: Info, input: RegisterRootInput) -> RegisterRootResult:
        """Pass the folder on."""
        request = catalog_pb2.RegisterRootRequest(location=input.location)
        answer = await info.context.call(info.context.parts.upstream.catalog.RegisterRoot, request)
        return RegisterRootSuccess(root_id=strawberry.ID(answer.root_id))

    @mutation("Registers files of a root and asks for them to be heard; may be repeated. Admins only.")
    async def register_tracks(self, info: Info, input: RegisterTracksInput) -> RegisterTracksResult:
        """Check what social cannot see, and pass the files on."""
        if len(input.tracks) > MAX_REGISTRATIONS:
            raise InvalidArgument(
                f"{len(input.tracks)} tracks, the limit is {MAX_REGISTRATIONS}",
                reason="TOO_MANY_TRACKS",
                field="tracks",
                value=len(input.tracks),
                limit=MAX_REGISTRATIONS,
            )
        request = catalog_pb2.RegisterTracksRequest(
            root_id=decode_id(input.root_id, "Root", "rootId"),
            tracks=[track.to_message(f"tracks[{number}]") for number, track in enumerate(input.tracks)],
        )
        answer = await info.context.call(info.context.parts.upstream.catalog.RegisterTracks, request)
        return RegisterTracksSuccess(tracks=[RegisteredTrack.from_message(track) for track in answer.tracks])
