"""What every engine that keeps vectors does alike; the interface is `engine.Engine`.

The oracle is a dictionary and numpy. Approximate kinds may miss one of a hundred neighbours, and nothing else.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from services.chassis.errors import InvalidArgument
from services.retriever.engine import Engine
from services.retriever.filters import Interval, TrackFilter
from services.retriever.index.bases import IndexChoice
from services.retriever.index.index import TrackIndex
from services.retriever.index.merging import merge
from services.retriever.milvus.milvus_engine import MilvusIndex
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track
from tests.fakes.milvus import FakeMilvus

ENCODER_ID = "enc-0123456789abcdef"
DIMENSION = 32
TRACKS = 600
LOWEST_RECALL = 0.99

Make = Callable[[Path], Iterator[Engine]]


def _index(kind: str) -> Make:
    def make(folder: Path) -> Iterator[Engine]:
        yield Merging(IndexChoice(kind, merge_after=150, narrow=50))

    return make


class Merging(TrackIndex):
    """An index that makes its next base as soon as one is due, as the merger of a running process does."""

    def __init__(self, choice: IndexChoice) -> None:
        super().__init__(ENCODER_ID, choice)
        self.merges = 0

    def upsert(self, track: Track, vector: Float32Array) -> bool:
        changed = super().upsert(track, vector)
        self._merge()
        return changed

    def remove(self, track_id: str) -> bool:
        was_there = super().remove(track_id)
        self._merge()
        return was_there

    def _merge(self) -> None:
        if self.is_merge_due:
            self.merges += self.adopt(merge(self.freeze(), self.choice, None, lambda: False))


def _milvus(folder: Path) -> Iterator[Engine]:
    for package in ("pymilvus", "milvus_lite"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'museed[milvus]'")
    from services.retriever.milvus.milvus_store import MilvusStore

    store = MilvusStore(str(folder / "milvus.db"), "", ENCODER_ID, timeout_s=30.0)
    yield MilvusIndex(ENCODER_ID, store)
    store.close()


def _milvus_fake(folder: Path) -> Iterator[Engine]:
    """The adapter alone, for machines without the extra."""
    yield MilvusIndex(ENCODER_ID, FakeMilvus())


KINDS = ("flat", "flat-fp16", "sq8", "ivf-sq8", "hnsw-sq8")
ENGINES: dict[str, Make] = {kind: _index(kind) for kind in KINDS} | {"milvus": _milvus, "milvus-fake": _milvus_fake}


EXACT = ("flat", "flat-fp16", "milvus", "milvus-fake")
# How far a stored number may be from the given one: that of fp16 has 11 bits.
ROUNDING = {"flat": 1e-6, "milvus": 1e-6, "milvus-fake": 1e-6}
HALF_ROUNDING = 2.0**-11


@pytest.fixture(params=ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rounding(kind: str) -> float:
    return ROUNDING.get(kind, HALF_ROUNDING)


@pytest.fixture
def engine(kind: str, tmp_path: Path) -> Iterator[Engine]:
    yield from ENGINES[kind](tmp_path)


def unit(seed: int, dimension: int = DIMENSION) -> Float32Array:
    """A random unit vector that is the same for the same seed."""
    vector = np.random.default_rng(seed).standard_normal(dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def name(number: int) -> str:
    return f"track-{number:04d}"


def fill(engine: Engine, count: int = TRACKS) -> dict[str, tuple[Track, Float32Array]]:
    """Add tracks of four genres that lie in 12 clusters; return what an oracle must know of them."""
    known = {}
    for number in range(count):
        vector = unit(number % 12) + 0.7 * unit(1000 + number)
        track = Track(name(number), 1, title=f"title {number}", genre=f"genre {number % 4}", year=1900 + number % 100)
        vector /= np.linalg.norm(vector)
        assert engine.upsert(track, vector)
        # What counts is what is stored: fp16 kinds round.
        known[track.track_id] = (track, engine.vector(track.track_id))
        assert known[track.track_id][1] == pytest.approx(vector, abs=HALF_ROUNDING)
    return known


def oracle(
    known: dict[str, tuple[Track, Float32Array]], query: Float32Array, wanted: Callable[[Track], bool] | None = None
) -> list[tuple[str, float]]:
    """Every wanted track and its cosine, best first, ties by id, computed in float64."""
    found = [
        (track_id, round(float(np.clip(vector.astype(np.float64) @ query, -1, 1)), 6))
        for track_id, (track, vector) in known.items()
        if wanted is None or wanted(track)
    ]
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


def check_nearest(
    engine: Engine,
    known: dict[str, tuple[Track, Float32Array]],
    count: int,
    wanted: Callable[[Track], bool] | None = None,
) -> None:
    """Compare answers with the oracle: recall, order, similarities and vectors."""
    hits = right = 0
    for seed in range(5000, 5010):
        query = unit(seed % 12) + 0.7 * unit(seed)
        query /= np.linalg.norm(query)
        found = engine.nearest(query, count, wanted)
        expected = oracle(known, query, wanted)[:count]
        ids = [track.track_id for track in found.tracks]
        assert len(ids) == len(expected)
        assert all(known[track.track_id][0] == track for track in found.tracks)
        keys = [(-similarity, track_id) for similarity, track_id in zip(found.similarities, ids, strict=True)]
        assert keys == sorted(keys)
        assert np.array_equal(found.vectors, np.array([known[each][1] for each in ids]).reshape(-1, DIMENSION))
        assert found.similarities == pytest.approx(found.vectors @ query, abs=2e-6)
        hits += len({each for each, _ in expected} & set(ids))
        right += len(expected)
    assert hits >= LOWEST_RECALL * right


def test_the_nearest_are_those_of_brute_force(engine: Engine) -> None:
    check_nearest(engine, fill(engine), 100)


def test_all_are_found_when_more_are_asked_for_than_there_are(engine: Engine) -> None:
    known = fill(engine, 40)
    query = unit(7)
    found = engine.nearest(query, 1000)
    assert sorted(track.track_id for track in found.tracks) == sorted(known)


@pytest.mark.parametrize("share", [2, 60, 300])
def test_filters_are_exact_however_narrow(engine: Engine, share: int) -> None:
    known = fill(engine)
    check_nearest(engine, known, 20, lambda track: int(track.track_id[-4:]) % share == 0)


def described(number: int, version: int) -> Track:
    """A track of which some things are known, and of which others are not."""
    return Track(
        name(number),
        version,
        artist=("Beyonce\u0301", "BEYONCÉ", "straße", "", f"artist {number % 40}")[number % 5],
        genre=("Rock", "ROCK ", "Jazz", "")[number % 4],
        key=("C major", "")[number % 2],
        tags=(("Piano", "slow"), ("piano",), ("loud",), ())[number % 4],
        year=(0, 1990 + number % 30)[number % 3 > 0],
        duration_s=float(number % 7 * 60),
        tempo_bpm=(None, 0.0, 120.0)[number % 3],
        energy=(None, number % 10 / 10)[number % 2],
        loudness_lufs=(None, -float(number % 30))[number % 2],
    )


FILTERS = {
    "nothing": TrackFilter(),
    "few blocked": TrackFilter(blocked_track_ids=frozenset(name(number) for number in range(0, 500, 12))),
    "many blocked": TrackFilter(blocked_track_ids=frozenset(name(number) for number in range(0, 500, 2))),
    "unknown blocked": TrackFilter(blocked_track_ids=frozenset(f"nobody {number}" for number in range(10_000))),
    "named": TrackFilter(track_ids=frozenset(map(name, (1, 7, 77, 300))) | {"nobody"}),
    "named and blocked": TrackFilter(
        track_ids=frozenset(map(name, range(90))), blocked_track_ids=frozenset(map(name, range(60)))
    ),
    "genre": TrackFilter(genres=frozenset({"rock"})),
    "unknown genre": TrackFilter(genres=frozenset({"polka"})),
    "artists": TrackFilter(artists=frozenset({"beyoncé", "strasse"})),
    "blocked artists": TrackFilter(blocked_artists=frozenset({"beyoncé", "nobody"})),
    "ten thousand blocked artists": TrackFilter(blocked_artists=frozenset(f"artist {one}" for one in range(10_000))),
    "tags": TrackFilter(tags=frozenset({"piano", "slow"})),
    "blocked tags": TrackFilter(blocked_tags=frozenset({"piano"})),
    "years": TrackFilter(year=Interval(1995, 2005)),
    "any year": TrackFilter(year=Interval()),
    "length": TrackFilter(duration_s=Interval(60, 120)),
    "tempo": TrackFilter(tempo_bpm=Interval(0, 0)),
    "energy and loudness": TrackFilter(energy=Interval(0.2, 0.7), loudness_lufs=Interval(-20.0)),
    "everything": TrackFilter(
        genres=frozenset({"rock"}),
        blocked_artists=frozenset({"beyoncé"}),
        blocked_track_ids=frozenset(map(name, range(50))),
        tags=frozenset({"piano"}),
        year=Interval(highest=2010),
    ),
}


def test_a_filter_of_a_request_is_exact_after_changes(engine: Engine) -> None:
    """By columns or by asking each track: no track is found that a filter does not take, and none is missed for it."""
    known = fill(engine, 500)
    for number in range(500):
        engine.upsert(described(number, 2), known[name(number)][1])
    for number in range(0, 500, 9):
        engine.remove(name(number))
    for number in range(0, 500, 27):  # come back, and others are edited
        engine.upsert(described(number + 1, 3), unit(3000 + number))
    known = {}
    for number in range(501):
        track = engine.track(name(number))
        if track is not None:
            known[track.track_id] = (track, engine.vector(track.track_id))
    for number, wanted in enumerate(FILTERS.values()):
        check_nearest(engine, known, 20, wanted if number % 3 else wanted.takes)
    assert {each for each, wanted in FILTERS.items() if not any(wanted(track) for track, _ in known.values())} == {
        "unknown genre"
    }


def test_vectors_come_together(engine: Engine) -> None:
    known = fill(engine, 60)
    engine.remove(name(3))
    engine.upsert(Track("new", 1), unit(9))
    found = engine.vectors_of([name(2), name(3), "nobody", "new", name(59)])
    assert set(found) == {name(2), "new", name(59)}
    for track_id in (name(2), name(59)):
        assert np.array_equal(found[track_id], known[track_id][1])
    assert np.array_equal(found["new"], engine.vector("new"))
    found["new"][:] = 0  # copies
    assert np.linalg.norm(engine.vector("new")) == pytest.approx(1, abs=1e-3)
    assert engine.vectors_of([]) == engine.vectors_of(["nobody"]) == {}
    engine.clear()
    assert engine.vectors_of(["new"]) == {}


def test_a_filter_that_nothing_passes_finds_nothing(engine: Engine) -> None:
    fill(engine, 40)
    found = engine.nearest(unit(1), 5, lambda track: False)
    assert found.tracks == []
    assert found.vectors.shape == (0, DIMENSION)
    assert found.similarities.shape == (0,)


def test_equal_vectors_come_by_id_even_where_the_answer_is_cut(engine: Engine, kind: str) -> None:
    numbers = np.random.default_rng(1).permutation(400)
    for number in numbers.tolist():
        engine.upsert(Track(name(number), 1), unit(1 if number < 300 else 2))
    for query in (unit(1), unit(2)):
        first = 0 if np.array_equal(query, unit(1)) else 300
        ids = [track.track_id for track in engine.nearest(query, 10).tracks]
        if kind in EXACT:
            assert ids == [name(first + place) for place in range(10)]
        else:  # of more equals than they look at, they know some
            assert ids == sorted(ids)
            assert len(ids) == 10
            assert {name(first) <= each <= name(first + 299) for each in ids} == {True}


def test_an_empty_engine_answers_with_nothing(engine: Engine) -> None:
    assert len(engine) == 0
    assert engine.dimension == 0
    assert engine.track("nobody") is None
    assert engine.nearest(unit(1), 5).tracks == []
    assert not engine.remove("nobody")
    with pytest.raises(KeyError):
        engine.vector("nobody")


def test_an_added_track_is_there_at_once(engine: Engine, rounding: float) -> None:
    assert engine.upsert(Track("a", 1, title="first"), unit(1))
    assert len(engine) == 1
    assert engine.dimension == DIMENSION
    assert engine.track("a") == Track("a", 1, title="first")
    assert engine.vector("a") == pytest.approx(unit(1), abs=rounding)
    assert [track.track_id for track in engine.nearest(unit(1), 5).tracks] == ["a"]


def test_a_higher_or_equal_version_replaces_everything(engine: Engine, rounding: float) -> None:
    fill(engine, 20)
    for version, sound in ((2, 501), (2, 502), (3, 503)):
        for _ in range(2):  # a message of the log can come twice
            assert engine.upsert(Track(name(3), version, title=f"sound {sound}"), unit(sound))
            assert len(engine) == 20
            assert engine.track(name(3)) == Track(name(3), version, title=f"sound {sound}")
            assert engine.vector(name(3)) == pytest.approx(unit(sound), abs=rounding)
            nearest = engine.nearest(unit(sound), 1)
            assert [track.title for track in nearest.tracks] == [f"sound {sound}"]
            assert nearest.similarities[0] == pytest.approx(1, abs=4 * rounding)


def test_a_lower_version_changes_nothing(engine: Engine, rounding: float) -> None:
    engine.upsert(Track("a", 5, title="new"), unit(1))
    assert not engine.upsert(Track("a", 4, title="old"), unit(2))
    assert engine.track("a") == Track("a", 5, title="new")
    assert engine.vector("a") == pytest.approx(unit(1), abs=rounding)
    assert engine.nearest(unit(2), 1).similarities[0] == pytest.approx(unit(1) @ unit(2), abs=4 * rounding)


def test_a_removed_track_is_found_no_more_and_can_come_back(engine: Engine) -> None:
    known = fill(engine, 300)
    for number in range(0, 300, 3):
        assert engine.remove(name(number))
        assert not engine.remove(name(number))
        del known[name(number)]
    assert len(engine) == 200
    assert engine.track(name(3)) is None
    with pytest.raises(KeyError):
        engine.vector(name(3))
    check_nearest(engine, known, 50)
    # Its versions begin anew: a tombstone has none.
    assert engine.upsert(Track(name(3), 1, title="again"), unit(900))
    assert [track.title for track in engine.nearest(unit(900), 1).tracks] == ["again"]


def test_without_its_last_track_an_engine_takes_another_dimension(engine: Engine) -> None:
    engine.upsert(Track("a", 1), unit(1))
    engine.remove("a")
    assert (len(engine), engine.dimension) == (0, 0)
    engine.upsert(Track("b", 1), unit(1, dimension=8))
    engine.clear()
    assert (len(engine), engine.dimension) == (0, 0)
    assert engine.nearest(unit(1), 5).tracks == []
    engine.upsert(Track("c", 1), unit(1, dimension=16))
    assert engine.dimension == 16
    assert [track.track_id for track in engine.nearest(unit(1, dimension=16), 5).tracks] == ["c"]


def test_another_dimension_is_refused_and_nothing_is_changed(engine: Engine) -> None:
    known = fill(engine, 30)
    for track_id in (name(3), "new"):
        with pytest.raises(InvalidArgument, match=f"has 31 dimensions, the index has {DIMENSION}") as caught:
            engine.upsert(Track(track_id, 9), unit(1, dimension=DIMENSION - 1))
        assert (caught.value.reason, caught.value.value, caught.value.limit) == ("DIMENSION_MISMATCH", "31", "32")
    assert len(engine) == 30
    assert engine.track("new") is None
    assert engine.track(name(3)) == known[name(3)][0]
    check_nearest(engine, known, 10)


def test_vectors_are_normalised(engine: Engine, rounding: float) -> None:
    engine.upsert(Track("a", 1), (1.01 * unit(1)).astype(np.float32))
    engine.upsert(Track("b", 1), (0.99 * unit(1)).astype(np.float32))
    found = engine.nearest(unit(1), 2)
    assert [track.track_id for track in found.tracks] == ["a", "b"]
    assert found.similarities == pytest.approx([1, 1], abs=4 * rounding)
    assert np.linalg.norm(engine.vector("a")) == pytest.approx(1, abs=rounding)


def test_any_text_comes_back_as_it_was(engine: Engine) -> None:
    track = Track(
        "트랙-1", 3, title='"quoted"\n\t\x00 좋은날 🎵', artist="'; DROP", tags=("a", "b"), audio_hash=bytes(range(32)),
        duration_s=12.5, tempo_bpm=120.0, key="C major", energy=0.5, loudness_lufs=-9.0, windows_digest=bytes(32),
    )  # fmt: skip
    engine.upsert(track, unit(1))
    assert engine.track("트랙-1") == track
    assert engine.nearest(unit(1), 1).tracks == [track]


def test_hubs_are_measured_alike(engine: Engine) -> None:
    known = fill(engine, 200)
    engine.remove(name(7))
    del known[name(7)]
    vectors = np.stack([vector for _, vector in known.values()])
    cosines = vectors.astype(np.float64) @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    expected = np.sort(cosines, axis=1)[:, -10:].mean(axis=1)
    asked = [name(3), name(8), name(3)]
    places = [list(known).index(track_id) for track_id in asked]
    assert engine.neighbour_means(asked) == pytest.approx(expected[places], abs=4e-6)
    with pytest.raises(KeyError):
        engine.neighbour_means([name(7)])
    sample = engine.sample(50)
    assert sample.shape == (50, DIMENSION)
    assert {row.tobytes() for row in sample} <= {vector.tobytes() for vector in vectors}
