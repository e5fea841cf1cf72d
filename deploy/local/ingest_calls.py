"""What an ingest asks of the gateway: roots, known files, registrations, missing files, and how far the mesh is."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from clients.python import operations
from clients.python.operations import (
    IngestProgress,
    MarkMissingInput,
    Registered,
    RegisterRootInput,
    RegisterTracksInput,
    TrackRegistrationInput,
)
from deploy.local.client import GatewayClient, accepted
from deploy.local.patience import patiently

_PAGE_SIZE = 100
_FILES_PAGE_SIZE = 1_000
_MOST_PATHS = 500
# Of a body of 2 MiB.
_MOST_PATHS_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file as it was registered; `mtime_ns` 0 and `has_cover` None are not known."""

    size_bytes: int
    mtime_ns: int
    file_hash: bytes
    audio_hash: bytes
    is_missing: bool
    has_cover: bool | None


@dataclass(frozen=True, slots=True)
class Failure:
    """A track that could not be heard; `path` is its own bytes, `shown` is for people."""

    path: bytes
    shown: str
    reason: str
    message: str


def register_root(client: GatewayClient, location: str) -> str:
    """Register a folder and return its id; the same folder has the same."""
    request = RegisterRootInput(location=location)
    return patiently(lambda: accepted(operations.register_root(client, request))).root_id


def register_tracks(
    client: GatewayClient, root_id: str, tracks: Sequence[TrackRegistrationInput]
) -> tuple[Registered, ...]:
    """Register at most 500 files and return what became of each, in their order."""
    request = RegisterTracksInput(root_id=root_id, tracks=tracks)
    return patiently(lambda: accepted(operations.register_tracks(client, request))).tracks


def known_files(client: GatewayClient, root_id: str) -> dict[bytes, KnownFile]:
    """Return what the library knows of a root's files, by path."""
    found: dict[bytes, KnownFile] = {}
    token = None
    while True:
        ask = partial(operations.root_files, client, root_id=root_id, page_size=_FILES_PAGE_SIZE, page_token=token)
        page = patiently(ask)
        for file in page.files:
            path = base64.b64decode(file.relative_path_base64)
            hashes = bytes.fromhex(file.file_hash), bytes.fromhex(file.audio_hash)
            is_missing = file.missing_since is not None
            found[path] = KnownFile(file.size_bytes, int(file.mtime_ns), *hashes, is_missing, file.has_cover)
        token = page.next_page_token
        if token is None:
            return found


def mark_missing(client: GatewayClient, root_id: str, paths: Sequence[bytes]) -> int:
    """Mark files that are gone, and return how many were not marked before."""
    count = 0
    for batch in _encoded(paths):
        request = MarkMissingInput(root_id=root_id, relative_paths_base64=batch)
        count += _marked(client, request)
    return count


def _marked(client: GatewayClient, request: MarkMissingInput) -> int:
    return patiently(lambda: accepted(operations.mark_missing(client, request))).marked_count


def _encoded(paths: Sequence[bytes]) -> Iterator[list[str]]:
    """Encode paths, as many at a time as a call takes."""
    batch: list[str] = []
    size = 0
    for path in paths:
        encoded = base64.b64encode(path).decode()
        if len(batch) == _MOST_PATHS or size + len(encoded) > _MOST_PATHS_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(encoded)
        size += len(encoded)
    if batch:
        yield batch


def progress_of(client: GatewayClient, root_id: str) -> IngestProgress:
    """Count a root's tracks: pending, embedded, indexed, failed."""
    return patiently(lambda: operations.ingest_progress(client, root_id))


def failures(client: GatewayClient, root_id: str) -> Iterator[Failure]:
    """List a root's tracks that could not be heard."""
    after = None
    while True:
        page = patiently(partial(operations.failed_tracks, client, root_id=root_id, first=_PAGE_SIZE, after=after))
        for track in page.nodes:
            path = base64.b64decode(track.relative_path_base64)
            yield Failure(path, track.relative_path, track.reason, track.message)
        if not page.page_info.has_next_page:
            return
        after = page.page_info.end_cursor
