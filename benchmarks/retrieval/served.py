"""`Search` as it is served, against FAISS in this process and an echo of the same payload."""

import os
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import faiss
import numpy as np

from benchmarks.retrieval import calls, data
from benchmarks.retrieval.run import K, Row, Run
from benchmarks.retrieval.service import Saved, running_service
from services.retriever.index.approximate import CodesBase
from services.retriever.index.ivf import IvfCodes

CORES = len(os.sched_getaffinity(0))
CALLERS = 32
# A few more than are asked for, because better vectors decide.
_FETCHED = K + K // 4


class Bare(NamedTuple):
    """An engine in this process: how long one query takes alone on one core, and in a batch of 32 on all."""

    name: str
    one_s: Callable[[], float]
    batched_s: Callable[[], float]


def served(run: Run) -> list[Row]:
    """`Search` by one caller and by 32, against FAISS in this process and an echo of the same payload."""
    rows = []
    for kind in run.kinds:
        with running_service(run.library, index=kind) as service:
            requests = run.searches()
            first = run.call(service.address, calls.SEARCH, "", requests, 1, 0)
            found = data.recall(run.rows_of(first), run.expected)
            answer = max((each for each in first.answers if each is not None), key=len)
            engines = [_same_call(service.saved, run), _stock(service.saved, run, found)]
            lone: list[list[float]] = [[] for _ in engines]
            many: list[list[float]] = [[] for _ in engines]
            ours, rates, echoes = [], [], []
            with calls.echoing(answer) as echo:
                for _ in range(run.rounds):
                    echoed = run.call(echo, calls.ECHO, "", requests, 1, 0.5)
                    together = run.call(echo, calls.ECHO, "", requests, CALLERS, 0.5)
                    before = [(engine.one_s(), engine.batched_s()) for engine in engines]
                    heard = run.call(service.address, calls.SEARCH, "", requests, 1)
                    crowd = run.call(service.address, calls.SEARCH, "", requests, CALLERS)
                    after = [(engine.one_s(), engine.batched_s()) for engine in engines]
                    for place, (some, others) in enumerate(zip(before, after, strict=True)):
                        lone[place].append((some[0] + others[0]) / 2)
                        many[place].append((some[1] + others[1]) / 2)
                    ours.append(heard.p50_s)
                    rates.append(crowd.per_second)
                    echoes.append((echoed.p50_s, 1 / together.per_second))
            described = service.describe()
        # A service that does not know the setting serves what it has: the table says what that is.
        name = kind if described.kind == kind else f"{kind} (serves {described.kind})"
        rows.append(Row(f"{name}: Search, recall@{K}", f"{found:.4f}", "≥ 0.99"))
        echo_s, echo_many_s = (statistics.median(each) for each in zip(*echoes, strict=True))
        p50_s, rate = statistics.median(ours), statistics.median(rates)
        for engine, one_s, batched_s in zip(engines, lone, many, strict=True):
            alone = [our_s / (each + echo + 0.001) for our_s, each, (echo, _) in zip(ours, one_s, echoes, strict=True)]
            crowded = [each * (one + echo) for each, one, (_, echo) in zip(rates, batched_s, echoes, strict=True)]
            per_engine = [each * one for each, one in zip(rates, batched_s, strict=True)]
            own_s, own_many_s = statistics.median(one_s), statistics.median(batched_s)
            what = f"  p50 {1e3 * p50_s:.2f} ms / ({engine.name} {1e3 * own_s:.2f} + echo {1e3 * echo_s:.2f} + 1 ms)"
            rows.append(Row(what, _ratios(alone), "≤ 1"))
            what = f"  {CALLERS} callers, {rate:.0f}/s × ({engine.name} {1e3 * own_many_s:.2f} + echo"
            rows.append(Row(f"{what} {1e3 * echo_many_s:.2f} ms)", _ratios(crowded), "≥ 0.9"))
            goal = "≥ 0.9" if kind == "flat" else ""
            rows.append(Row(f"  … × {engine.name} alone", _ratios(per_engine), goal))
    return rows


def _same_call(saved: Saved | None, run: Run) -> Bare:
    """Time the very call of the service: its codes in its lists, without the better vectors that decide then."""
    base = saved.base.base if saved is not None else None
    if isinstance(base, CodesBase):
        find = base.codes.find
        return _timed("the same FAISS call", run, lambda queries: find(queries, K, _FETCHED, None))
    # What the exact kinds do themselves is BLAS or FAISS's own.
    assert base is not None  # it began with something
    return _timed("the same call", run, lambda queries: base.search(queries, K, None))


def _stock(saved: Saved | None, run: Run, recall: float) -> Bare:
    """Time FAISS as everybody has it: its own 8-bit codes, and as much effort as that recall takes."""
    base = saved.base.base if saved is not None else None
    vectors = run.library.vectors
    if not isinstance(base, CodesBase):
        name = "SQfp16" if base is not None and base.kind == "flat-fp16" else "Flat"
        index = faiss.index_factory(run.library.dimension, name, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors[:1000])
        index.add(vectors)
        return _timed(f"FAISS {name}", run, lambda queries: index.search(queries, K))
    knob = {"ivf-sq8": "nprobe", "hnsw-sq8": "efSearch"}.get(base.kind, "")
    index = _with_own_codes(base.codes, run) if isinstance(base.codes, IvfCodes) else base.codes.index
    name = f"FAISS {base.kind}"
    for effort in range(8, 1024, 8) if knob else ():
        faiss.ParameterSpace().set_index_parameter(index, knob, effort)
        name = f"FAISS {base.kind}, {knob} {effort}"
        if data.recall(index.search(run.asked, _FETCHED)[1].tolist(), run.expected) >= recall:
            break
    return _timed(name, run, lambda queries: index.search(queries, _FETCHED))


def _with_own_codes(codes: IvfCodes, run: Run) -> Any:
    """Make FAISS's own IVF of the same centroids."""
    metric, dimension = faiss.METRIC_INNER_PRODUCT, run.library.dimension
    quantizer = faiss.IndexFlatIP(dimension)
    quantizer.add(np.ascontiguousarray(codes.centroids))
    bits = faiss.ScalarQuantizer.QT_8bit
    index = faiss.IndexIVFScalarQuantizer(quantizer, dimension, len(codes.centroids), bits, metric, False)
    for block in run.library.blocks():
        if not index.is_trained:
            index.train(np.ascontiguousarray(block))
        index.add(np.ascontiguousarray(block))
    return index


def _timed(name: str, run: Run, search: Callable[[data.Float32Array], object]) -> Bare:
    count = len(run.asked)

    def one_s() -> float:
        faiss.omp_set_num_threads(1)
        return _median_s(lambda number: search(run.asked[number % count][np.newaxis]), run.seconds / 4)

    def batched_s() -> float:
        faiss.omp_set_num_threads(CORES)
        batches = count - CALLERS
        taken_s = _median_s(lambda number: search(run.asked[number % batches :][:CALLERS]), run.seconds / 4)
        return taken_s / CALLERS

    return Bare(name, one_s, batched_s)


def _median_s(call: Callable[[int], object], seconds: float) -> float:
    call(0)
    taken: list[float] = []
    while sum(taken) < seconds or len(taken) < 5:
        began = time.perf_counter()
        call(len(taken))
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _ratios(found: list[float]) -> str:
    spread = f" ({min(found):.2f} to {max(found):.2f})" if len(found) > 1 else ""
    return f"{statistics.median(found):.2f}{spread}"
