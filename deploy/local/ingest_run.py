"""One run of an ingest: registers files batch by batch, finds the moved and the missing, and waits for the mesh."""

import base64
import json
import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from clients.python.operations import Registered, TrackRegistrationInput
from deploy.local import ingest_calls as calls
from deploy.local.client import GatewayClient
from deploy.local.files import Candidate, Skipped, TrackFile
from deploy.local.folder import shown
from deploy.local.ingest_report import IngestReport
from services.gateway.covers.folder_images import has_folder_image
from services.social.sources.rows import SourceTrack

_BATCH_SIZE = 100
# Of a body of 2 MiB.
_BATCH_BYTES = 1 << 20
_POLL_INTERVAL_S = 0.5
# Failures that tell of the file's place: another registration tries again.
_ABOUT_THE_FILE = "MEDIA_"


class IngestProgress(Protocol):
    """Is told how far an ingest is; every count is a total so far."""

    def reading(self, done: int, total: int) -> None:
        """`done` of `total` files have been read."""

    def embedding(self, done: int, total: int) -> None:
        """`done` of `total` tracks are in the index or known not to get there."""


class IngestRun:
    """Brings the files of one folder in. Safe to stop at any point, and to repeat.

    Args:
        client: Logged in as an admin.
        folder: As the processes that read media see it.
        progress: Told how far it is.
        source: What tracks are said to come from where nothing else says it.
    """

    def __init__(self, client: GatewayClient, folder: Path, progress: IngestProgress, source: str = "folder") -> None:
        self._started = time.monotonic()
        self._client = client
        self._folder = folder
        self._progress = progress
        self._source = source
        self._batch: list[tuple[TrackFile, TrackRegistrationInput, bytes]] = []
        self._batch_bytes = 0
        self.report = IngestReport(calls.register_root(client, str(folder)))
        self._known = calls.known_files(client, self.report.root_id)
        self._again = {
            failure.path
            for failure in (calls.failures(client, self.report.root_id) if self._known else ())
            if failure.reason.startswith(_ABOUT_THE_FILE)
        }
        self._beside: dict[str, bool] = {}
        self._gone: set[bytes] = set()
        # Of what is gone, by the file's own bytes and by its audio.
        self._places: dict[bytes, list[bytes]] = {}
        self._taken: set[bytes] = set()
        self._perhaps_moved: list[tuple[TrackFile, SourceTrack | None]] = []

    def look_for_missing(self, present: Collection[bytes]) -> None:
        """Find the files that the library knows and the disk does not hold any more.

        A folder that holds nothing at all is taken for a disk that is not there.

        Args:
            present: Paths that are known to be there; all others are looked up.
        """
        gone = [path for path in self._known if path not in present and not self._is_there(path)]
        if gone and not any(self._folder.iterdir()):
            self.report.warning = (
                f"{self._folder} is empty, and {len(gone)} tracks were in it: is the disk there? "
                "None of them is marked missing."
            )
            return
        for path in sorted(gone):
            self._gone.add(path)
            for digest in (self._known[path].file_hash, self._known[path].audio_hash):
                self._places.setdefault(digest, []).append(path)

    def is_unchanged(self, candidate: Candidate) -> bool:
        """Say whether a file is the one that was registered, by its size and the time of its last change.

        It is read again where it got a picture beside it, or where a release registered it that looked for none.
        """
        path = candidate.relative_path.encode()
        known = self._known.get(path)
        if known is None or known.is_missing or not known.mtime_ns or path in self._again:
            return False
        if known.has_cover is None or (not known.has_cover and self._has_picture_beside(candidate.relative_path)):
            return False
        try:
            found = os.stat(self._folder / candidate.relative_path)
        except (OSError, ValueError):
            return False
        return (found.st_size, found.st_mtime_ns) == (known.size_bytes, known.mtime_ns)

    def skip_unchanged(self) -> None:
        """Count a file that need not be opened."""
        self.report.unread += 1
        self.report.count("UNCHANGED")

    def leave_out(self, skipped: Skipped) -> None:
        """Note a file that is no library track."""
        self.report.left_out.append((skipped.display_path, skipped.reason.value, skipped.message))

    def add(self, file: TrackFile, said: SourceTrack | None = None) -> None:
        """Register a file, now or with the next ones.

        One that was moved and tagged anew waits until every file was read: another may be the very same as the one
        that is gone.

        Args:
            file: What was read.
            said: What a source says of it, which goes before the file's own tags.
        """
        is_new = file.relative_path.encode() not in self._known
        previous = self._left_by(file.file_hash) if is_new else b""
        if is_new and not previous and file.audio_hash in self._places:
            self._perhaps_moved.append((file, said))
        else:
            self._add(file, said, previous)

    def _add(self, file: TrackFile, said: SourceTrack | None, previous: bytes) -> None:
        has_cover = file.has_picture or self._has_picture_beside(file.relative_path)
        registration = _registration(file, said, previous, self._source, has_cover)
        size = len(json.dumps(registration.written()))
        if len(self._batch) == _BATCH_SIZE or self._batch_bytes + size > _BATCH_BYTES:
            self.flush()
        self._batch.append((file, registration, previous))
        self._batch_bytes += size

    def flush(self) -> None:
        """Register what waits."""
        if self._batch:
            batch, self._batch, self._batch_bytes = self._batch, [], 0
            answers = calls.register_tracks(self._client, self.report.root_id, [one[1] for one in batch])
            for (file, _, previous), track in zip(batch, answers, strict=True):
                self._note(file, previous, track)
            self._tell_embedding()

    def finish(self) -> IngestReport:
        """Mark what is gone, wait until all is heard or known not to be, and return the report."""
        for file, said in self._perhaps_moved:
            self._add(file, said, self._left_by(file.audio_hash))
        self.flush()
        missing = [path for path in sorted(self._gone) if not self._known[path].is_missing]
        calls.mark_missing(self._client, self.report.root_id, missing)
        for path in missing:
            self.report.count("MISSING", shown(path))
        while not self._tell_embedding():
            time.sleep(_POLL_INTERVAL_S)
        for failure in calls.failures(self._client, self.report.root_id):
            if failure.path not in self._gone:
                self.report.left_out.append((failure.shown, failure.reason, failure.message))
        self.report.seconds = time.monotonic() - self._started
        return self.report

    def _has_picture_beside(self, relative_path: str) -> bool:
        folder = os.path.dirname(relative_path)
        if folder not in self._beside:
            self._beside[folder] = has_folder_image(str(self._folder), relative_path.encode())
        return self._beside[folder]

    def _left_by(self, digest: bytes) -> bytes:
        """Take a place where a file with this digest was, empty where there is none; each is taken once."""
        for path in self._places.get(digest, []):
            if path not in self._taken:
                self._taken.add(path)
                return path
        return b""

    def _note(self, file: TrackFile, previous: bytes, track: Registered) -> None:
        outcome = track.outcome
        is_moved = outcome == "MOVED"
        self.report.count(outcome, file.display_path, shown(previous) if is_moved else "")
        if is_moved:
            self._gone.discard(previous)
        if outcome == "REFUSED":
            self.report.left_out.append((file.display_path, track.reason or outcome, track.message or ""))

    def _is_there(self, path: bytes) -> bool:
        try:
            os.lstat(os.path.join(os.fsencode(self._folder), path))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # it cannot be seen now, which is another thing
        return True

    def _tell_embedding(self) -> bool:
        """Ask how far the mesh is and pass it on; returns whether nothing is under way."""
        counts = calls.progress_of(self._client, self.report.root_id)
        self.report.indexed = counts.indexed
        under_way = counts.pending + counts.embedded
        done = counts.indexed + counts.failed
        self._progress.embedding(done, done + under_way)
        return under_way == 0


def _registration(
    file: TrackFile, said: SourceTrack | None, previous: bytes, source: str, has_cover: bool
) -> TrackRegistrationInput:
    """Put together what the source and the file say; the source goes first."""
    said = said or SourceTrack(file.relative_path, source)
    return TrackRegistrationInput(
        relative_path=file.relative_path,
        file_hash=file.file_hash.hex(),
        audio_hash=file.audio_hash.hex(),
        size_bytes=file.size_bytes,
        content_type=file.content_type,
        title=said.title or file.title,
        artist=said.artist or file.artist,
        album=said.album or file.album,
        raw_genre=said.raw_genre or file.genre,
        genre=said.genre or None,
        sub_genres=list(said.sub_genres) or None,
        tags=list(said.tags) or None,
        year=said.year or file.year,
        duration_seconds=file.duration_s,
        isrc=said.isrc or file.isrc,
        musicbrainz_recording_id=said.musicbrainz_recording_id or file.musicbrainz_recording_id,
        musicbrainz_artist_id=said.musicbrainz_artist_id or (None if said.artist else file.musicbrainz_artist_id),
        musicbrainz_release_id=said.musicbrainz_release_id or (None if said.album else file.musicbrainz_release_id),
        licence=said.licence or None,
        source=said.source,
        mtime_ns=str(file.mtime_ns) if 0 < file.mtime_ns < 1 << 63 else None,
        has_cover=has_cover,
        previous_path_base64=base64.b64encode(previous).decode() if previous else None,
    )
