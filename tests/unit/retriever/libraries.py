"""Small libraries for hypothesis: few different texts and numbers, so that filters meet tracks often."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from services.retriever.filters import Interval, TrackFilter
from services.retriever.index.index import TrackIndex
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track, fold

IDS = [f"t{number:02d}" for number in range(12)]
ARTISTS = ["", "Beyoncé", "BEYONCE\u0301", "Bob", " bob "]
GENRES = ["", "Rock", "rock", "Jazz"]
KEYS = ["", "C major", "F# minor"]
TAGS = ["piano", "Piano", "loud", "slow", ""]
YEARS = [0, 1990, 2000, 2010]
LENGTHS = [0.0, 59.5, 180.0]
MEASURES: list[float | None] = [None, 0.0, 0.5, 1.0]


def some(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


def tracks(ids: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[Track]:
    return st.builds(
        Track,
        track_id=some(IDS) if ids is None else ids,
        version=st.just(1),
        artist=some(ARTISTS),
        genre=some(GENRES),
        key=some(KEYS),
        tags=st.lists(some(TAGS), max_size=4).map(tuple),
        year=some(YEARS),
        duration_s=some(LENGTHS),
        tempo_bpm=some(MEASURES),
        energy=some(MEASURES),
        loudness_lufs=some(MEASURES),
    )


def _texts(values: list[str]) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(some(sorted({fold(value) for value in values} | {"nobody"})), min_size=1, max_size=3)


def _intervals(values: list[float]) -> st.SearchStrategy[Interval]:
    ends = st.tuples(some([-float("inf"), *values]), some([*values, float("inf")]))
    return ends.filter(lambda pair: pair[0] <= pair[1]).map(lambda pair: Interval(*pair))


_IDS = st.frozensets(some([*IDS, "nobody"]), min_size=1, max_size=9)
_PARTS: dict[str, st.SearchStrategy[Any]] = {
    "genres": _texts(GENRES),
    "artists": _texts(ARTISTS),
    "blocked_artists": _texts(ARTISTS),
    "track_ids": _IDS,
    "blocked_track_ids": _IDS,
    "tags": _texts(TAGS),
    "blocked_tags": _texts(TAGS),
    "keys": _texts(KEYS),
    "duration_s": _intervals([59.5, 100.0, 180.0]),
    "year": _intervals([1990, 1999, 2010]),
    "tempo_bpm": _intervals([0.0, 0.5]),
    "energy": _intervals([0.5, 1.0]),
    "loudness_lufs": _intervals([-1.0, 0.0]),
}


def filters() -> st.SearchStrategy[TrackFilter]:
    """Filters that ask at most three things: of more, nothing would be left."""
    names = st.lists(some(sorted(_PARTS)), max_size=3, unique=True)
    parts = names.flatmap(lambda chosen: st.fixed_dictionaries({name: _PARTS[name] for name in chosen}))
    return parts.map(lambda chosen: TrackFilter(**chosen))


def unit(seed: int, dimension: int = 8) -> Float32Array:
    vector = np.random.default_rng(seed).standard_normal(dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def index_of(known: Iterable[Track], vectors: Iterable[Float32Array]) -> TrackIndex:
    """An index that took in these tracks one by one."""
    index = TrackIndex("enc")
    for track, vector in zip(known, vectors, strict=True):
        index.upsert(track, vector)
    return index
