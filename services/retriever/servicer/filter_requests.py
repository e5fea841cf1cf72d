"""Checks the filter of a request and turns it into the filter of the domain."""

import math
from collections.abc import Sequence

from museed.retriever.v1 import retriever_pb2
from services.retriever.filters import Interval, TrackFilter
from services.retriever.request_errors import RangeReversed
from services.retriever.servicer.limits import ids, texts, within
from services.retriever.tracks import fold

# Most entries of each list.
LISTS = {
    "genres": 100,
    "artists": 1000,
    "blocked_artists": 10_000,
    "blocked_track_ids": 10_000,
    "track_ids": 10_000,
    "tags": 20,
    "blocked_tags": 20,
    "keys": 24,
}
# Smallest and largest end of each range.
RANGES = {
    "duration_seconds": (0, 1_000_000),
    "year": (0, 9999),
    "tempo_bpm": (0, 1000),
    "energy": (0, 1),
    "loudness_lufs": (-200, 100),
}
MAX_TEXT = 1000


def track_filter(message: retriever_pb2.Filter, field: str) -> TrackFilter | None:
    """Return the filter of a request; None where it asks nothing.

    Args:
        message: As it came; unset is empty.
        field: Its path in the request, for errors.

    Raises:
        CountOutOfRange: A list has too many entries.
        MissingInput, TextTooLong: An entry is blank, or longer than 1,000 characters, an id than 100.
        OutOfRange: An end of a range is beyond its limits or no number.
        RangeReversed: The smallest of a range is above its largest.
    """
    found = TrackFilter(
        genres=_texts(message.genres, field, "genres"),
        artists=_texts(message.artists, field, "artists"),
        blocked_artists=_texts(message.blocked_artists, field, "blocked_artists"),
        track_ids=_ids(message.track_ids, field, "track_ids"),
        blocked_track_ids=_ids(message.blocked_track_ids, field, "blocked_track_ids"),
        tags=_texts(message.tags, field, "tags"),
        blocked_tags=_texts(message.blocked_tags, field, "blocked_tags"),
        keys=_texts(message.keys, field, "keys"),
        duration_s=_interval(message, field, "duration_seconds"),
        year=_interval(message, field, "year"),
        tempo_bpm=_interval(message, field, "tempo_bpm"),
        energy=_interval(message, field, "energy"),
        loudness_lufs=_interval(message, field, "loudness_lufs"),
    )
    return None if found == TrackFilter() else found


def _texts(entries: Sequence[str], field: str, name: str) -> frozenset[str]:
    return frozenset(map(fold, texts(f"{field}.{name}", entries, MAX_TEXT, LISTS[name])))


def _ids(entries: Sequence[str], field: str, name: str) -> frozenset[str]:
    return frozenset(ids(f"{field}.{name}", entries, LISTS[name]))


def _interval(message: retriever_pb2.Filter, field: str, name: str) -> Interval | None:
    if not message.HasField(name):  # type: ignore[arg-type]  # one of the names above
        return None
    ends = getattr(message, name)
    lowest = _end(ends, f"{field}.{name}", "min", name, -math.inf)
    highest = _end(ends, f"{field}.{name}", "max", name, math.inf)
    if lowest > highest:
        raise RangeReversed(f"{field}.{name}", lowest, highest)
    return Interval(lowest, highest)


def _end(ends: retriever_pb2.Range, field: str, end: str, name: str, open_end: float) -> float:
    if not ends.HasField(end):  # type: ignore[arg-type]  # min or max
        return open_end
    value: float = getattr(ends, end)
    return within(f"{field}.{end}", value, *RANGES[name])
