"""Every kind of base finds what a comparison with all vectors finds, with filters and without, new and from a file."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from services.retriever.errors import NoGpu
from services.retriever.index import base_file, bases, kinds
from services.retriever.index.approximate import CodesBase
from services.retriever.index.base_file import (
    BaseName,
    Ingredients,
    LessPreciseError,
    StoredBase,
    read_base,
    write_base,
)
from services.retriever.index.bases import BuildStoppedError, IndexChoice
from services.retriever.index.calibration import nearest_exactly, recall_of
from services.retriever.index.exact import FlatBase, GpuFlatBase
from services.retriever.index.index import TrackIndex
from services.retriever.index.kinds import EXACT_KINDS, HALF_KINDS, Kind
from services.retriever.index.merging import merge
from services.retriever.index.ranking import Candidates, Mask
from services.retriever.index.section_file import CorruptFileError, read_facts
from services.retriever.index.track_table import SECTIONS, NextTable
from services.retriever.index.vector_store import VectorStore
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track

COUNT, DIMENSION, CLUSTERS = 4000, 32, 40
KINDS = [kind for kind in Kind if kind != Kind.GPU_FLAT]
RNG = np.random.default_rng(7)
CENTRES = RNG.standard_normal((CLUSTERS, DIMENSION))
CLUSTER = RNG.integers(0, CLUSTERS, COUNT)


def units(vectors: NDArray[np.float64]) -> Float32Array:
    found: Float32Array = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


VECTORS = units(CENTRES[CLUSTER] + 0.7 * RNG.standard_normal((COUNT, DIMENSION)))
QUERIES = units(CENTRES[:20] + 0.7 * RNG.standard_normal((20, DIMENSION)))
TRACKS = [Track(f"t{number:04d}", 1, tags=("a", "b")) for number in range(COUNT)]


def never() -> bool:
    return False


def an_ingredient_list() -> Ingredients:
    return Ingredients("enc", DIMENSION, NextTable.of(TRACKS), iter(np.array_split(VECTORS, 3)))


@pytest.fixture(scope="module", params=KINDS)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StoredBase]:
    path = tmp_path_factory.mktemp("bases") / "00000001.base"
    return path, write_base(path, an_ingredient_list(), IndexChoice(request.param, 0.99, narrow=0), never)


def best(found: Candidates, k: int) -> list[int]:
    order = np.argsort(-found.products, kind="stable")[:k]
    return [int(label) for label in found.labels[order]]


def share_found(base: bases.Base, k: int, permitted: Mask | None, queries: Float32Array) -> float:
    """Recall by the vectors as they are stored; what is found must be permitted and rightly measured."""
    stored = base.store.take_all()
    shares = []
    for query, found in zip(queries, base.search(queries, k, permitted), strict=True):
        assert len(set(found.labels.tolist())) == len(found.labels)
        assert permitted is None or permitted[found.labels].all()
        assert np.allclose(found.products, stored[found.labels] @ query, rtol=0, atol=1e-6)
        products = stored @ query
        if permitted is not None:
            products[~permitted] = -np.inf
        true = np.argsort(-products, kind="stable")[: min(k, COUNT if permitted is None else permitted.sum())]
        shares.append(len(set(best(found, k)) & set(true.tolist())) / len(true))
    return float(np.mean(shares))


def enough(base: bases.Base) -> float:
    return 1.0 if base.kind in EXACT_KINDS else 0.99


FILTERS: dict[str, Mask | None] = {
    "none": None,
    "all but a few": np.arange(COUNT) % 50 != 0,
    "two thirds": np.arange(COUNT) % 3 != 0,
    "a tenth": np.arange(COUNT) % 10 == 0,
    "far from the query": np.isin(CLUSTER, np.arange(20, CLUSTERS)),
    "all but what is near to the query": ~np.isin(CLUSTER, np.arange(5)),
    "fewer than are wanted": np.arange(COUNT) < 30,
}


@pytest.mark.parametrize(("name", "joined"), [*((name, 20) for name in FILTERS), ("none", 1), ("a tenth", 1)])
def test_recall_at_100(written: tuple[Path, StoredBase], name: str, joined: int) -> None:
    base = written[1].base
    shares = [share_found(base, 100, FILTERS[name], QUERIES[at : at + joined]) for at in range(0, 20, joined)]
    assert np.mean(shares) >= enough(base) - 1e-9


def test_a_narrow_filter_is_answered_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    store = VectorStore(VECTORS.astype(np.float16))
    base = bases.build(Kind.IVF_SQ8, store, IndexChoice(Kind.IVF_SQ8, narrow=400), never)
    assert isinstance(base, CodesBase)
    monkeypatch.setattr(base.codes, "find", lambda *_: pytest.fail("the codes were searched"))
    assert share_found(base, 100, FILTERS["a tenth"], QUERIES) == 1.0


def test_vectors_that_all_tie_are_all_candidates() -> None:
    for kind in EXACT_KINDS - {Kind.GPU_FLAT}:
        rows = np.repeat(VECTORS[:1], 500, axis=0)
        store = VectorStore(rows.astype(np.float16) if kind in HALF_KINDS else rows)
        base = bases.build(kind, store, IndexChoice(kind), never)
        for permitted in (None, np.arange(500) % 2 == 0):
            (found,) = base.search(VECTORS[:1], 3, permitted)
            assert len(found.labels) == (500 if permitted is None else 250)


@pytest.mark.parametrize("lowest", [0.5, 0.999])
def test_effort_rises_with_the_recall_that_is_wanted(lowest: float) -> None:
    store = VectorStore(VECTORS.astype(np.float16))
    base = bases.build(Kind.IVF_SQ8, store, IndexChoice(Kind.IVF_SQ8, lowest, narrow=0), never)
    assert isinstance(base, CodesBase)
    assert (base.codes.effort > 0.3) is (lowest > 0.9)
    assert recall_of(base, QUERIES, nearest_exactly(store, QUERIES, 100)) >= lowest - 0.01


def test_a_base_from_its_file_finds_the_same_and_builds_nothing(
    written: tuple[Path, StoredBase], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, stored = written
    assert stored.file is not None
    monkeypatch.setattr(bases, "build", lambda *_: pytest.fail("it was built"))
    found = read_base(path, stored.file.digest, IndexChoice(stored.base.kind, 0.99, narrow=0))
    assert (found.base.kind, found.is_outdated, found.file) == (stored.base.kind, False, stored.file)
    assert list(found.tracks) == TRACKS
    assert np.array_equal(found.base.store.take_all(), stored.base.store.take_all())
    for one, other in zip(found.base.search(QUERIES, 50, None), stored.base.search(QUERIES, 50, None), strict=True):
        assert best(one, 50) == best(other, 50)


def test_codes_that_were_built_are_read_again_so_that_they_have_no_room_left_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[bases.Base] = []
    build = bases.build

    def kept(*arguments: Any) -> bases.Base:
        built.append(build(*arguments))
        return built[-1]

    monkeypatch.setattr(bases, "build", kept)
    for kind, is_read in ((Kind.IVF_SQ8, True), (Kind.FLAT_FP16, False)):
        stored = write_base(tmp_path / f"{kind}.base", an_ingredient_list(), IndexChoice(kind), never)
        assert (stored.base is not built[-1]) is is_read
        assert stored.base.kind == kind


def test_only_the_searched_vectors_count_as_memory(written: tuple[Path, StoredBase]) -> None:
    base = written[1].base
    bytes_of = {Kind.FLAT: 4, Kind.FLAT_FP16: 2}.get(base.kind, 1) * COUNT * DIMENSION
    beside = base.memory_bytes - bytes_of
    assert base.mapped_bytes == (0 if base.kind in EXACT_KINDS else 2 * COUNT * DIMENSION)
    if base.kind == Kind.HNSW_SQ8:
        assert beside > 4 * 32 * COUNT  # its graph
    elif base.kind == Kind.IVF_SQ8:
        assert beside == 12 * COUNT + 4 * DIMENSION * (COUNT // 39)  # its lists and centroids
    else:
        assert beside == 0


def test_damage_in_any_section_of_a_base_is_noticed(written: tuple[Path, StoredBase]) -> None:
    path, stored = written
    assert stored.file is not None
    whole = path.read_bytes()
    sections = read_facts(path)["sections"]
    assert tuple(sections) == ("vectors", "codes", *SECTIONS)
    assert [name for name, each in sections.items() if not each["bytes"]] == (
        ["codes"] if stored.base.kind in EXACT_KINDS else []
    )
    places = [(place, "it does not begin|the header is damaged") for place in (0, 20, 60, 4095)]
    for name, each in sections.items():
        if each["bytes"]:
            told = f"the section {name} is damaged"
            places += [(each["at"], told), (each["at"] + each["bytes"] - 1, told)]
    copy = path.with_suffix(".damaged")
    for place, told in places:
        damaged = bytearray(whole)
        damaged[place] ^= 4
        copy.write_bytes(damaged)
        with pytest.raises(CorruptFileError, match=told):
            read_base(copy, stored.file.digest, IndexChoice(stored.base.kind))
    with pytest.raises(CorruptFileError, match="another file of that name"):
        read_base(path, "0" * 64, IndexChoice(stored.base.kind))


def test_a_base_of_another_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "00000001.base"
    with monkeypatch.context() as older:
        older.setattr(base_file, "_FORMAT", 1)
        stored = write_base(path, an_ingredient_list(), IndexChoice(Kind.SQ8), never)
    assert stored.file is not None
    with pytest.raises(CorruptFileError, match="its format is 1, 3 is wanted"):
        read_base(path, stored.file.digest, IndexChoice(Kind.SQ8))


def test_another_kind_serves_exactly_until_the_next_base_is_made(written: tuple[Path, StoredBase]) -> None:
    path, stored = written
    assert stored.file is not None
    for wanted in Kind:
        if wanted in (stored.base.kind, Kind.GPU_FLAT):
            continue
        choice = IndexChoice(wanted)
        if stored.base.kind in HALF_KINDS and wanted == Kind.FLAT:
            with pytest.raises(LessPreciseError):
                read_base(path, stored.file.digest, choice)
            continue
        found = read_base(path, stored.file.digest, choice)
        assert found.is_outdated
        assert found.base.kind == (Kind.FLAT_FP16 if stored.base.kind in HALF_KINDS else Kind.FLAT)
        assert share_found(found.base, 100, None, QUERIES) == 1.0


def test_a_higher_recall_than_was_built_for_needs_another_base(tmp_path: Path) -> None:
    path = tmp_path / "00000001.base"
    stored = write_base(path, an_ingredient_list(), IndexChoice(Kind.IVF_SQ8, 0.9, narrow=0), never)
    assert stored.file is not None
    for recall, is_outdated in ((0.9, False), (0.8, False), (0.95, True)):
        found = read_base(path, stored.file.digest, IndexChoice(Kind.IVF_SQ8, recall))
        assert found.is_outdated is is_outdated


@pytest.mark.parametrize("kind", [Kind.SQ8, Kind.HNSW_SQ8])
def test_building_can_be_stopped_and_leaves_nothing(tmp_path: Path, kind: Kind) -> None:
    asked: list[None] = []

    def is_stopped() -> bool:
        asked.append(None)
        return len(asked) == 2

    with pytest.raises(BuildStoppedError):
        write_base(tmp_path / "00000001.base", an_ingredient_list(), IndexChoice(kind), is_stopped)
    assert len(asked) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_base_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "enc").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="enc"):
        write_base(tmp_path / "enc" / "00000001.base", an_ingredient_list(), IndexChoice(Kind.SQ8), never)


@pytest.mark.parametrize(
    ("setting", "count", "recall", "expected"),
    [
        ("auto", 1, 0.99, Kind.FLAT),
        ("auto", 20_000, 0.5, Kind.FLAT),
        ("auto", 20_001, 0.99, Kind.IVF_SQ8),
        ("auto", 20_001, 1.0, Kind.FLAT),
        ("auto", 200_000, 1.0, Kind.FLAT),
        ("auto", 200_001, 1.0, Kind.FLAT_FP16),
        ("hnsw-sq8", 1, 1.0, Kind.HNSW_SQ8),
        ("flat", 10_000_000, 0.5, Kind.FLAT),
    ],
)
def test_which_kind(setting: str, count: int, recall: float, expected: Kind) -> None:
    assert kinds.choose(setting, count, recall) == expected


def test_a_gpu_that_is_not_there_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in (*KINDS, "auto"):
        kinds.check(setting)
    monkeypatch.delattr(faiss, "StandardGpuResources", raising=False)
    with pytest.raises(NoGpu) as refused:
        kinds.check("gpu-flat")
    assert (refused.value.reason, refused.value.field, refused.value.value) == ("NO_GPU", "RETRIEVER_INDEX", "gpu-flat")
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    with pytest.raises(NoGpu, match="no GPU"):
        kinds.check("gpu-flat")


@pytest.mark.parametrize("name", FILTERS)
def test_a_device_is_asked_without_filters_and_answers_like_memory(name: str) -> None:
    device = faiss.IndexFlatIP(DIMENSION)
    device.add(VECTORS)
    base = GpuFlatBase(VectorStore(VECTORS), device)
    assert share_found(base, 100, FILTERS[name], QUERIES) == 1.0
    alike = faiss.IndexFlatIP(DIMENSION)
    alike.add(np.repeat(VECTORS[:1], 300, axis=0))
    same = VectorStore(np.repeat(VECTORS[:1], 300, axis=0))
    assert len(GpuFlatBase(same, alike).search(VECTORS[:1], 3, None)[0].labels) == 300
    assert len(FlatBase(same).search(VECTORS[:1], 3, None)[0].labels) == 300


def test_names_of_files_are_values() -> None:
    assert BaseName("a", "b")._asdict() == {"name": "a", "digest": "b"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_cosine_does_not_depend_on_who_else_asks_nor_on_how_many_are_wanted(kind: Kind) -> None:
    """Else pages would repeat hits, and replicas would differ."""
    index = TrackIndex("enc", IndexChoice(kind, narrow=0))
    for row in range(1500):
        index.upsert(Track(f"t{row:04d}", 1), VECTORS[row])
    assert index.adopt(merge(index.freeze(), index.choice, None, never))
    for row in range(1500, 1600):
        index.upsert(Track(f"t{row:04d}", 1), VECTORS[row])
    exact = kind in EXACT_KINDS
    for query, together in zip(QUERIES, index.search(QUERIES, 200), strict=True):
        similarities = dict(zip(together.labels.tolist(), together.similarities.tolist(), strict=True))
        for k in (1, 7, 60):
            alone = index.search(query[np.newaxis], k)[0]
            if exact:
                assert alone.labels.tolist() == together.labels[:k].tolist()
            pairs = zip(alone.labels.tolist(), alone.similarities.tolist(), strict=True)
            assert all(similarities.get(label, cosine) == cosine for label, cosine in pairs)
