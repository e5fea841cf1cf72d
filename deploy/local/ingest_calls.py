"""What an ingest asks of the gateway: roots, known files, registrations, missing files, and how far the mesh is."""

import base64
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from deploy.local.client import ERROR_FIELDS, ClientError, GatewayClient

_PAGE_SIZE = 100
_FILES_PAGE_SIZE = 1_000
_MOST_PATHS = 500
# Of a body of 2 MiB.
_MOST_PATHS_BYTES = 1 << 20
# A part that was killed is back within seconds.
_PATIENCE_S = 60.0
_RETRY_INTERVAL_S = 1.0

_REGISTER_ROOT = f"""mutation RegisterRoot($input: RegisterRootInput!) {{
  registerRoot(input: $input) {{ __typename ... on RegisterRootSuccess {{ rootId }} {ERROR_FIELDS} }}
}}"""

_REGISTER_TRACKS = f"""mutation RegisterTracks($input: RegisterTracksInput!) {{
  registerTracks(input: $input) {{
    __typename
    ... on RegisterTracksSuccess {{ tracks {{ trackId outcome embeddingState reason message }} }}
    {ERROR_FIELDS}
  }}
}}"""

_ROOT_FILES = """query RootFiles($rootId: ID!, $pageSize: Int!, $pageToken: String) {
  rootFiles(rootId: $rootId, pageSize: $pageSize, pageToken: $pageToken) {
    files { relativePathBase64 sizeBytes mtimeNs fileHash audioHash missingSince } nextPageToken
  }
}"""

_MARK_MISSING = f"""mutation MarkMissing($input: MarkMissingInput!) {{
  markMissing(input: $input) {{ __typename ... on MarkMissingSuccess {{ markedCount }} {ERROR_FIELDS} }}
}}"""

_PROGRESS = """query IngestProgress($rootId: ID!) {
  ingestProgress(rootId: $rootId) { pending embedded indexed failed }
}"""

_FAILED = """query FailedTracks($rootId: ID!, $first: Int!, $after: String) {
  failedTracks(rootId: $rootId, first: $first, after: $after) {
    nodes { relativePath relativePathBase64 reason message }
    pageInfo { hasNextPage endCursor }
  }
}"""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file as it was registered; `mtime_ns` 0 is not known."""

    size_bytes: int
    mtime_ns: int
    file_hash: bytes
    audio_hash: bytes
    is_missing: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """A track that could not be heard; `path` is its own bytes, `shown` is for people."""

    path: bytes
    shown: str
    reason: str
    message: str


def patiently(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Repeat a call, which must be safe to repeat, while a part of the mesh is away."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return call()
        except ClientError as error:
            if not error.is_transient or time.monotonic() > deadline:
                raise
        time.sleep(_RETRY_INTERVAL_S)


def register_root(client: GatewayClient, location: str) -> str:
    """Register a folder and return its id; the same folder has the same."""
    answer = patiently(lambda: client.mutate(_REGISTER_ROOT, {"location": location}))
    return str(answer["rootId"])


def register_tracks(client: GatewayClient, root_id: str, tracks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Register at most 500 files and return what became of each, in their order."""
    answer = patiently(lambda: client.mutate(_REGISTER_TRACKS, {"rootId": root_id, "tracks": tracks}))
    found: list[dict[str, Any]] = answer["tracks"]
    return found


def known_files(client: GatewayClient, root_id: str) -> dict[bytes, KnownFile]:
    """Return what the library knows of a root's files, by path."""
    found: dict[bytes, KnownFile] = {}
    token = None
    while True:
        ask = partial(client.query, _ROOT_FILES, rootId=root_id, pageSize=_FILES_PAGE_SIZE, pageToken=token)
        page = patiently(ask)["rootFiles"]
        for file in page["files"]:
            path = base64.b64decode(file["relativePathBase64"])
            hashes = bytes.fromhex(file["fileHash"]), bytes.fromhex(file["audioHash"])
            is_missing = file["missingSince"] is not None
            found[path] = KnownFile(file["sizeBytes"], int(file["mtimeNs"]), *hashes, is_missing)
        token = page["nextPageToken"]
        if token is None:
            return found


def mark_missing(client: GatewayClient, root_id: str, paths: Sequence[bytes]) -> int:
    """Mark files that are gone, and return how many were not marked before."""
    count = 0
    for batch in _encoded(paths):
        request = {"rootId": root_id, "relativePathsBase64": batch}
        count += patiently(partial(client.mutate, _MARK_MISSING, request))["markedCount"]
    return count


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


def progress_of(client: GatewayClient, root_id: str) -> dict[str, int]:
    """Count a root's tracks: pending, embedded, indexed, failed."""
    counts: dict[str, int] = patiently(lambda: client.query(_PROGRESS, rootId=root_id))["ingestProgress"]
    return counts


def failures(client: GatewayClient, root_id: str) -> Iterator[Failure]:
    """List a root's tracks that could not be heard."""
    after = None
    while True:
        page = patiently(partial(client.query, _FAILED, rootId=root_id, first=_PAGE_SIZE, after=after))["failedTracks"]
        for track in page["nodes"]:
            path = base64.b64decode(track["relativePathBase64"])
            yield Failure(path, track["relativePath"], track["reason"], track["message"])
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = page["pageInfo"]["endCursor"]
