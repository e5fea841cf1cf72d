"""What a path may lead through: points on the way between two sounds, and the tracks of a library around them.

Pure numpy: no I/O, no index, no wire format.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from services.retriever.errors import SeedsCancel
from services.retriever.library import Library, Wanted
from services.retriever.playlist.target import SHORTEST_MEAN
from services.retriever.similarity import Float32Array, cosines
from services.retriever.tracks import Track

# The library is asked around so many points at most, evenly on the way: a long path has several places to each.
_MOST_QUERIES = 12
_FETCH_PER_PLACE = 8
_FETCH_MORE = 96


@dataclass(frozen=True, slots=True)
class Pool:
    """Candidates around all points of a way.

    Attributes:
        tracks: Each once, by id.
        vectors: Theirs, shape (len(tracks), dim), float32.
        nearness: Cosines of each place to each track, shape (places, len(tracks)), float32.
        are_all: Whether there are no more.
    """

    tracks: list[Track]
    vectors: Float32Array
    nearness: Float32Array
    are_all: bool


def great_circle(start: Float32Array, end: Float32Array, count: int) -> Float32Array:
    """Return points at equal angles between two unit vectors, without these: "slerp" (Shoemake, SIGGRAPH 1985).

    Args:
        start: Unit vector, shape (dim,), float32.
        end: Likewise.
        count: How many.

    Returns:
        Unit vectors, shape (count, dim), float32, from start to end.

    Raises:
        SeedsCancel: Both are opposite.
    """
    one, other = start.astype(np.float64), end.astype(np.float64)
    if (middle := float(np.linalg.norm(one + other)) / 2) < SHORTEST_MEAN:
        raise SeedsCancel(middle, SHORTEST_MEAN)
    angle = float(np.arccos(np.clip(one @ other, -1.0, 1.0)))
    share = np.arange(1, count + 1)[:, np.newaxis] / (count + 1)  # (count, 1)
    # sin(a) / a → 1: ends of the same sound have straight lines between them.
    points = np.sin((1 - share) * angle) * one + np.sin(share * angle) * other if angle > 1e-4 else one + share * 0
    unit: Float32Array = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    return unit


def pools(library: Library, points: Float32Array, wanted: Wanted | None) -> Iterator[Pool]:
    """Yield the tracks around the points, in ever wider circles, until all are there."""
    queries = points[np.unique(np.linspace(0, len(points) - 1, _MOST_QUERIES).round().astype(int))]
    count = _FETCH_PER_PLACE * -(-len(points) // len(queries)) + _FETCH_MORE
    are_all = False
    while not are_all:
        if count * len(queries) >= len(library):
            # All of them at once: circles that cover the library hold each track many times.
            queries, count, are_all = queries[:1], len(library), True
        found: dict[str, tuple[Track, Float32Array]] = {}
        for query in queries:
            nearest = library.nearest(query, count, wanted)
            for track, vector in zip(nearest.tracks, nearest.vectors, strict=True):
                found.setdefault(track.track_id, (track, vector))
            if wanted is not None and len(nearest.tracks) < count:
                are_all = True
                break
        tracks = [found[track_id][0] for track_id in sorted(found)]
        vectors = [found[track_id][1] for track_id in sorted(found)]
        stacked = np.stack(vectors) if vectors else np.empty((0, points.shape[1]), np.float32)
        yield Pool(tracks, stacked, cosines(points, stacked.T), are_all)
        count *= 2
