"""Other engines on the same library: pgvector over PostgreSQL's socket, usearch and bare FAISS in this process.

Each is tuned by one knob until it finds 99 % of the true nearest 100, and measured there. What is not installed is
left out by name.
"""

import asyncio
import contextlib
import itertools
import multiprocessing
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import asyncpg
import faiss
import numpy as np

from benchmarks.retrieval.data import Float32Array, Int64Array, Library, recall
from deploy.local.postgres import Postgres
from services.chassis.bus import LogPosition
from services.retriever.index.index import TrackIndex
from services.retriever.milvus.milvus_engine import MilvusIndex
from services.retriever.milvus.milvus_store import MilvusStore

K = 100
WANTED_RECALL = 0.99
EFFORTS = (100, 150, 200, 300, 400, 600, 800, 1000)
_BUILD_MEMORY = "4GB"
_ROWS_AT_ONCE = 2_000
_MILVUS_QUERIES = 40


class Measured(NamedTuple):
    """An engine at the least effort that reaches the wanted recall.

    Attributes:
        name: Of the engine.
        effort: Its knob, for example "ef 200"; empty where it has none.
        recall: Share of the true nearest 100 that it found.
        p50_s: Middle latency of one caller.
        per_second: Answers a second to several callers.
        build_s: Time that building took.
        is_served: Whether that was over a socket.
    """

    name: str
    effort: str
    recall: float
    p50_s: float
    per_second: float
    build_s: float
    is_served: bool


def own(index: TrackIndex, place: dict[str, int], asked: Float32Array, expected: Int64Array, threads: int) -> Measured:
    """Our own index in this process; many callers are a batch of 32, as they are joined in the service."""
    found = [[place[track.track_id] for track in index.nearest(query, K).tracks] for query in asked]
    faiss.omp_set_num_threads(1)
    p50_s = _median_s([lambda query=query: index.nearest(query, K) for query in asked[:100]])
    faiss.omp_set_num_threads(threads)
    batches = [asked[start : start + 32] for start in range(0, max(1, len(asked) - 31), 32)]
    batched_s = _median_s([lambda batch=batch: index.search(batch, K) for batch in batches] * 2) / len(batches[0])
    return Measured(f"our {index.kind}, in process", "", recall(found, expected), p50_s, 1 / batched_s, 0.0, False)


def faiss_flat(vectors: Float32Array, asked: Float32Array, expected: Int64Array, threads: int) -> Measured:
    """FAISS's own exact index in this process; many callers are a batch of 32."""
    began = time.perf_counter()
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return _in_process(
        "FAISS IndexFlatIP, in process", "", index, asked, expected, threads, time.perf_counter() - began
    )


def faiss_ivf(vectors: Float32Array, asked: Float32Array, expected: Int64Array, threads: int) -> Measured | str:
    """FAISS's IVF with 8-bit codes in this process, without a second look at better vectors."""
    lists = max(16, 1 << int(np.log2(max(1.0, 1.7 * len(vectors) ** 0.5))))
    began = time.perf_counter()
    index = faiss.index_factory(vectors.shape[1], f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    index.train(vectors[:: max(1, len(vectors) // (64 * lists))])
    index.add(vectors)
    return _tuned_faiss(f"FAISS IVF{lists},SQ8, in process", "nprobe", index, asked, expected, threads, began)


def faiss_hnsw(vectors: Float32Array, asked: Float32Array, expected: Int64Array, threads: int) -> Measured | str:
    """FAISS's HNSW with 8-bit codes in this process."""
    began = time.perf_counter()
    index = faiss.index_factory(vectors.shape[1], "HNSW32,SQ8", faiss.METRIC_INNER_PRODUCT)
    index.train(vectors[:: max(1, len(vectors) // 20_000)])
    index.add(vectors)
    return _tuned_faiss("FAISS HNSW32,SQ8, in process", "efSearch", index, asked, expected, threads, began)


def usearch(vectors: Float32Array, asked: Float32Array, expected: Int64Array, threads: int) -> Measured | str:
    """HNSW by usearch in this process, fp16."""
    try:
        from usearch.index import Index
    except ImportError:
        return "usearch: left out, not installed (pip install 'museed[bench]')"
    began = time.perf_counter()
    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f16", connectivity=32, expansion_add=128)
    index.add(np.arange(len(vectors)), vectors, threads=threads)
    build_s = time.perf_counter() - began
    for effort in EFFORTS:
        index.expansion_search = effort
        found = index.search(asked, K, threads=threads).keys.tolist()
        if recall(found, expected) >= WANTED_RECALL:
            p50_s = _median_s([lambda query=query: index.search(query, K, threads=1) for query in asked[:100]])
            batched_s = _median_s([lambda: index.search(asked, K, threads=threads)] * 5) / len(asked)
            name = "usearch HNSW fp16, in process"
            return Measured(name, f"ef {effort}", recall(found, expected), p50_s, 1 / batched_s, build_s, False)
    return f"usearch: recall {recall(found, expected):.3f} at {effort}, below {WANTED_RECALL}"


def milvus(library: Library, asked: Float32Array, expected: Int64Array) -> Measured | str:
    """Milvus by our own adapter, as milvus-lite serves it: in this process, from a file."""
    if find_spec("pymilvus") is None or find_spec("milvus_lite") is None:
        return "Milvus: left out, not installed (pip install 'museed[milvus]')"
    place = {track.track_id: row for row, track in enumerate(library.tracks)}
    with tempfile.TemporaryDirectory(prefix="museed-milvus-") as folder:
        store = MilvusStore(f"{folder}/milvus.db", "", "benchmark", timeout_s=300.0)
        index = MilvusIndex("benchmark", store)
        began = time.perf_counter()
        for track, vector in zip(library.tracks, library.vectors, strict=True):
            index.upsert(track, vector)
        index.send()
        index.keep(LogPosition(datetime.now(UTC), 1))
        build_s = time.perf_counter() - began
        asked, expected = asked[:_MILVUS_QUERIES], expected[:_MILVUS_QUERIES]
        found = [[place[track.track_id] for track in index.nearest(query, K).tracks] for query in asked]
        p50_s = _median_s([lambda query=query: index.nearest(query, K) for query in asked])
        store.close()
    return Measured("our Milvus adapter, milvus-lite", "", recall(found, expected), p50_s, 1 / p50_s, build_s, False)


def pgvector(
    vectors: Float32Array, asked: Float32Array, expected: Int64Array, callers: int, seconds: float
) -> Measured | str:
    """HNSW by pgvector in the embedded PostgreSQL, over its unix socket."""
    with _postgres() as url:
        try:
            build_s = asyncio.run(_fill(url, vectors))
        except asyncpg.FeatureNotSupportedError:
            return "pgvector: left out, this PostgreSQL does not carry it (Debian: postgresql-18-pgvector)"
        packed = [_packed(query) for query in asked]
        for effort in EFFORTS:
            found = asyncio.run(_ask(url, packed, effort, 1, 0.0))
            share = recall([found.rows[number] for number in range(len(packed))], expected)
            if share >= WANTED_RECALL:
                with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                    alone = pool.submit(_ask_in_process, url, packed, effort, 1, seconds).result()
                    many = pool.submit(_ask_in_process, url, packed, effort, callers, seconds).result()
                p50_s = float(np.median(alone.latencies_s))
                per_second = len(many.latencies_s) / many.seconds
                return Measured("pgvector HNSW, socket", f"ef {effort}", share, p50_s, per_second, build_s, True)
        return f"pgvector: recall {share:.3f} at ef {effort}, below {WANTED_RECALL}"


class _Answers(NamedTuple):
    rows: dict[int, list[int]]
    latencies_s: list[float]
    seconds: float


def _ask_in_process(url: str, packed: Sequence[bytes], effort: int, callers: int, seconds: float) -> _Answers:
    return asyncio.run(_ask(url, packed, effort, callers, seconds))


async def _ask(url: str, packed: Sequence[bytes], effort: int, callers: int, seconds: float) -> _Answers:
    """Let callers, each with a connection and a prepared statement of its own, ask one after another."""
    rows: dict[int, list[int]] = {}
    latencies: list[float] = []
    numbers = itertools.count()

    async def caller() -> None:
        connection = await _connect(url)
        # The planner reads all of a small table instead.
        await connection.execute(f"SET hnsw.ef_search = {effort}; SET enable_seqscan = off")
        statement = await connection.prepare(f"SELECT id FROM items ORDER BY vector <#> $1 LIMIT {K}")
        await statement.fetch(packed[0])
        while (number := next(numbers)) < len(packed) or time.perf_counter() - began < seconds:
            started = time.perf_counter()
            found = await statement.fetch(packed[number % len(packed)])
            latencies.append(time.perf_counter() - started)
            rows[number % len(packed)] = [row["id"] for row in found]
        await connection.close()

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return _Answers(rows, latencies, time.perf_counter() - began)


async def _fill(url: str, vectors: Float32Array) -> float:
    """Copy the vectors and build the index; return the seconds of building."""
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE EXTENSION vector")
    await connection.execute(f"CREATE TABLE items (id int PRIMARY KEY, vector vector({vectors.shape[1]}))")
    await connection.execute("ALTER TABLE items ALTER vector SET STORAGE PLAIN")
    await connection.close()
    connection = await _connect(url)
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        part = vectors[start : start + _ROWS_AT_ONCE]
        records = [(start + row, _packed(vector)) for row, vector in enumerate(part)]
        await connection.copy_records_to_table("items", records=records)
    await connection.execute(f"SET maintenance_work_mem = '{_BUILD_MEMORY}'")
    began = time.perf_counter()
    await connection.execute(
        "CREATE INDEX ON items USING hnsw (vector vector_ip_ops) WITH (m = 16, ef_construction = 128)", timeout=7200
    )
    build_s = time.perf_counter() - began
    await connection.execute("VACUUM ANALYZE items")
    await connection.fetch("SELECT count(*) FROM items")
    await connection.close()
    return build_s


async def _connect(url: str) -> asyncpg.Connection:
    """Connect so that vectors travel in pgvector's binary form: two lengths and big-endian fp32."""
    connection = await asyncpg.connect(url)
    await connection.set_type_codec(
        "vector", schema="public", encoder=lambda data: data, decoder=lambda data: data, format="binary"
    )
    return connection


def _packed(vector: Float32Array) -> bytes:
    return len(vector).to_bytes(2, "big") + bytes(2) + vector.astype(">f4").tobytes()


@contextlib.contextmanager
def _postgres() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="museed-pg-") as folder:
        Path(folder).chmod(0o755)
        server = Postgres.at(Path(folder) / "data", password="benchmark")
        server.initialise()
        process = subprocess.Popen(
            # All of the table and its index fit, as ours do; parallel workers build from shared memory.
            [*server.command(), "-c", "shared_buffers=1GB", "-c", "dynamic_shared_memory_type=mmap"],
            user=server.user,
            group=server.user,
            extra_groups=[],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        try:
            asyncio.run(_until_it_answers(server.url()))
            yield server.url()
        finally:
            process.terminate()
            process.wait(60)


async def _until_it_answers(url: str) -> None:
    for _ in range(400):
        try:
            await (await asyncpg.connect(url)).close()
            return
        except (OSError, asyncpg.PostgresError):
            await asyncio.sleep(0.05)
    raise TimeoutError("PostgreSQL did not start")


def _tuned_faiss(
    name: str, knob: str, index: faiss.Index, asked: Float32Array, expected: Int64Array, threads: int, began: float
) -> Measured | str:
    build_s = time.perf_counter() - began
    efforts = EFFORTS if knob == "efSearch" else (1, 2, 4, 8, 16, 32, 64)
    for effort in efforts:
        faiss.ParameterSpace().set_index_parameter(index, knob, effort)
        share = recall(index.search(asked, K)[1].tolist(), expected)
        if share >= WANTED_RECALL:
            return _in_process(name, f"{knob} {effort}", index, asked, expected, threads, build_s)
    return f"{name}: recall {share:.3f} at {knob} {effort}, below {WANTED_RECALL}"


def _in_process(
    name: str,
    effort: str,
    index: faiss.Index,
    asked: Float32Array,
    expected: Int64Array,
    threads: int,
    build_s: float,
) -> Measured:
    share = recall(index.search(asked, K)[1].tolist(), expected)
    faiss.omp_set_num_threads(1)
    p50_s = _median_s([lambda query=query: index.search(query[np.newaxis], K) for query in asked[:100]])
    faiss.omp_set_num_threads(threads)
    batches = [asked[start : start + 32] for start in range(0, max(1, len(asked) - 31), 32)]
    batched_s = _median_s([lambda batch=batch: index.search(batch, K) for batch in batches] * 2) / len(batches[0])
    return Measured(name, effort, share, p50_s, 1 / batched_s, build_s, False)


def _median_s(calls: Sequence[Callable[[], object]]) -> float:
    calls[0]()
    taken = []
    for call in calls:
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))
