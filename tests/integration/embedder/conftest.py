"""Decoding processes and embedders on real files."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from museed.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from services.chassis.blobs import BlobStore, open_blob_store
from services.embedder.audio import AudioSummary, DecodeSpec
from services.embedder.batcher import Batcher
from services.embedder.decoder import DecodeLimits, DecoderPool
from services.embedder.embedding import TrackEmbedder
from services.embedder.lanes import Lane
from services.embedder.servicer import ACCEPTED
from services.embedder.spool import Spool
from tests.fakes.encoder import FakeEncoder

SPEC = DecodeSpec(sample_rate_hz=16_000, block_samples=160_000, min_seconds=3, max_seconds=7200)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a file for reading."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def decode(
    pool: DecoderPool, path: Path, spec: DecodeSpec = SPEC
) -> tuple[list[NDArray[np.float32]], AudioSummary]:
    """Return all blocks of a file and what was found."""
    with opened(path) as descriptor:
        async with pool.decode(descriptor, spec) as decoding:
            blocks = [block async for block in decoding]
            return blocks, decoding.summary


@pytest.fixture
async def decoders() -> AsyncIterator[DecoderPool]:
    """One decoding process."""
    pool = DecoderPool(1, DecodeLimits(), max_waiting=4)
    await pool.start()
    yield pool
    await pool.close()


@dataclass
class Rig:
    """The parts of an embedder around an encoder without weights."""

    encoder: FakeEncoder
    batcher: Batcher
    tracks: TrackEmbedder
    blobs: BlobStore
    spool_folder: Path
    spool: Spool


@pytest.fixture
async def rig(tmp_path: Path, decoders: DecoderPool) -> AsyncIterator[Rig]:
    """An embedder with one decoding process, a real batcher and a blob store of this test's own."""
    encoder = FakeEncoder()
    batcher = Batcher(encoder, max_batch_seconds=40, max_delay_ms=1, max_queued_seconds=1000)
    running = asyncio.create_task(batcher.run())
    tracks = TrackEmbedder(encoder, batcher, {Lane.INTERACTIVE: decoders, Lane.BULK: decoders}, seconds_in_flight=20)
    spool_folder = tmp_path / "spool"
    spool = Spool(spool_folder)
    yield Rig(encoder, batcher, tracks, open_blob_store(f"file://{tmp_path / 'blobs'}"), spool_folder, spool)
    encoder.open.set()  # a test that failed may have left it shut
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    batcher.close()
    spool.close()


async def send_audio(
    stub: "embedder_pb2_grpc.EmbedderServiceAsyncStub",
    messages: Sequence[embedder_pb2.EmbedRequest],
    metadata: tuple[tuple[str, str], ...],
    timeout_s: float = 60,
) -> embedder_pb2.Embedding:
    """Send the first message of an upload, and the others when it is accepted."""
    accepted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def stream() -> AsyncIterator[embedder_pb2.EmbedRequest]:
        for number, message in enumerate(messages):
            if number and not await accepted:
                return
            yield message

    call = stub.Embed(stream(), timeout=timeout_s, metadata=metadata)
    accepted.set_result(ACCEPTED in tuple(await call.initial_metadata()))
    return (await call).embedding
