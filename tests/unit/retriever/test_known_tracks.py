"""What is known of an index's tracks against a dictionary, while they come, go and move into the next base's table."""

import hashlib

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.retriever.filters import TrackFilter
from services.retriever.index.known_tracks import KnownTracks
from services.retriever.index.track_table import NextTable
from services.retriever.tracks import Track
from tests.unit.retriever.libraries import IDS, filters, tracks


class KnownMachine(RuleBasedStateMachine):
    """Does the same to the tracks of an index and to a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.tracks = KnownTracks()
        self.table = NextTable.of([]).in_memory()
        self.known: dict[str, Track] = {}

    @rule(some=st.lists(tracks(), min_size=1, max_size=6))
    def put(self, some: list[Track]) -> None:
        for track in some:
            old = self.tracks.label_of(track.track_id)
            self.tracks.append(track)
            if old is not None:
                self.tracks.cross_out(old)
            self.known[track.track_id] = track

    @rule(track_id=st.sampled_from(IDS))
    def remove(self, track_id: str) -> None:
        label = self.tracks.label_of(track_id)
        assert (label is not None) is (track_id in self.known)
        if label is not None:
            self.tracks.cross_out(label)
            del self.known[track_id]

    @rule()
    def move(self) -> None:
        """All that is there becomes the next table, and nothing else is in it."""
        alive, base_count = self.tracks.alive, self.tracks.base_count
        came = [track for track, is_there in zip(self.tracks.added, alive[base_count:], strict=True) if is_there]
        self.table = NextTable(self.table, alive[:base_count].copy(), came).in_memory()
        assert list(self.table) == [self.tracks[label] for label in np.flatnonzero(alive).tolist()]
        self.tracks = KnownTracks(self.table, np.ones(len(self.table), np.bool_))
        fresh = NextTable.of(list(self.known.values())).in_memory()
        assert len(self.table.terms) == len(fresh.terms)

    @rule(wanted=filters())
    def filter(self, wanted: TrackFilter) -> None:
        labels = np.flatnonzero(self.tracks.where(wanted)).tolist()
        found = sorted(self.tracks.id_of(label) for label in labels)
        assert found == sorted(track_id for track_id, track in self.known.items() if wanted.takes(track))

    @rule(count=st.integers(0, 14))
    def draw(self, count: int) -> None:
        digests = {each: hashlib.blake2b(each.encode(), digest_size=8).digest() for each in self.known}
        expected = sorted(self.known, key=lambda track_id: digests[track_id])[:count]
        found = self.tracks.smallest(count)
        assert [track_id for _, track_id in found] == expected
        assert [number.to_bytes(8, "big") for number, _ in found] == [digests[track_id] for track_id in expected]

    @invariant()
    def holds_the_same_tracks(self) -> None:
        assert len(self.tracks) == len(self.known)
        for track_id in (*IDS, "nobody"):
            label = self.tracks.label_of(track_id)
            assert (label is None) is (track_id not in self.known)
            if label is not None:
                assert (self.tracks.id_of(label), self.tracks[label]) == (track_id, self.known[track_id])
        assert self.tracks.alive.sum() == len(self.known)
        counted = self.tracks.base_count - self.tracks.gone_of_base + self.tracks.added_count
        assert counted == len(self.known)


TestKnownMachine = KnownMachine.TestCase
TestKnownMachine.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)


def test_many_tracks_come_one_after_the_other() -> None:
    known = KnownTracks()
    for number in range(700):  # beyond what room is made for at first, twice
        known.append(Track(f"t{number}", 1, genre=f"g{number % 7}", tags=("a",) * (number % 3)))
    found = known.where(TrackFilter(genres=frozenset({"g3"}), tags=frozenset({"a"})))
    assert np.flatnonzero(found).tolist() == [n for n in range(700) if n % 7 == 3 and n % 3]
