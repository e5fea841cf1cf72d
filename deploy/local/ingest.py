"""Brings a folder of music into the library: read here, registered at the gateway, waited for until all is heard."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from deploy.local.client import ERROR_FIELDS, ClientError, GatewayClient
from deploy.local.files import Candidate, Skipped, Tally, TrackFile, read_all, scan

_BATCH_SIZE = 100
_POLL_INTERVAL_S = 0.5
_PAGE_SIZE = 100
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

_PROGRESS = """query IngestProgress($rootId: ID!) {
  ingestProgress(rootId: $rootId) { pending embedded indexed failed }
}"""

_FAILED = """query FailedTracks($rootId: ID!, $first: Int!, $after: String) {
  failedTracks(rootId: $rootId, first: $first, after: $after) {
    nodes { relativePath reason message }
    pageInfo { hasNextPage endCursor }
  }
}"""


class IngestProgress(Protocol):
    """Is told how far an ingest is; every count is a total so far."""

    def reading(self, done: int, total: int) -> None:
        """`done` of `total` files have been read."""

    def embedding(self, done: int, total: int) -> None:
        """`done` of `total` tracks are in the index or known not to get there."""


@dataclass(slots=True)
class IngestReport:
    """What an ingest did.

    Attributes:
        root_id: The folder as the library knows it.
        files: Files with a name of audio.
        other_files: Files that were passed over.
        outcomes: Tracks by what registering did, for example {"CREATED": 26}.
        left_out: (path, reason, message) of every file that is not in the library.
        indexed: Tracks of this folder that playlists can use.
        seconds: From the first file to the last track.
    """

    root_id: str
    files: int = 0
    other_files: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    left_out: list[tuple[str, str, str]] = field(default_factory=list)
    indexed: int = 0
    seconds: float = 0.0


def ingest_folder(
    client: GatewayClient, folder: Path, progress: IngestProgress, exclude: frozenset[str] = frozenset()
) -> IngestReport:
    """Register every track of a folder and wait until each one is in the index or is known not to be embeddable.

    Safe to stop and to repeat: what is in the library already is not embedded again.

    Args:
        client: Logged in as an admin.
        folder: As the processes that read media see it.
        progress: Told how far it is.
        exclude: Relative paths that are left alone.

    Raises:
        ClientError: The gateway is away, refuses, or the folder cannot be read.
    """
    started = time.monotonic()
    folder = folder.expanduser().resolve()
    tally = Tally()
    try:
        found = [item for item in scan(folder, tally) if _path(item) not in exclude]
    except OSError as error:
        raise ClientError(f"cannot read the folder {folder}: {error.strerror}", "UNREADABLE") from error
    report = IngestReport(
        patiently(lambda: client.mutate(_REGISTER_ROOT, {"location": str(folder)}))["rootId"], files=len(found)
    )
    report.other_files = tally.other_files
    report.left_out += [_row(item) for item in found if isinstance(item, Skipped)]
    candidates = [item for item in found if isinstance(item, Candidate)]
    batch: list[TrackFile] = []
    progress.reading(len(report.left_out), len(found))
    with closing(read_all(candidates)) as results:
        for done, result in enumerate(results, start=len(report.left_out) + 1):
            if isinstance(result, Skipped):
                report.left_out.append(_row(result))
            else:
                batch.append(result)
            if len(batch) == _BATCH_SIZE:
                _register(client, report, batch)
                batch.clear()
                _tell_embedding(client, report, progress)
            progress.reading(done, len(found))
    _register(client, report, batch)
    while not _tell_embedding(client, report, progress):
        time.sleep(_POLL_INTERVAL_S)
    report.left_out += _failures(client, report.root_id)
    report.seconds = time.monotonic() - started
    return report


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


def _path(item: Candidate | Skipped) -> str:
    return item.relative_path if isinstance(item, Candidate) else item.display_path


def _row(skipped: Skipped) -> tuple[str, str, str]:
    return (skipped.display_path, skipped.reason.value, skipped.message)


def _register(client: GatewayClient, report: IngestReport, batch: list[TrackFile]) -> None:
    if not batch:
        return
    request = {"rootId": report.root_id, "tracks": [_registration(file) for file in batch]}
    answer = patiently(lambda: client.mutate(_REGISTER_TRACKS, request))
    for file, track in zip(batch, answer["tracks"], strict=True):
        report.outcomes[track["outcome"]] = report.outcomes.get(track["outcome"], 0) + 1
        if track["outcome"] == "REFUSED":
            report.left_out.append((file.display_path, track["reason"], track["message"]))


def _registration(file: TrackFile) -> dict[str, Any]:
    return {
        "relativePath": file.relative_path,
        "fileHash": file.file_hash.hex(),
        "audioHash": file.audio_hash.hex(),
        "sizeBytes": file.size_bytes,
        "contentType": file.content_type,
        "title": file.title,
        "artist": file.artist,
        "album": file.album,
        "rawGenre": file.genre,
        "year": file.year,
        "durationSeconds": file.duration_s,
    }


def _tell_embedding(client: GatewayClient, report: IngestReport, progress: IngestProgress) -> bool:
    """Ask how far the mesh is and pass it on; returns whether nothing is under way."""
    counts = patiently(lambda: client.query(_PROGRESS, rootId=report.root_id))["ingestProgress"]
    report.indexed = counts["indexed"]
    under_way = counts["pending"] + counts["embedded"]
    done = counts["indexed"] + counts["failed"]
    progress.embedding(done, done + under_way)
    return bool(under_way == 0)


def _failures(client: GatewayClient, root_id: str) -> Iterator[tuple[str, str, str]]:
    after = None
    while True:
        page = patiently(partial(client.query, _FAILED, rootId=root_id, first=_PAGE_SIZE, after=after))["failedTracks"]
        for track in page["nodes"]:
            yield (track["relativePath"], track["reason"], track["message"])
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = page["pageInfo"]["endCursor"]
