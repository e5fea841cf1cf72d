"""Reads what the catalogue needs of each audio file of a folder; it sends nothing anywhere.

Nothing a file holds can stop it: a file that is no library track becomes a `Skipped` with a reason.
"""

import hashlib
import math
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from io import BufferedReader

from deploy.local.folder import Candidate, Reason, Skipped, Tally, scan, shown, unreadable
from deploy.local.tags import MAX_TAG_BYTES, TagsError, TagsTooLargeError, clean_text, read_tags
from deploy.local.worker_pool import worker_pool
from services.chassis.errors import NotFound
from services.chassis.media import open_below
from services.embedder.audio_hash import audio_hash
from services.social.domain.catalog import title_of

__all__ = ["Candidate", "Reason", "Skipped", "Tally", "TrackFile", "read", "read_all", "scan"]

MIN_DURATION_S = 30.0
MAX_SIZE_BYTES = 2 << 30

# Beyond what the interpreter holds: room for the largest tags some times over, and for no bomb.
_READER_MEMORY_BYTES = 512 << 20
# Of computing: hashing the largest file twice takes some 20 s on a slow core.
_READING_S = 120.0


@dataclass(frozen=True, slots=True)
class TrackFile:
    """A file that can become a track.

    Attributes:
        relative_path: Path below the root; its UTF-8 is the file system's own bytes.
        size_bytes: Length of the file.
        mtime_ns: Time of its last change.
        content_type: By its content, not its name.
        file_hash: SHA-256 of the file, 32 bytes.
        audio_hash: SHA-256 of the encoded audio without tags and art, 32 bytes.
        title: From the tags, else from the file's name; never empty. Texts as in `Tags`.
        artist: None is nobody, like every tag that is missing.
        album: Name of the album.
        genre: As the file writes it.
        year: Of release, 1000 to 2999.
        track_number: On its disc, 1 to 9,999.
        duration_s: By the file's header.
        isrc: International Standard Recording Code without hyphens.
        musicbrainz_recording_id: UUID of the recording.
        musicbrainz_artist_id: UUID of the artist.
        musicbrainz_release_id: UUID of the release.
        has_picture: Whether there is a picture in the file.
    """

    relative_path: str
    size_bytes: int
    mtime_ns: int
    content_type: str
    file_hash: bytes
    audio_hash: bytes
    title: str
    artist: str | None
    album: str | None
    genre: str | None
    year: int | None
    track_number: int | None
    duration_s: float
    isrc: str | None
    musicbrainz_recording_id: str | None
    musicbrainz_artist_id: str | None = None
    musicbrainz_release_id: str | None = None
    has_picture: bool = False

    @property
    def display_path(self) -> str:
        """The path as people should see it: NFC, no control characters."""
        return shown(self.relative_path.encode())


def read_all(
    candidates: Iterable[Candidate],
    *,
    workers: int | None = None,
    min_duration_s: float = MIN_DURATION_S,
    max_size_bytes: int = MAX_SIZE_BYTES,
    reading_s: float = _READING_S,
) -> Generator[TrackFile | Skipped, None, None]:
    """Read files in processes whose memory is limited, in the order of the candidates; a bounded number ahead.

    A file that ends the process that reads it, or computes without end, is skipped alone.

    Args:
        candidates: What `scan` found.
        workers: Processes; None takes one per core.
        min_duration_s: Shorter recordings are skipped.
        max_size_bytes: Larger files are skipped.
        reading_s: Seconds of computing that one file may take.

    Yields:
        One per candidate. Closing the generator ends the processes.
    """
    count = workers or os.cpu_count() or 1
    task = partial(_read_within, reading_s, min_duration_s=min_duration_s, max_size_bytes=max_size_bytes)
    readers = _Readers(count, task)
    try:
        for candidate in candidates:
            readers.add(candidate)
            if readers.ahead >= 8 * count:
                yield readers.take()
        while readers.ahead:
            yield readers.take()
    finally:
        readers.close()


class _Readers:
    """Processes that read files. Where one dies, those that were asked meanwhile are read one by one.

    Args:
        count: Processes.
        task: Reads a candidate.
    """

    def __init__(self, count: int, task: Callable[[Candidate], TrackFile | Skipped]) -> None:
        self._count = count
        self._task = task
        self._pool = worker_pool(count, _READER_MEMORY_BYTES)
        self._waiting: deque[tuple[Candidate, Future[TrackFile | Skipped]]] = deque()

    @property
    def ahead(self) -> int:
        """How many were added and not taken."""
        return len(self._waiting)

    def add(self, candidate: Candidate) -> None:
        """Have a file read."""
        try:
            future = self._pool.submit(self._task, candidate)
        except BrokenProcessPool:
            self._pool.shutdown()
            self._pool = worker_pool(self._count, _READER_MEMORY_BYTES)
            future = self._pool.submit(self._task, candidate)
        self._waiting.append((candidate, future))

    def take(self) -> TrackFile | Skipped:
        """Return what was read of the first file that was not taken."""
        candidate, future = self._waiting.popleft()
        try:
            return future.result()
        except BrokenProcessPool:
            return self._alone(candidate)

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)

    def _alone(self, candidate: Candidate) -> TrackFile | Skipped:
        pool = worker_pool(1, _READER_MEMORY_BYTES)
        try:
            return pool.submit(self._task, candidate).result()
        except BrokenProcessPool:
            message = "reading it ended the process that read it, or took too long"
            return Skipped(candidate.display_path, Reason.READING_FAILED, message)
        finally:
            pool.shutdown(cancel_futures=True)


def _read_within(
    seconds: float, candidate: Candidate, *, min_duration_s: float, max_size_bytes: int
) -> TrackFile | Skipped:
    """Read a file in this process, which ends where that takes longer, whatever it computes."""
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        return read(candidate, min_duration_s=min_duration_s, max_size_bytes=max_size_bytes)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def read(
    candidate: Candidate, *, min_duration_s: float = MIN_DURATION_S, max_size_bytes: int = MAX_SIZE_BYTES
) -> TrackFile | Skipped:
    """Read tags and hashes of one file. Blocks on the disk; never raises for what the file is.

    Args:
        candidate: The file; opened only below its root.
        min_duration_s: Shorter recordings are skipped.
        max_size_bytes: Larger files are skipped.
    """
    relative = candidate.relative_path.encode()
    try:
        descriptor = open_below(candidate.root, relative)
        with os.fdopen(descriptor, "rb") as file:
            return _read_open(candidate, file, min_duration_s, max_size_bytes)
    except NotFound as error:
        return unreadable(relative, error.__cause__ or error)
    except OSError as error:
        return unreadable(relative, error)


def _read_open(
    candidate: Candidate, file: BufferedReader, min_duration_s: float, max_size_bytes: int
) -> TrackFile | Skipped:
    path, before = candidate.display_path, os.fstat(file.fileno())
    if before.st_size == 0:
        return Skipped(path, Reason.AUDIO_EMPTY, "file is empty", "0")
    if before.st_size > max_size_bytes:
        message = f"file is {before.st_size} bytes, limit is {max_size_bytes}"
        return Skipped(path, Reason.AUDIO_TOO_LARGE, message, str(before.st_size), str(max_size_bytes))
    try:
        tags = read_tags(file, path)
    except TagsTooLargeError as error:
        return Skipped(path, Reason.AUDIO_TOO_LARGE, str(error), limit=str(MAX_TAG_BYTES))
    except TagsError as error:
        return Skipped(path, Reason.NOT_AUDIO, f"not audio that can be read: {error}")
    if fault := _duration_fault(path, tags.duration_s, min_duration_s):
        return fault
    file.seek(0)
    file_hash = hashlib.file_digest(file, "sha256").digest()
    container, encoded_hash = audio_hash(file)
    after = os.fstat(file.fileno())
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        return Skipped(path, Reason.UNREADABLE, "file changed while it was read")
    return TrackFile(
        relative_path=candidate.relative_path,
        size_bytes=before.st_size,
        mtime_ns=before.st_mtime_ns,
        content_type=container.value,
        file_hash=file_hash,
        audio_hash=encoded_hash,
        title=tags.title or clean_text(title_of(candidate.relative_path.encode())),
        artist=tags.artist,
        album=tags.album,
        genre=tags.genre,
        year=tags.year,
        track_number=tags.track_number,
        duration_s=tags.duration_s,
        isrc=tags.isrc,
        musicbrainz_recording_id=tags.musicbrainz_recording_id,
        musicbrainz_artist_id=tags.musicbrainz_artist_id,
        musicbrainz_release_id=tags.musicbrainz_release_id,
        has_picture=tags.has_picture,
    )


def _duration_fault(path: str, duration_s: float, min_duration_s: float) -> Skipped | None:
    # Rounded down: 29.97 s is not "30.0 s, minimum is 30 s".
    value, limit = f"{math.floor(duration_s * 10) / 10:.1f}", f"{min_duration_s:g}"
    if duration_s == 0:
        return Skipped(path, Reason.AUDIO_EMPTY, "audio is 0 s long", value, limit)
    if duration_s < min_duration_s:
        return Skipped(path, Reason.AUDIO_TOO_SHORT, f"audio is {value} s, minimum is {limit} s", value, limit)
    return None
