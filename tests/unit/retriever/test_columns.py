"""Masks of columns against one call a track, and searches with filters against brute force, after any changes."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from services.retriever.filters import TrackFilter
from services.retriever.index.columns import GrowingColumns
from services.retriever.index.index import TrackIndex
from services.retriever.index.track_table import NextTable, TrackTable
from services.retriever.library import Nearest
from services.retriever.similarity import Float32Array, cosines
from services.retriever.tracks import Track
from tests.unit.retriever.libraries import IDS, filters, tracks, unit


def told(found: Nearest) -> list[tuple[float, str]]:
    return [(value, track.track_id) for value, track in zip(found.similarities.tolist(), found.tracks, strict=True)]


def brute_force(
    known: dict[str, tuple[Track, Float32Array]], query: Float32Array, count: int, wanted: TrackFilter
) -> list[tuple[float, str]]:
    ranked = [
        (-float(cosines(vector[None], query)[0]), track.track_id)
        for track, vector in known.values()
        if wanted.takes(track)
    ]
    return [(-value, track_id) for value, track_id in sorted(ranked)[:count]]


class FilteredIndexMachine(RuleBasedStateMachine):
    """Searches an index with filters while it changes; several tracks have the same sound."""

    def __init__(self) -> None:
        super().__init__()
        self.index = TrackIndex("enc")
        self.known: dict[str, tuple[Track, Float32Array]] = {}

    @rule(track=tracks(), sound=st.integers(0, 5))
    def upsert(self, track: Track, sound: int) -> None:
        self.index.upsert(track, unit(sound))
        self.known[track.track_id] = track, unit(sound)

    @rule(track_id=st.sampled_from(IDS))
    def remove(self, track_id: str) -> None:
        self.index.remove(track_id)
        self.known.pop(track_id, None)

    @rule(sound=st.integers(0, 5), count=st.integers(1, 14), wanted=filters())
    def search(self, sound: int, count: int, wanted: TrackFilter) -> None:
        expected = brute_force(self.known, unit(sound), count, wanted)
        for form in (wanted, wanted.takes, lambda track: wanted.takes(track)):
            found = self.index.nearest(unit(sound), count, form)
            # The order of summation moves a product by less than the sixth decimal; sounds are equal or far apart.
            assert [track_id for _, track_id in told(found)] == [track_id for _, track_id in expected]
            for (value, _), (other, _) in zip(told(found), expected, strict=True):
                assert abs(value - other) < 2e-6
            for track, vector in zip(found.tracks, found.vectors, strict=True):
                assert track == self.known[track.track_id][0]
                assert abs(vector - self.known[track.track_id][1]).max() < 1e-6


TestFilteredIndexMachine = FilteredIndexMachine.TestCase
TestFilteredIndexMachine.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)


def asked_of_columns(wanted: TrackFilter) -> TrackFilter:
    return replace(wanted, track_ids=frozenset(), blocked_track_ids=frozenset())


@settings(deadline=None, max_examples=100)
@given(st.lists(tracks(), max_size=12, unique_by=lambda track: track.track_id), filters(), st.integers(0, 12))
def test_a_mask_is_one_call_a_track(known: list[Track], wanted: TrackFilter, kept_count: int) -> None:
    wanted = asked_of_columns(wanted)
    expected = [wanted.takes(track) for track in known]
    assert GrowingColumns.of(known).mask(wanted).tolist() == expected
    assert TrackTable.of(known).mask(wanted).tolist() == expected
    first = TrackTable.of(known[:kept_count])
    assert NextTable(first, np.ones(len(first), np.bool_), known[kept_count:]).in_memory().mask(wanted).tolist() == (
        expected
    )


def test_a_text_that_no_track_has_is_found_nowhere() -> None:
    known = [Track("a", artist="Bob", tags=("loud",)), Track("b")]
    for columns in (GrowingColumns.of(known), TrackTable.of(known)):
        for wanted in (
            TrackFilter(artists=frozenset({"eve"})),
            TrackFilter(artists=frozenset({"eve", "mallory"})),
            TrackFilter(artists=frozenset({"loud"})),  # somebody's tag
            TrackFilter(tags=frozenset({"slow"})),
            TrackFilter(keys=frozenset({"c major"})),
        ):
            assert columns.mask(wanted).tolist() == [False, False]
        assert columns.mask(TrackFilter(blocked_artists=frozenset({"eve", "mallory"}))).tolist() == [True, True]


def test_what_is_known_of_a_track_stays_its_own_when_another_one_goes() -> None:
    index = TrackIndex("enc")
    for number in range(3):
        index.upsert(Track(f"t{number}", 1, genre=f"G{number}"), unit(number))
    index.remove("t0")
    for number, expected in enumerate(([], ["t1"], ["t2"])):
        found = index.nearest(unit(1), 3, TrackFilter(genres=frozenset({f"g{number}"})))
        assert [track.track_id for track in found.tracks] == expected
