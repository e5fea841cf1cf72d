"""Starts the retriever as the process that it is, on a NATS of its own, with a stand-in for social, filled at once."""

import asyncio
import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import grpc
import numpy as np
import psutil

from benchmarks.embedder_.service import await_ready, keys_of
from benchmarks.retrieval.data import Library
from museed.retriever.v1 import retriever_pb2, retriever_pb2_grpc
from museed.social.v1 import accounts_pb2_grpc, encoders_pb2, encoders_pb2_grpc, events_pb2
from services.chassis import vectors
from services.chassis.bus import VECTORS, Bus, LogPosition, read_log, vector_subject
from services.retriever.index.base_file import Ingredients, StoredBase, write_base
from services.retriever.index.bases import IndexChoice
from services.retriever.index.index import TrackIndex
from services.retriever.index.track_table import NextTable
from services.retriever.live.snapshot import Snapshot
from services.retriever.live.snapshot_folder import SnapshotFolder
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track
from tests.conftest import NatsServer, free_port
from tests.fakes.tokens import TokenSigner

ENCODER_ID = "enc-benchmark"
_START_S = 600
_UNANSWERED = 256


class _Encoders(encoders_pb2_grpc.EncoderServiceServicer):
    def GetServingEncoder(self, request: object, context: object) -> encoders_pb2.GetServingEncoderResponse:
        return encoders_pb2.GetServingEncoderResponse(roles=encoders_pb2.EncoderRoles(serving_id=ENCODER_ID))


@dataclass(frozen=True, slots=True)
class Service:
    """A running retriever: address, signer of its callers' tokens, its log, its process, and what it began with."""

    address: str
    signer: TokenSigner
    nats: NatsServer
    process: psutil.Process
    ready_s: float
    saved: "Saved | None"

    def describe(self) -> retriever_pb2.DescribeIndexResponse:
        """Return what the retriever says of its index."""
        with grpc.insecure_channel(self.address) as channel:
            stub = retriever_pb2_grpc.RetrieverServiceStub(channel)
            return stub.DescribeIndex(retriever_pb2.DescribeIndexRequest(), timeout=30)

    def anonymous_bytes(self) -> int:
        """Return the memory of the process that no file backs."""
        for line in Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Anonymous:"):
                return 1024 * int(line.split()[1])
        raise RuntimeError("the kernel tells no anonymous memory")

    def cpu_s(self) -> float:
        """Return the core-seconds that the process has used."""
        times = self.process.cpu_times()
        return times.user + times.system

    def found_after_s(self, added: Sequence[tuple[Track, Float32Array]]) -> list[float]:
        """Write tracks to the log one by one; return how long after its event each was found by a search; blocks."""
        return asyncio.run(_found_after_s(self, added))

    def change(self, added: Sequence[tuple[Track, Float32Array]], removed: Sequence[str]) -> float:
        """Write to the log, half of each at a time, and return the seconds until all of it was applied; blocks."""
        return asyncio.run(_change(self, added, removed))


@contextlib.contextmanager
def running_service(library: Library | None, **settings: str | int | float) -> Iterator[Service]:
    """Run a retriever until the context ends.

    Args:
        library: What it starts with, by a snapshot; None starts it empty.
        settings: RETRIEVER_* settings by their names in lower case, without the prefix.
    """
    signer = TokenSigner()
    social = grpc.server(ThreadPoolExecutor(2))
    accounts_pb2_grpc.add_AccountServiceServicer_to_server(keys_of(signer), social)
    encoders_pb2_grpc.add_EncoderServiceServicer_to_server(_Encoders(), social)
    social_port = social.add_insecure_port("127.0.0.1:0")
    social.start()
    with tempfile.TemporaryDirectory(prefix="museed-bench-") as text:
        folder = Path(text)
        nats = NatsServer(folder)
        nats.start()
        log = (folder / "log").open("wb")
        process: subprocess.Popen[bytes] | None = None
        try:
            position = asyncio.run(_position(nats))
            saved = None
            if library is not None:
                saved = save(folder / "snapshots", library, position, str(settings.get("index", "auto")))
            address = f"127.0.0.1:{free_port()}"
            chosen = {
                "listen": address,
                "social_address": f"127.0.0.1:{social_port}",
                "encoder_id": ENCODER_ID,
                "snapshot_folder": folder / "snapshots",
                "snapshot_interval_s": 3600,
                "snapshot_after_changes": 10**9,
                "log_level": "INFO",
            } | settings
            bus = nats.settings("retriever")
            environment = {f"RETRIEVER_{name.upper()}": str(value) for name, value in chosen.items()} | {
                "NATS_URL": bus.url,
                "NATS_USER": bus.user,
                "NATS_PASSWORD": bus.password,
            }
            began = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, "-m", "services.retriever"], env=os.environ | environment, stdout=log, stderr=log
            )
            await_ready(address, process, folder / "log", _START_S)
            yield Service(address, signer, nats, psutil.Process(process.pid), time.monotonic() - began, saved)
        finally:
            if process is not None:
                # Its last snapshot is of no use here.
                process.kill()
                process.wait(30)
            log.close()
            nats.kill()
            social.stop(None)


class Saved(NamedTuple):
    """A snapshot and its base, as the retriever writes them."""

    folder: Path
    base: StoredBase
    files: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum(path.stat().st_size for path in self.files)


def save(folder: Path, library: Library, position: LogPosition, kind: str) -> Saved:
    """Build a base of a kind and write it with its snapshot; blocks, for a minute and more with HNSW."""
    choice = IndexChoice(kind)
    files = SnapshotFolder(folder, ENCODER_ID, choice)
    dimension = library.dimension
    of = Ingredients(ENCODER_ID, dimension, NextTable.of(library.tracks), library.blocks())
    path = files.next_base()
    stored = write_base(path, of, choice, lambda: False)
    nothing = np.empty((0, dimension), np.float32)
    alive = np.ones(len(library.tracks), np.bool_)
    snapshot = files.save(Snapshot(ENCODER_ID, position, stored, alive, [], nothing))
    return Saved(folder, stored, (path, snapshot))


def restoring_s(folder: Path, kind: str) -> float:
    """Return the seconds that an index needs to answer from its newest snapshot."""
    began = time.perf_counter()
    index = restored(folder, kind)
    index.nearest(index.take(np.array([0]))[0], 1)
    return time.perf_counter() - began


def restored(folder: Path, kind: str) -> TrackIndex:
    """Return the index of the newest snapshot of a folder."""
    choice = IndexChoice(kind)
    found = SnapshotFolder(folder, ENCODER_ID, choice).load_newest()
    assert found is not None  # written before
    index = TrackIndex(ENCODER_ID, choice)
    index.restore(found.stored, found.alive, found.tracks, found.vectors)
    return index


def reading_s(paths: Sequence[Path]) -> float:
    """Return the seconds that reading and checksumming files takes; SHA-256, by parts of 1 MiB."""
    began = time.perf_counter()
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    return time.perf_counter() - began


async def _position(nats: NatsServer) -> LogPosition:
    async def first(bus: Bus) -> LogPosition:
        await bus.ensure_streams()
        async for batch in read_log(bus, VECTORS, vector_subject(ENCODER_ID, ">"), None):
            return batch.position
        raise AssertionError("a log has a beginning")

    return await _with_bus(nats, first)


async def _with_bus(nats: NatsServer, work: Callable[[Bus], Awaitable[LogPosition]]) -> LogPosition:
    bus = await Bus.connect(nats.settings("social"), "social")
    try:
        return await work(bus)
    finally:
        await bus.close()


async def _change(service: Service, added: Sequence[tuple[Track, Float32Array]], removed: Sequence[str]) -> float:
    messages = [(track_id, b"") for track_id in removed]
    messages += [(track.track_id, _message(track, vector)) for track, vector in added]
    # Mixed, so that additions and removals meet.
    messages = messages[::2] + messages[1::2]
    began = time.perf_counter()
    open_calls = asyncio.Semaphore(_UNANSWERED)
    last = 0

    async def publish(bus: Bus) -> LogPosition:
        async def put(track_id: str, payload: bytes) -> None:
            nonlocal last
            async with open_calls:
                ack = await bus.publish(vector_subject(ENCODER_ID, track_id), payload, f"{began}-{track_id}")
            last = max(last, ack.sequence)

        async with asyncio.TaskGroup() as tasks:
            for track_id, payload in messages:
                tasks.create_task(put(track_id, payload))
        async for batch in read_log(bus, VECTORS, vector_subject(ENCODER_ID, "nobody"), None):
            return LogPosition(batch.position.created_at, last)
        raise AssertionError("a log has a beginning")

    position = await _with_bus(service.nats, publish)
    request = retriever_pb2.DescribeIndexRequest()
    request.min_read_point.stream_created_at.FromDatetime(position.created_at)
    request.min_read_point.sequence = position.sequence
    async with grpc.aio.insecure_channel(service.address) as channel:
        stub = retriever_pb2_grpc.RetrieverServiceStub(channel)
        await stub.DescribeIndex(request, timeout=29)
    return time.perf_counter() - began


async def _found_after_s(service: Service, added: Sequence[tuple[Track, Float32Array]]) -> list[float]:
    bus = await Bus.connect(service.nats.settings("social"), "social")
    try:
        async with grpc.aio.insecure_channel(service.address) as channel:
            stub = retriever_pb2_grpc.RetrieverServiceStub(channel)
            return [await _found_s(bus, stub, track, vector) for track, vector in added]
    finally:
        await bus.close()


async def _found_s(
    bus: Bus, stub: retriever_pb2_grpc.RetrieverServiceStub, track: Track, vector: Float32Array
) -> float:
    request = retriever_pb2.SearchRequest(vector=vectors.encode(vector), k=1)
    subject = vector_subject(ENCODER_ID, track.track_id)
    await bus.publish(subject, _message(track, vector), track.track_id)
    written = time.perf_counter()
    while True:
        found = await stub.Search(request, timeout=10)
        if [hit.track_id for hit in found.hits] == [track.track_id]:
            return time.perf_counter() - written


def _message(track: Track, vector: Float32Array) -> bytes:
    return events_pb2.TrackVector(
        track_id=track.track_id,
        encoder_id=ENCODER_ID,
        version=track.version,
        vector=vectors.encode(vector),
        title=track.title,
        artist=track.artist,
        album=track.album,
        genre=track.genre,
        year=track.year,
        duration_seconds=track.duration_s,
        tags=track.tags,
    ).SerializeToString()
