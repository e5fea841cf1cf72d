"""The index against a dictionary and numpy, under any order of changes, filters, merges, snapshots and restarts."""

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.chassis.bus import LogPosition
from services.chassis.errors import InvalidArgument
from services.retriever.filters import TrackFilter
from services.retriever.index.bases import IndexChoice
from services.retriever.index.index import TrackIndex
from services.retriever.index.kinds import Kind, is_half
from services.retriever.index.merging import Merged, merge
from services.retriever.live.snapshot import Snapshot
from services.retriever.live.snapshot_folder import SnapshotFolder
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track

DIMENSION = 8
IDS = st.sampled_from([f"t{number:02d}" for number in range(12)])
GENRES = ("rock", "jazz", "folk")
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def never() -> bool:
    return False


def unit(seed: int, dimension: int = DIMENSION) -> Float32Array:
    vector = np.random.default_rng(seed).standard_normal(dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class IndexMachine(RuleBasedStateMachine):
    """Does the same to an index and to a dictionary of tracks and vectors."""

    kind = Kind.FLAT

    def __init__(self) -> None:
        super().__init__()
        # Approximate kinds take their own way from the first track on, and have to find everything: with so few
        # tracks whatever they look at is all there is.
        self.choice = IndexChoice(self.kind, merge_after=5, narrow=0)
        self.index = TrackIndex("enc", self.choice)
        self.known: dict[str, tuple[Track, Float32Array]] = {}
        self.merging: Merged | None = None
        self.folder = tempfile.TemporaryDirectory()
        self.files = SnapshotFolder(Path(self.folder.name), "enc", self.choice)
        self.sequence = 0

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(track_id=IDS, version=st.integers(1, 4), sound=st.integers(0, 30), genre=st.sampled_from(GENRES))
    def upsert(self, track_id: str, version: int, sound: int, genre: str) -> None:
        is_new = track_id not in self.known or version >= self.known[track_id][0].version
        track = Track(track_id, version, title=f"{version}-{sound}", genre=genre)
        for _ in range(2):  # a message may come twice
            assert self.index.upsert(track, unit(sound)) is is_new
        if is_new:
            vector = unit(sound) / np.linalg.norm(unit(sound))
            if is_half(self.kind):
                vector = vector.astype(np.float16).astype(np.float32)
            self.known[track_id] = track, vector

    @rule(track_id=IDS)
    def remove(self, track_id: str) -> None:
        assert self.index.remove(track_id) is (track_id in self.known)
        assert self.index.remove(track_id) is False
        self.known.pop(track_id, None)

    @rule()
    def clear(self) -> None:
        self.index.clear()
        self.known.clear()

    @precondition(lambda self: self.known)
    @rule(is_on_disk=st.booleans())
    def begin_merge(self, is_on_disk: bool) -> None:
        path = self.files.next_base() if is_on_disk else None
        self.merging = merge(self.index.freeze(), self.choice, path, never)

    @precondition(lambda self: self.merging)
    @rule()
    def adopt(self) -> None:
        assert self.merging is not None
        was_emptied = self.merging.frozen.epoch != self.index.freeze().epoch
        assert self.index.adopt(self.merging) is not was_emptied
        self.merging = None

    @rule()
    def restart(self) -> None:
        frozen = self.index.freeze()
        if frozen.stored is not None and frozen.stored.file is None:
            return
        self.sequence += 1
        self.files.save(Snapshot.of(frozen, LogPosition(BEGUN, self.sequence)))
        found = self.files.load_newest()
        assert found is not None
        assert (found.position.sequence, found.track_count) == (self.sequence, len(self.known))
        self.index = TrackIndex("enc", self.choice)
        self.index.restore(found.stored, found.alive, found.tracks, found.vectors)
        self.merging = None

    @rule(
        sound=st.integers(0, 30),
        count=st.integers(1, 15),
        genre=st.sampled_from([None, *GENRES]),
        blocked=st.frozensets(IDS, max_size=14),
    )
    def search(self, sound: int, count: int, genre: str | None, blocked: frozenset[str]) -> None:
        genres = frozenset() if genre is None else frozenset({genre})
        wanted = TrackFilter(genres=genres, blocked_track_ids=blocked)
        expected = self.oracle(unit(sound), wanted)[:count]
        # By columns, and by asking each track.
        for asked in (wanted, lambda track: wanted.takes(track)):
            nearest = self.index.nearest(unit(sound), count, asked)
            found = [track.track_id for track in nearest.tracks]
            assert nearest.similarities.tolist() == pytest.approx([value for value, _ in expected], abs=2.1e-6)
            assert len(set(found)) == len(found)
            for track, vector, similarity in zip(*nearest, strict=True):
                assert wanted.takes(track)
                assert track == self.known[track.track_id][0]
                assert np.array_equal(vector, self.known[track.track_id][1])
                assert similarity == pytest.approx(min(1.0, float(vector @ unit(sound))), abs=1.1e-6)

    def oracle(self, query: Float32Array, wanted: Callable[[Track], bool]) -> list[tuple[float, str]]:
        found = [
            (round(float(np.clip(vector.astype(np.float64) @ query, -1, 1)), 6), track_id)
            for track_id, (track, vector) in self.known.items()
            if wanted(track)
        ]
        return sorted(found, key=lambda each: (-each[0], each[1]))

    @invariant()
    def holds_the_same_tracks(self) -> None:
        assert len(self.index) == len(self.known)
        assert self.index.dimension == (DIMENSION if self.known else 0)
        assert sorted(track.track_id for track in self.index.tracks) == sorted(self.known)
        for track_id, (track, vector) in self.known.items():
            assert self.index.track(track_id) == track
            assert np.array_equal(self.index.vector(track_id), vector)
        for row, track in enumerate(self.index.tracks):
            assert np.array_equal(self.index.vectors[row], self.known[track.track_id][1])
        assert 0 <= self.index.delta_count <= len(self.known)


def machine(kind: Kind) -> Any:
    made: Any = type(f"Machine_{kind.name}", (IndexMachine,), {"kind": kind})
    case = made.TestCase
    case.settings = settings(deadline=None, max_examples=25, stateful_step_count=30)
    return case


TestFlat = machine(Kind.FLAT)
TestFlatFp16 = machine(Kind.FLAT_FP16)
TestSq8 = machine(Kind.SQ8)
TestIvfSq8 = machine(Kind.IVF_SQ8)
TestHnswSq8 = machine(Kind.HNSW_SQ8)


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
    assert index.nearest(unit(1), 5).tracks == []
    index.upsert(Track("b", 1), unit(1, 4))
    assert index.dimension == 4


def test_vectors_are_normalised_so_that_no_similarity_exceeds_one() -> None:
    index = TrackIndex("enc")
    index.upsert(Track("a", 1), unit(1) * np.float32(1.0009))
    assert index.nearest(unit(1), 1).similarities.tolist() == [1.0]


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind != Kind.GPU_FLAT])
def test_equal_sounds_are_ordered_by_id_wherever_they_are(kind: Kind) -> None:
    choice = IndexChoice(kind, narrow=0)
    index = TrackIndex("enc", choice)
    for track_id in "jihgfedcba":
        index.upsert(Track(track_id, 1), unit(1))
        if track_id == "d":
            assert index.adopt(merge(index.freeze(), choice, None, never))
    assert [track.track_id for track in index.nearest(unit(1), 6).tracks] == list("abcdef")


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 1000))
def test_search_is_exact(count: int, k: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    index = TrackIndex("enc")
    for number, vector in enumerate(vectors):
        index.upsert(Track(f"t{number:03d}", 1), vector)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    best = np.argsort(-(units @ unit(seed)))[:k]
    for ranked in index.search(np.stack([unit(seed), unit(seed)]), k):
        assert ranked.similarities.tolist() == pytest.approx((units @ unit(seed))[best], abs=2e-6)


def test_readers_cannot_write_into_the_index() -> None:
    index = TrackIndex("enc")
    index.upsert(Track("a", 1), unit(1))
    with pytest.raises(ValueError, match="read-only"):
        index.freeze().delta[0] = 0
    index.vector("a")[:] = 0
    index.vectors[:] = 0
    assert np.array_equal(index.vector("a"), unit(1))


def test_counts_tell_what_changed_since_the_base() -> None:
    choice = IndexChoice(Kind.FLAT, merge_after=3)
    index = TrackIndex("enc", choice)
    assert (index.kind, index.is_merge_due, index.memory_bytes) == ("flat", False, 0)
    for number in range(5):
        index.upsert(Track(f"t{number}", 1), unit(number))
    assert (index.delta_count, index.tombstone_count, index.is_merge_due) == (5, 0, True)
    index.adopt(merge(index.freeze(), choice, None, never))
    assert (index.delta_count, index.tombstone_count, index.is_merge_due) == (0, 0, False)
    index.upsert(Track("t0", 2), unit(9))
    assert (index.delta_count, index.tombstone_count, index.is_merge_due) == (1, 1, False)
    index.remove("t1")
    assert (index.delta_count, index.tombstone_count, index.is_merge_due) == (1, 2, True)
    assert index.memory_bytes == 5 * DIMENSION * 4 + 256 * DIMENSION * 4
    assert index.mapped_bytes == 0
