"""How hard an approximate base is told to search, and what it finds then."""

import numpy as np
import pytest
from numpy.typing import NDArray

from services.retriever.index import bases, calibration
from services.retriever.index.approximate import CodesBase
from services.retriever.index.bases import IndexChoice
from services.retriever.index.calibration import nearest_exactly, recall_of
from services.retriever.index.kinds import Kind
from services.retriever.index.ranking import Mask
from services.retriever.index.vector_store import VectorStore
from services.retriever.similarity import Float32Array

CROWDS, DIMENSION, K = 40, 48, 50
RANDOM = np.random.default_rng(11)
CENTRES = RANDOM.standard_normal((CROWDS, DIMENSION))


def unit(vectors: NDArray[np.float64]) -> Float32Array:
    found: Float32Array = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


def in_crowds(count: int) -> NDArray[np.float64]:
    return CENTRES[RANDOM.integers(0, CROWDS, count)] + 0.6 * RANDOM.standard_normal((count, DIMENSION))


@pytest.fixture(scope="module")
def ivf() -> CodesBase:
    store = VectorStore(unit(in_crowds(12_000)).astype(np.float16))
    base = bases.build(Kind.IVF_SQ8, store, IndexChoice("ivf-sq8", 0.95, narrow=0), lambda: False)
    assert isinstance(base, CodesBase)
    return base


@pytest.mark.parametrize("sort", ["in a crowd", "between two", "between twenty", "nowhere"])
def test_recall_holds_wherever_the_target_lies(ivf: CodesBase, sort: str) -> None:
    match sort:
        case "in a crowd":
            queries = in_crowds(40)
        case "between two":
            queries = np.add(unit(in_crowds(40)), unit(in_crowds(40)), dtype=np.float64)
        case "between twenty":
            queries = np.sum([unit(in_crowds(40)) for _ in range(20)], axis=0, dtype=np.float64)
        case _:
            queries = RANDOM.standard_normal((40, DIMENSION))
    asked = unit(queries)
    assert recall_of(ivf, asked, nearest_exactly(ivf.store, asked, K)) >= 0.95


@pytest.mark.parametrize("depth", [500, 2000])
def test_recall_holds_however_many_are_wanted(ivf: CodesBase, depth: int) -> None:
    asked = unit(in_crowds(10))
    assert recall_of(ivf, asked, nearest_exactly(ivf.store, asked, depth)) >= 0.95


def test_queries_that_are_asked_together_find_what_each_finds_alone(ivf: CodesBase) -> None:
    asked = np.concatenate([unit(in_crowds(5)), unit(RANDOM.standard_normal((5, DIMENSION)))])
    together = ivf.search(asked, K, None)
    for query, found in zip(asked, together, strict=True):
        alone = ivf.search(query[np.newaxis], K, None)[0]
        assert sorted(found.labels.tolist()) == sorted(alone.labels.tolist())


def test_a_target_in_a_crowd_looks_into_few_lists(ivf: CodesBase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the margin would be worth nothing."""
    looked: list[int] = []
    look = type(ivf.codes)._look  # type: ignore[attr-defined]

    def counted(
        self: object, queries: Float32Array, fetch: int, ways: object, is_wanted: Mask, *rest: object
    ) -> object:
        looked.append(int(np.count_nonzero(is_wanted)))
        return look(self, queries, fetch, ways, is_wanted, *rest)

    monkeypatch.setattr(type(ivf.codes), "_look", counted)
    ivf.search(unit(in_crowds(1)), K, None)
    crowd = sum(looked)
    looked.clear()
    ivf.search(unit(RANDOM.standard_normal((1, DIMENSION))), K, None)
    assert crowd < sum(looked) < ivf.codes.index.nlist / 4


def test_the_margin_rises_until_recall_is_reached(ivf: CodesBase, monkeypatch: pytest.MonkeyPatch) -> None:
    """What 8 bits confuse is not in the margin that is computed."""
    codes = type(ivf.codes)(ivf.codes.index, ivf.codes.scale, -2.0)  # type: ignore[call-arg]
    base = CodesBase(Kind.IVF_SQ8, codes, ivf.store, narrow=0)
    shares = iter([*[0.99, 0.9, 0.99, 0.99], *[0.93] * 4, *[0.96, 0.99, 0.97, 0.999]])
    monkeypatch.setattr(calibration, "recall_of", lambda *_: next(shares))
    assert calibration.calibrate(base, 0.95) == 0.96
    assert not list(shares)
    assert codes.effort == pytest.approx(ivf.codes.effort + 0.04, abs=1e-6)


def test_what_cannot_be_reached_is_searched_as_hard_as_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    store = VectorStore(unit(in_crowds(500)).astype(np.float16))
    base = bases.build(Kind.HNSW_SQ8, store, IndexChoice("hnsw-sq8"), lambda: False)
    assert isinstance(base, CodesBase)
    monkeypatch.setattr(calibration, "recall_of", lambda *_: 0.5)
    assert calibration.calibrate(base, 0.99) == 0.5
    assert base.codes.effort == 500
