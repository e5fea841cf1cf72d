"""What the retriever's callers notice while its index changes: by the log, and by merges."""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import grpc
import numpy as np

from benchmarks.retrieval import calls, data
from benchmarks.retrieval.calls import call_in_turn
from benchmarks.retrieval.data import Float32Array, Int64Array, Library
from benchmarks.retrieval.run import K, Row, Run
from benchmarks.retrieval.service import Service, running_service
from museed.retriever.v1 import retriever_pb2, retriever_pb2_grpc
from services.retriever.tracks import Track

_WARM_UP_S = 2.0
_WATCHED_S = 15.0


def churn(run: Run) -> list[Row]:
    """Recall and latencies while a tenth of the library goes and as much comes."""
    rows = []
    count = len(run.library.tracks) // 10
    arriving, gone = _arriving(run, count), _gone(run, count)
    kept = np.setdiff1d(np.arange(len(run.library.tracks)), gone)
    tracks = [run.library.tracks[row] for row in kept] + [track for track, _ in arriving]
    vectors_ = np.concatenate([run.library.vectors[kept], np.stack([vector for _, vector in arriving])])
    later = run._replace(library=Library("after", tracks, vectors_), expected=data.truth(vectors_, run.asked, K))
    removed = [run.library.tracks[row].track_id for row in gone]
    for kind in run.kinds:
        with running_service(run.library, index=kind, merge_after_changes=max(100, count // 2)) as service:
            quiet = run.call(service.address, calls.SEARCH, "", run.searches(), 1)
            busy = _while_changing(run, service, lambda: service.change(arriving, removed))  # used at once
            heard = run.call(service.address, calls.SEARCH, "", run.searches(), 1, 0)
            described = service.describe()
        found = later.rows_of(heard)
        wrong = sum(row == -1 for rows_of_query in found for row in rows_of_query)
        changed = f"delta {described.delta_count}, tombstones {described.tombstone_count}"
        ratio = busy.p99_s / quiet.p99_s()
        rows += [
            Row(f"{kind}: {count:,} tracks go and come in {busy.taken_s:.0f} s; merges seen", str(busy.merges), "≥ 1"),
            Row(f"  recall@{K} afterwards; {changed}", f"{data.recall(found, later.expected):.4f}", "≥ 0.99"),
            Row("  hits that are gone", str(wrong), "0"),
            Row(f"  p99 meanwhile {1e3 * busy.p99_s:.1f} ms / quiet {1e3 * quiet.p99_s():.1f} ms", f"{ratio:.2f}"),
        ]
    return rows


def fresh(run: Run) -> list[Row]:
    """How long after its event a new track is found."""
    rows = []
    for kind in run.kinds:
        with running_service(run.library, index=kind) as service:
            taken = service.found_after_s(_arriving(run, 100))
        figure = f"{1e3 * np.median(taken):.1f} ms ({1e3 * max(taken):.0f} ms)"
        rows.append(Row(f"{kind}: from a track's event to its being found, p50 (longest of 100)", figure, "≤ 100 ms"))
    return rows


def merges(run: Run) -> list[Row]:
    """Latencies of one caller while the next base is made, and nothing else goes on."""
    rows = []
    count = max(100, len(run.library.tracks) // 50)
    arriving = _arriving(run, count)
    for kind in run.kinds:
        with running_service(run.library, index=kind, merge_after_changes=count) as service:
            service.change(arriving[:-1], [])
            quiet = run.call(service.address, calls.SEARCH, "", run.searches(), 1)
            busy = _while_changing(run, service, lambda: service.change(arriving[-1:], []))  # used at once
        ratio = busy.p99_s / quiet.p99_s()
        what = f"{kind}: p99 during a merge of {busy.taken_s:.1f} s {1e3 * busy.p99_s:.1f} ms"
        goal = "≤ 3" if busy.merges else "no merge!"
        rows.append(Row(f"{what} / quiet {1e3 * quiet.p99_s():.1f} ms", f"{ratio:.2f}", goal))
    return rows


def _arriving(run: Run, count: int) -> list[tuple[Track, Float32Array]]:
    new = data.clustered(count, seed=77, dimension=run.library.dimension)
    tracks = [Track(f"new-{number:06d}", 1, artist=track.artist) for number, track in enumerate(new.tracks)]
    return list(zip(tracks, new.vectors, strict=True))


def _gone(run: Run, count: int) -> Int64Array:
    gone: Int64Array = np.random.default_rng(5).choice(len(run.library.tracks), count, replace=False)
    return gone


class _Busy(NamedTuple):
    """How long it took until the change was applied and merged, the p99 of that time, and how many merges ended."""

    taken_s: float
    p99_s: float
    merges: int


def _while_changing(run: Run, service: Service, change: Callable[[], float]) -> _Busy:
    """Let a caller search while the log changes the index, and watch for merges: the delta shrinks at each end."""
    seconds = max(_WATCHED_S, len(run.library.tracks) / 1000)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as watchers:
        watching = watchers.submit(_watch, service.address, seconds)
        arguments = (service.address, calls.SEARCH, "", run.searches(), 1, seconds)
        searching = run.loads.submit(call_in_turn, *arguments)
        time.sleep(_WARM_UP_S)
        began = time.monotonic()
        change()
        ended = time.monotonic()
        heard, ends = searching.result(), [end for end in watching.result() if end > began]
    ended = max([ended, *ends])
    return _Busy(ended - began, heard.p99_s(began, ended), len(ends))


def _watch(address: str, seconds: float) -> list[float]:
    """Return when the delta of an index shrank, on the clock of `time.monotonic`."""
    ends, before = [], 0
    until = time.monotonic() + seconds
    with grpc.insecure_channel(address) as channel:
        stub = retriever_pb2_grpc.RetrieverServiceStub(channel)
        while time.monotonic() < until:
            described = stub.DescribeIndex(retriever_pb2.DescribeIndexRequest(), timeout=30)
            now = described.delta_count + described.tombstone_count
            if now < before:
                ends.append(time.monotonic())
            before = now
            time.sleep(0.05)
    return ends
