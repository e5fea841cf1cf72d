"""Chooses tracks for a taste: the nearest that its owner does not know yet. Pure; knows no requests."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from services.retriever.engine import Engine
from services.retriever.library import Nearest, Wanted
from services.retriever.playlist.recordings import Recordings
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track

# Candidates that are looked at beside the known tracks: all of them take 80 ms, in which nothing changes.
MAX_CANDIDATES = 2000


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What was chosen, nearest first, with cosines to the taste, and how many candidates each rule passed over."""

    tracks: list[tuple[Track, float]]
    removed: dict[str, int]


def recommend(
    library: Engine,
    taste: Float32Array,
    limit: int,
    max_per_artist: int,
    known: Collection[str] = (),
    wanted: Wanted | None = None,
) -> Recommendation:
    """Find the tracks nearest to a taste.

    Candidates are passed over that are known, that are the same recording as a known or a chosen one or its
    near-duplicate, and that would be one too many of their artist (else album, else folder). What comes after the last
    chosen one is not asked, and what comes after the 2,000th that is not known is not looked at.

    Args:
        library: Where to look.
        taste: Unit vector, shape (dim,), float32.
        limit: How many tracks, at least 1; fewer where there are no more.
        max_per_artist: Most tracks of one artist, at least 1.
        known: Ids of the tracks that must not be chosen; a set, best.
        wanted: Which tracks may be chosen; None lets in all.
    """
    recordings = [
        (track, vector)
        for track_id, vector in library.vectors_of(list(known)).items()
        if (track := library.track(track_id)) is not None
    ]
    count, most = 2 * limit + len(known), MAX_CANDIDATES + len(known)
    while True:
        nearest = library.nearest(taste, count, wanted)
        found = _choose(nearest, limit, max_per_artist, known, recordings)
        if len(found.tracks) == limit or len(nearest.tracks) < count or count == most:
            return found
        count = min(4 * count, most)


def _choose(
    nearest: Nearest,
    limit: int,
    max_per_artist: int,
    known: Collection[str],
    known_recordings: Iterable[tuple[Track, Float32Array]],
) -> Recommendation:
    recordings = Recordings()
    for track, vector in known_recordings:
        recordings.add(track, vector)
    chosen: list[tuple[Track, float]] = []
    by_artist: Counter[tuple[str, str]] = Counter()
    removed: Counter[str] = Counter()
    ranked = zip(nearest.tracks, nearest.vectors, nearest.similarities.tolist(), strict=True)
    for track, vector, similarity in ranked:
        if len(chosen) == limit:
            break
        if track.track_id in known:
            removed["known"] += 1
        elif (sameness := recordings.find(track, vector)) is not None:
            removed[sameness.value] += 1
        elif by_artist[track.artist_key] >= max_per_artist:
            removed["max_per_artist"] += 1
        else:
            chosen.append((track, similarity))
            by_artist[track.artist_key] += 1
            recordings.add(track, vector)
    return Recommendation(chosen, dict(removed))
