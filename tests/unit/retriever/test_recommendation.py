"""Tracks for a taste against brute force over the whole library."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.retriever.index.index import TrackIndex
from services.retriever.library import Nearest, Wanted
from services.retriever.playlist.recordings import Recordings
from services.retriever.profiles.recommendation import recommend
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track
from tests.unit.retriever.test_taste import unit

COUNT = 60


def library(seed: int = 0) -> TrackIndex:
    """Tracks of a few artists, some of them twice under another id."""
    dice = np.random.default_rng(seed)
    index = TrackIndex("enc")
    for number in range(COUNT):
        song = int(dice.integers(0, 40))
        artist = f"artist {song % 7}" if song % 5 else ""
        track = Track(
            f"t{number:02d}", title=f"song {song}", artist=artist, album=f"album {song % 3}", duration_s=100.0
        )
        # Every eleventh sounds like the one before it.
        near = unit(number - 1) + 0.05 * unit(number) if number % 11 == 5 else unit(number)
        index.upsert(track, near)
    return index


@settings(deadline=None)
@given(
    st.integers(0, 3),
    st.integers(1, 30),
    st.integers(1, 4),
    st.sets(st.integers(0, COUNT + 3), max_size=40),
    st.booleans(),
)
def test_they_are_the_nearest_that_break_no_rule(
    seed: int, limit: int, per_artist: int, known_numbers: set[int], is_filtered: bool
) -> None:
    index, taste = library(seed), unit(1000 + seed)
    known = {f"t{number:02d}" for number in known_numbers}

    def wanted(track: Track) -> bool:
        return track.track_id[-1] in "02468"

    found = recommend(index, taste, limit, per_artist, known, wanted if is_filtered else None)
    ranked = index.nearest(taste, COUNT, wanted if is_filtered else None)
    heard = Recordings()
    for track in map(index.track, known):
        if track is not None:
            heard.add(track, index.vector(track.track_id))
    chosen: list[tuple[Track, float]] = []
    removed: Counter[str] = Counter()
    for track, similarity in zip(ranked.tracks, ranked.similarities.tolist(), strict=True):
        of_artist = sum(one.artist_key == track.artist_key for one, _ in chosen)
        if len(chosen) == limit:
            break
        if track.track_id in known:
            removed["known"] += 1
        elif sameness := heard.find(track, index.vector(track.track_id)):
            removed[sameness.value] += 1
        elif of_artist == per_artist:
            removed["max_per_artist"] += 1
        else:
            chosen.append((track, similarity))
            heard.add(track, index.vector(track.track_id))
    assert found.tracks == chosen
    assert found.removed == dict(removed)


def test_an_empty_library_has_nothing() -> None:
    found = recommend(TrackIndex("enc"), unit(0), 20, 3)
    assert (found.tracks, found.removed) == ([], {})


def test_what_is_known_may_be_let_in() -> None:
    index = library()
    tracks = [track.track_id for track, _ in recommend(index, index.vector("t05"), 5, 5).tracks]
    assert tracks[0] == "t05"
    without = recommend(index, index.vector("t05"), 5, 5, {"t05"})
    assert without.removed["known"] == 1
    assert "t05" not in [track.track_id for track, _ in without.tracks]


def test_no_more_than_the_bound_is_looked_at_beside_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library of one artist: the rules leave three tracks of thousands."""
    monkeypatch.setattr("services.retriever.profiles.recommendation.MAX_CANDIDATES", 200)
    index = TrackIndex("enc")
    for number in range(500):
        index.upsert(Track(f"t{number:03d}", artist="one", duration_s=10.0 * number), unit(number))
    asked: list[int] = []
    nearest = index.nearest

    def counted(query: Float32Array, count: int, wanted: Wanted | None = None) -> Nearest:
        asked.append(count)
        return nearest(query, count, wanted)

    monkeypatch.setattr(index, "nearest", counted)
    known = {f"t{number:03d}" for number in range(7)}
    found = recommend(index, unit(7), 20, 3, known)
    assert asked == [47, 188, 207]
    assert len(found.tracks) == 3
    assert sum(found.removed.values()) == 204


def test_what_is_known_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine elsewhere would be called for each."""
    index = library()
    monkeypatch.setattr(index, "vector", lambda track_id: pytest.fail("one by one"))
    assert len(recommend(index, unit(5), 5, 5, {"t01", "t02", "unheard"}).tracks) == 5
