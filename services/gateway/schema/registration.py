"""Registering files of a root: what an ingest client knows of each. Social admits admins only."""

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
from services.gateway.schema.fields import member, mutation
from services.gateway.schema.scalars import BigInt
from services.gateway.schema.track import EmbeddingState

MAX_REGISTRATIONS = 500
_DIGEST_BYTES = 32
_LARGEST_MTIME_NS = 2**63 - 1


@strawberry.enum(description="What a registration did.")
class RegistrationOutcome(Enum):
    """Social's outcomes."""

    CREATED = member(catalog_pb2.REGISTRATION_OUTCOME_CREATED, "A new track.")
    UNCHANGED = member(catalog_pb2.REGISTRATION_OUTCOME_UNCHANGED, "Nothing differs.")
    RETAGGED = member(catalog_pb2.REGISTRATION_OUTCOME_RETAGGED, "Other tags, same audio.")
    REPLACED = member(catalog_pb2.REGISTRATION_OUTCOME_REPLACED, "Other audio at the same path.")
    MOVED = member(catalog_pb2.REGISTRATION_OUTCOME_MOVED, "The same audio at another path, gone from the old one.")
    REFUSED = member(catalog_pb2.REGISTRATION_OUTCOME_REFUSED, "Not taken; see the reason.")


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
    genre: str | None = field(
        default=None, description="One of the 16 genres, where the source has a map of its own; else rawGenre decides."
    )
    sub_genres: list[str] | None = field(default=None, description="At most 20 of 1 to 100 characters.")
    tags: list[str] | None = field(
        default=None, description="As the source says them, at most 50 of 1 to 100 characters."
    )
    isrc: str | None = field(default=None, description="12 characters without hyphens.")
    musicbrainz_recording_id: str | None = field(default=None, description="A UUID.")
    licence: str | None = field(default=None, description="A name or an address, at most 500 characters.")
    source: str | None = field(default=None, description='For example "folder", "fma", "jamendo".')
    musicbrainz_artist_id: str | None = field(default=None, description="A UUID, where there is one artist.")
    musicbrainz_release_id: str | None = field(default=None, description="A UUID.")
    mtime_ns: str | None = field(
        default=None, description="When the file was last written: nanoseconds since 1970, as digits."
    )
    has_cover: bool | None = field(
        default=None, description="Whether there is a picture in the file or beside it; null where nobody looked."
    )
    previous_path_base64: str | None = field(
        default=None, description="Bytes of the path where this file was before it moved here."
    )

    def to_message(self, path: str) -> catalog_pb2.TrackRegistration:
        """Translate for social.

        Args:
            path: Path of this input, for errors.

        Raises:
            InvalidArgument: PATH_AMBIGUOUS, PATH_INVALID, HASH_INVALID or NUMBER_INVALID.
        """
        return catalog_pb2.TrackRegistration(
            relative_path=self._path_bytes(path),
            file_hash=digest_bytes(self.file_hash, f"{path}.fileHash"),
            audio_hash=digest_bytes(self.audio_hash, f"{path}.audioHash"),
            size_bytes=self.size_bytes,
            content_type=self.content_type,
            title=self.title or "",
            artist=self.artist or "",
            album=self.album or "",
            raw_genre=self.raw_genre or "",
            year=self.year or 0,
            duration_seconds=self.duration_seconds,
            genre=self.genre or "",
            sub_genres=self.sub_genres or [],
            tags=self.tags or [],
            isrc=self.isrc or "",
            musicbrainz_recording_id=self.musicbrainz_recording_id or "",
            musicbrainz_artist_id=self.musicbrainz_artist_id or "",
            musicbrainz_release_id=self.musicbrainz_release_id or "",
            licence=self.licence or "",
            source=self.source or "",
            mtime_ns=_mtime(self.mtime_ns or "0", f"{path}.mtimeNs"),
            has_cover=self.has_cover,
            previous_path=base64_bytes(self.previous_path_base64 or "", f"{path}.previousPathBase64"),
        )

    def _path_bytes(self, path: str) -> bytes:
        if (self.relative_path is None) == (self.relative_path_base64 is None):
            raise InvalidArgument(
                "give either relativePath or relativePathBase64", reason="PATH_AMBIGUOUS", field=f"{path}.relativePath"
            )
        if self.relative_path is not None:
            return os.fsencode(self.relative_path)
        return base64_bytes(self.relative_path_base64 or "", f"{path}.relativePathBase64")


@strawberry.input(description="Files of one root.")
class RegisterTracksInput:
    """For `registerTracks`."""

    root_id: strawberry.ID = field(description="The root.")
    tracks: list[TrackRegistrationInput] = field(description="At most 500.")


@strawberry.type(description="The files are known, and what is new will be heard.")
class RegisterTracksSuccess:
    """Of `registerTracks`."""

    tracks: list[RegisteredTrack] = field(description="What became of each, in the order of the input.")


RegisterTracksResult = Annotated[RegisterTracksSuccess | Refusal, strawberry.union("RegisterTracksResult")]


def digest_bytes(text: str, field: str) -> bytes:
    """Read a hash.

    Raises:
        InvalidArgument: HASH_INVALID.
    """
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != _DIGEST_BYTES:
        raise InvalidArgument(
            "a hash is 64 hexadecimal digits", reason="HASH_INVALID", field=field, value=text, limit=2 * _DIGEST_BYTES
        )
    return digest


def base64_bytes(text: str, field: str) -> bytes:
    """Read the bytes of a path.

    Raises:
        InvalidArgument: PATH_INVALID.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArgument("this is not base64", reason="PATH_INVALID", field=field, value=text) from None


def _mtime(text: str, field: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= _LARGEST_MTIME_NS):
        raise InvalidArgument(
            f"{field} is nanoseconds since 1970 in digits, at most {_LARGEST_MTIME_NS}",
            reason="NUMBER_INVALID",
            field=field,
            value=text[:50],
            limit=_LARGEST_MTIME_NS,
        )
    return int(text)


@strawberry.type
class RegistrationMutation:
    """Mutations of who brings tracks in."""

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
