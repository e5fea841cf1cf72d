"""Reads and writes the headers of tus 1.0.0 (https://tus.io/protocols/resumable-upload). Pure."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from services.chassis.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from services.gateway.upload_bodies import harmless_name

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,expiration,checksum,termination"
BODY_TYPE = "application/offset+octet-stream"
REQUEST_HEADERS = (
    "Tus-Resumable", "Upload-Length", "Upload-Metadata", "Upload-Offset", "Upload-Checksum", "X-HTTP-Method-Override",
)  # fmt: skip
RESPONSE_HEADERS = (
    "Location", "Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm",
    "Upload-Offset", "Upload-Length", "Upload-Metadata", "Upload-Expires", "Museed-Upload-Id",
)  # fmt: skip
# By tus's names; sha1 is the one that all servers must know.
_HASHES = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "md5": hashlib.md5}
CHECKSUM_ALGORITHMS = ",".join(_HASHES)
_MAX_METADATA = 4096
_MAX_DIGITS = 18
# As social has it.
_MAX_KEY = 200


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a chunk must hash to."""

    algorithm: str
    wanted: bytes

    def check(self, data: bytes) -> None:
        """Compare; blocks for a millisecond per MiB.

        Raises:
            InvalidArgument: UPLOAD_CHECKSUM_MISMATCH.
        """
        found = _HASHES[self.algorithm](data, usedforsecurity=False).digest()
        if found != self.wanted:
            raise InvalidArgument(
                "the chunk arrived damaged, send it again",
                reason="UPLOAD_CHECKSUM_MISMATCH",
                field="Upload-Checksum",
                value=_shown(self.algorithm, self.wanted),
                limit=_shown(self.algorithm, found),
            )


def read_key(headers: Mapping[str, str]) -> str:
    """Return the idempotency key of a beginning; empty where there is none.

    Raises:
        InvalidArgument: OUT_OF_RANGE.
    """
    key = headers.get("idempotency-key", "").strip()
    if len(key) > _MAX_KEY:
        raise InvalidArgument(
            f"the key has {len(key)} characters, limit is {_MAX_KEY}",
            reason="OUT_OF_RANGE",
            field="Idempotency-Key",
            value=len(key),
            limit=_MAX_KEY,
        )
    return key


def check_version(headers: Mapping[str, str]) -> None:
    """Refuse a client of another version.

    Raises:
        FailedPrecondition: TUS_VERSION_UNKNOWN.
    """
    given = headers.get("tus-resumable", "")
    if given != VERSION:
        raise FailedPrecondition(
            f"this speaks tus {VERSION}",
            reason="TUS_VERSION_UNKNOWN",
            field="Tus-Resumable",
            value=given,
            limit=VERSION,
        )


def read_length(headers: Mapping[str, str], max_bytes: int) -> int:
    """Return the size of a file that is announced.

    Raises:
        InvalidArgument: UPLOAD_LENGTH_INVALID, also where there is none, or UPLOAD_EMPTY.
        ResourceExhausted: UPLOAD_TOO_LARGE.
    """
    length = _number(headers, "Upload-Length", "UPLOAD_LENGTH_INVALID")
    if length == 0:
        raise InvalidArgument("the file is empty", reason="UPLOAD_EMPTY", field="Upload-Length", value=0, limit=1)
    if length > max_bytes:
        raise ResourceExhausted(
            f"the file has {length} bytes, the limit is {max_bytes}",
            reason="UPLOAD_TOO_LARGE",
            field="Upload-Length",
            value=length,
            limit=max_bytes,
        )
    return length


def read_offset(headers: Mapping[str, str]) -> int:
    """Return where a chunk begins.

    Raises:
        InvalidArgument: UPLOAD_OFFSET_INVALID, also where there is none.
    """
    return _number(headers, "Upload-Offset", "UPLOAD_OFFSET_INVALID")


def has_body_type(headers: Mapping[str, str]) -> bool:
    """Say whether a body is a chunk of a file."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == BODY_TYPE


def read_file_name(metadata: str) -> str:
    """Return a harmless file name of an Upload-Metadata header.

    Raises:
        InvalidArgument: UPLOAD_METADATA_INVALID.
    """
    if len(metadata) > _MAX_METADATA:
        raise _bad_metadata(f"more than {_MAX_METADATA} characters")
    found: dict[str, str] = {}
    for pair in metadata.split(",") if metadata.strip() else ():
        name, _, value = pair.strip().partition(" ")
        try:
            decoded = base64.b64decode(value.strip(), validate=True).decode(errors="replace")
        except (binascii.Error, ValueError) as error:
            raise _bad_metadata(pair) from error
        if not name or name in found:
            raise _bad_metadata(pair)
        found[name] = decoded
    return harmless_name(found.get("filename") or found.get("name") or "")


def read_checksum(headers: Mapping[str, str]) -> Checksum | None:
    """Return what a chunk must hash to, None where the client does not say.

    Raises:
        InvalidArgument: UPLOAD_CHECKSUM_INVALID.
    """
    given = headers.get("upload-checksum")
    if given is None:
        return None
    algorithm, _, text = given.strip().partition(" ")
    try:
        wanted = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        wanted = b""
    if algorithm not in _HASHES or len(wanted) != _HASHES[algorithm](usedforsecurity=False).digest_size:
        raise InvalidArgument(
            "this is no checksum of an algorithm that is known here",
            reason="UPLOAD_CHECKSUM_INVALID",
            field="Upload-Checksum",
            value=given,
            limit=CHECKSUM_ALGORITHMS,
        )
    return Checksum(algorithm, wanted)


def http_date(moment: datetime) -> str:
    """Write a time as HTTP does; it must be in UTC."""
    return format_datetime(moment, usegmt=True)


def _number(headers: Mapping[str, str], name: str, reason: str) -> int:
    given = headers.get(name.lower(), "")
    if not (given.isascii() and given.isdigit()) or len(given) > _MAX_DIGITS:
        raise InvalidArgument(f"{name} must be a number of bytes", reason=reason, field=name, value=given)
    return int(given)


def _bad_metadata(what: str) -> InvalidArgument:
    return InvalidArgument(
        "Upload-Metadata must be pairs of a name and a value in Base64",
        reason="UPLOAD_METADATA_INVALID",
        field="Upload-Metadata",
        value=what,
        limit=_MAX_METADATA,
    )


def _shown(algorithm: str, digest: bytes) -> str:
    return f"{algorithm} {base64.b64encode(digest).decode()}"
