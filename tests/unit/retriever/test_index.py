"""The index against a dictionary and numpy, under any order of additions, changes, removals and repetitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.chassis.errors import InvalidArgument
from services.retriever.index import TrackIndex
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track

DIMENSION = 8
IDS = st.sampled_from([f"t{number:02d}" for number in range(12)])


def unit(seed: int, dimension: int = DIMENSION) -> Float32Array:
    vector = np.random.default_rng(seed).standard_normal(dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class IndexMachine(RuleBasedStateMachine):
    """Does the same to an index and to a dictionary of version, title and vector."""

    def __init__(self) -> None:
        super().__init__()
        self.index = TrackIndex("enc")
        self.known: dict[str, tuple[int, str, Float32Array]] = {}

    @rule(track_id=IDS, version=st.integers(1, 4), sound=st.integers(0, 30))
    def upsert(self, track_id: str, version: int, sound: int) -> None:
        is_new = track_id not in self.known or version >= self.known[track_id][0]
        title = f"{version}-{sound}"
        for _ in range(2):  # a message may come twice
            assert self.index.upsert(Track(track_id, version, title=title), unit(sound)) is is_new
        if is_new:
            self.known[track_id] = (version, title, unit(sound))

    @rule(track_id=IDS)
    def remove(self, track_id: str) -> None:
        assert self.index.remove(track_id) is (track_id in self.known)
        assert self.index.remove(track_id) is False
        self.known.pop(track_id, None)

    @rule()
    def clear(self) -> None:
        self.index.clear()
        self.known.clear()

    @rule()
    def restore(self) -> None:
        copy = TrackIndex("enc")
        copy.fill(list(self.index.tracks), self.index.vectors.copy())
        self.index = copy

    @precondition(lambda self: self.known)
    @rule(sound=st.integers(0, 30), k=st.integers(1, 15), excluded=st.sets(IDS, max_size=14))
    def search(self, sound: int, k: int, excluded: set[str]) -> None:
        expected = sorted(
            (-round(float(np.clip(vector.astype(np.float64) @ unit(sound), -1, 1)), 5), track_id)
            for track_id, (_, _, vector) in self.known.items()
            if track_id not in excluded
        )[:k]
        hits = self.index.search(unit(sound), k, excluded)
        assert [-hit.similarity for hit in hits] == pytest.approx([value for value, _ in expected], abs=2e-5)
        found = {hit.track.track_id: hit.similarity for hit in hits}
        assert len(found) == len(hits)
        assert not found.keys() & excluded
        for track_id, similarity in found.items():
            assert similarity == pytest.approx(float(self.known[track_id][2] @ unit(sound)), abs=1e-5)

    @invariant()
    def holds_the_same_tracks(self) -> None:
        assert len(self.index) == len(self.known)
        assert self.index.dimension == (DIMENSION if self.known else 0)
        assert self.index.vectors.shape[0] == len(self.index.tracks) == len(self.known)
        for track_id, (version, title, vector) in self.known.items():
            track = self.index.track(track_id)
            assert track is not None
            assert (track.version, track.title) == (version, title)
            assert self.index.vector(track_id) == pytest.approx(vector, abs=1e-6)
        for slot, track in enumerate(self.index.tracks):
            assert np.array_equal(self.index.vectors[slot], self.index.vector(track.track_id))


TestIndexMachine = IndexMachine.TestCase
TestIndexMachine.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)


def test_an_older_version_changes_nothing() -> None:
    index = TrackIndex("enc")
    index.upsert(Track("a", 2, title="new"), unit(1))
    assert index.upsert(Track("a", 1, title="old"), unit(2)) is False
    assert index.track("a") == Track("a", 2, title="new")
    assert np.array_equal(index.vector("a"), unit(1))


def test_a_vector_of_another_dimension_is_refused_and_changes_nothing() -> None:
    index = TrackIndex("enc")
    index.upsert(Track("a", 1), unit(1))
    for track_id in ("a", "b"):
        with pytest.raises(InvalidArgument) as refused:
            index.upsert(Track(track_id, 2), unit(1, 4))
        assert (refused.value.reason, refused.value.value, refused.value.limit) == ("DIMENSION_MISMATCH", "4", "8")
    assert (len(index), index.track("a")) == (1, Track("a", 1))


def test_the_dimension_is_free_again_once_the_index_is_empty() -> None:
    index = TrackIndex("enc")
    index.upsert(Track("a", 1), unit(1))
    index.remove("a")
    assert index.search(unit(1), 5) == []
    index.upsert(Track("b", 1), unit(1, 4))
    assert index.dimension == 4


def test_vectors_are_normalised_so_that_no_similarity_exceeds_one() -> None:
    index = TrackIndex("enc")
    index.upsert(Track("a", 1), unit(1) * np.float32(1.0009))
    assert index.search(unit(1), 1)[0].similarity == 1.0


def test_equal_sounds_are_ordered_by_id() -> None:
    index = TrackIndex("enc")
    for track_id in "dbca":
        index.upsert(Track(track_id, 1), unit(1))
    assert [hit.track.track_id for hit in index.search(unit(1), 4)] == ["a", "b", "c", "d"]


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 1000))
def test_search_is_exact(count: int, k: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    index = TrackIndex("enc")
    for number, vector in enumerate(vectors):
        index.upsert(Track(f"t{number:03d}", 1), vector)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    best = np.argsort(-(units @ unit(seed)))[:k]
    hits = index.search(unit(seed), k)
    assert [hit.similarity for hit in hits] == pytest.approx((units @ unit(seed))[best], abs=2e-6)


def test_readers_cannot_write_into_the_index() -> None:
    index = TrackIndex("enc")
    index.upsert(Track("a", 1), unit(1))
    with pytest.raises(ValueError, match="read-only"):
        index.vectors[0] = 0
    index.vector("a")[:] = 0
    assert np.array_equal(index.vector("a"), unit(1))
