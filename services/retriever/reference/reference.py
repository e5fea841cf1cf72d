"""Matches a reference with tracks window by window, whose blobs it reads on threads of its own."""

import asyncio
import logging
import math
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from services.retriever.reference.segments import (
    Float64Array,
    Pair,
    Windows,
    compare,
    similarities,
    times_s,
    voiced,
    window_length_s,
)
from services.retriever.reference.window_store import UnreadableWindowsError, WindowStore, close, read_windows
from services.retriever.request_errors import OutOfRange
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track

# Of a window.
MAX_WINDOW_S = 600
# Files that are open at a time for one call, and calls that have some open.
_CHUNK = 16
# Windows of tracks that are compared at a time, of one track at least: with 720 of the reference some 50 MB.
_MAX_ROWS = 4096
_AT_A_TIME = 4
_THREADS = 2
_SCORE_DECIMALS = 6
# So many blobs that cannot be read are named in the log, each once; all are counted in answers.
_NAMED = 100

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A recording that is looked for.

    Attributes:
        windows: Those that are not silent, with their times.
        seconds: How long each of them is, shape (n,).
        vector: Of the whole, shape (dim,), float32, unit norm.
        window_s: Length of a full window: its encoder's, and so the tracks', too.
    """

    windows: Windows
    seconds: Float64Array
    vector: Float32Array
    window_s: float


@dataclass(frozen=True, slots=True)
class Segment:
    """Seconds of the reference that sound like seconds of the track, each from and to; the latter may be unknown."""

    reference_s: tuple[float, float]
    track_s: tuple[float, float] | None
    similarity: float


@dataclass(frozen=True, slots=True)
class TrackMatch:
    """A track with its cosine to the reference; score and segments where its windows could be compared.

    Attributes:
        window_s: Between which lengths its windows must lie, in seconds; None where that is not known.
        unreadable: Why its windows could not be read.
    """

    track: Track
    similarity: float
    score: float | None = None
    segments: tuple[Segment, ...] = ()
    window_s: tuple[float, float] | None = None
    unreadable: str = ""


@dataclass(frozen=True, slots=True)
class Matches:
    """The best tracks, and how many candidates there were that could not be compared by windows, and why."""

    tracks: list[TrackMatch]
    candidate_count: int
    without_windows_count: int
    unreadable_count: int


class _Read(NamedTuple):
    """A track whose windows are in memory; see `TrackMatch`."""

    track: Track
    similarity: float
    windows: Windows
    window_s: tuple[float, float] | None


class ReferenceMatcher:
    """Compares references with tracks.

    Args:
        store: Where the windows of tracks are.
    """

    def __init__(self, store: WindowStore) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="retriever-windows")
        self._turns = asyncio.Semaphore(_AT_A_TIME)
        self._named: set[bytes] = set()

    async def match(
        self, reference: Reference, candidates: Sequence[tuple[Track, float]], k: int, segment_count: int
    ) -> Matches:
        """Compare tracks by their windows.

        Args:
            reference: What is looked for.
            candidates: Tracks with their cosines to it.
            k: How many of them are wanted.
            segment_count: Pairs of segments wanted of each.

        Returns:
            Best score first, then those without one, most similar first; ties by id.

        Raises:
            OutOfRange: The windows of the reference have another length than those of the tracks.
        """
        with_windows = [candidate for candidate in candidates if candidate[0].windows_digest]
        found = [TrackMatch(track, similarity) for track, similarity in candidates if not track.windows_digest]
        without_count = len(found)
        async with self._turns:
            for start in range(0, len(with_windows), _CHUNK):
                found += await self._match(reference, with_windows[start : start + _CHUNK], segment_count)
        unreadable_count = sum(one.score is None for one in found) - without_count
        _check_window_length(reference, found)
        found.sort(key=_rank)
        return Matches(found[:k], len(candidates), without_count, unreadable_count)

    async def windows_of(self, digest: bytes, dimension: int) -> Float32Array | None:
        """Return the windows of a blob, shape (windows, dim), zeros for silent ones; None where it cannot be read."""
        (descriptor,) = await self._store.open([digest])
        if descriptor is None:
            return None
        future = self._threads.submit(read_windows, descriptor, digest, dimension)
        future.add_done_callback(lambda _: close([descriptor]))
        try:
            return await asyncio.wrap_future(future)
        except (UnreadableWindowsError, OSError) as error:
            self._store.forget(digest)
            logger.warning("windows_unreadable", extra={"digest": digest.hex(), "error": str(error)})
            return None

    async def read(self, make: Callable[[], Reference]) -> Reference:
        """Make a reference on one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, make)

    def close(self) -> None:
        """End the threads after what they have to do."""
        self._threads.shutdown()

    async def _match(
        self, reference: Reference, candidates: Sequence[tuple[Track, float]], segment_count: int
    ) -> list[TrackMatch]:
        descriptors = await self._store.open([track.windows_digest for track, _ in candidates])

        def work() -> list[TrackMatch]:
            return _compared(reference, candidates, descriptors, segment_count)

        future = self._threads.submit(work)
        # Also when it is dropped before it began, because the caller is gone.
        future.add_done_callback(lambda _: close(descriptors))
        matches = await asyncio.wrap_future(future)
        for match in matches:
            if match.score is None:
                self._store.forget(match.track.windows_digest)
                self._name(match)
        return matches

    def _name(self, match: TrackMatch) -> None:
        """Name a blob that cannot be read in the log, once."""
        digest = match.track.windows_digest
        if digest not in self._named and len(self._named) < _NAMED:
            self._named.add(digest)
            fields = {"track_id": match.track.track_id, "digest": digest.hex(), "error": match.unreadable}
            logger.warning("windows_unreadable", extra=fields)


def _compared(
    reference: Reference,
    candidates: Sequence[tuple[Track, float]],
    descriptors: Sequence[int | None],
    segment_count: int,
) -> list[TrackMatch]:
    """Compare some tracks, on a thread; those whose blobs are missing or damaged get no score."""
    matches: list[TrackMatch] = []
    read: list[_Read] = []
    row_count = 0
    for (track, similarity), descriptor in zip(candidates, descriptors, strict=True):
        try:
            found = _read(reference, track, similarity, descriptor)
        except (UnreadableWindowsError, OSError) as error:
            matches.append(TrackMatch(track, similarity, unreadable=str(error)))
            continue
        if row_count + len(found.windows.vectors) > _MAX_ROWS:
            matches += _matches(reference, read, segment_count)
            read, row_count = [], 0
        read.append(found)
        row_count += len(found.windows.vectors)
    return matches + _matches(reference, read, segment_count)


def _matches(reference: Reference, read: Sequence[_Read], segment_count: int) -> list[TrackMatch]:
    """Compare tracks whose windows are in memory."""
    found = similarities(reference.windows, [each.windows for each in read])
    matches = []
    for each, cosines in zip(read, found, strict=True):
        compared = compare(cosines, reference.seconds, segment_count)
        segments = tuple(_segment(reference.windows, each.windows, pair) for pair in compared.pairs)
        score = round(compared.score, _SCORE_DECIMALS)
        matches.append(TrackMatch(each.track, each.similarity, score, segments, each.window_s))
    return matches


def _read(reference: Reference, track: Track, similarity: float, descriptor: int | None) -> _Read:
    if descriptor is None:
        raise UnreadableWindowsError("the blob store does not give it")
    rows = read_windows(descriptor, track.windows_digest, len(reference.vector))
    heard = voiced(rows)
    times = times_s(len(rows), track.duration_s, reference.window_s)
    starts, ends = (None, None) if times is None else (times[0][heard], times[1][heard])
    window_s = window_length_s(len(rows), track.duration_s) if track.duration_s > 0 else None
    return _Read(track, similarity, Windows(rows[heard], starts, ends), window_s)


def _check_window_length(reference: Reference, matches: Sequence[TrackMatch]) -> None:
    """Compare the length of the reference's windows with what most tracks, by the number of theirs, say of it."""
    told = [match.window_s for match in matches if match.window_s is not None]
    shortest = [each for each, _ in told]
    longest = [each for _, each in told if math.isfinite(each)]  # a single row tells only that it is long enough
    lowest = statistics.median(shortest) if shortest else 0.0
    highest = statistics.median(longest) if longest else MAX_WINDOW_S
    if not lowest <= reference.window_s <= highest:
        # Rounded so that what is refused lies beyond what is told.
        told_lowest, told_highest = math.ceil(10 * lowest) / 10, math.floor(10 * highest) / 10
        raise OutOfRange("window_seconds", reference.window_s, told_lowest, told_highest)


def _segment(reference: Windows, track: Windows, pair: Pair) -> Segment:
    where = _seconds(reference, pair.reference)
    assert where is not None  # a reference always has times
    return Segment(where, _seconds(track, pair.track), pair.similarity)


def _seconds(windows: Windows, number: int) -> tuple[float, float] | None:
    if windows.starts_s is None or windows.ends_s is None:
        return None
    return float(windows.starts_s[number]), float(windows.ends_s[number])


def _rank(match: TrackMatch) -> tuple[bool, float, str]:
    return match.score is None, -(match.similarity if match.score is None else match.score), match.track.track_id
