"""What the bench makes of a file is what the embedder's service makes of it."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import soundfile

from services.embedder.batcher import Batcher
from services.embedder.choice import load_encoder
from services.embedder.decoder import DecodeLimits, DecoderPool
from services.embedder.embedding import AudioLimits, TrackEmbedder, TrackEmbedding
from services.embedder.lanes import Lane
from services.embedder.model import Encoder
from training.evaluation.embedding import embed_file

RATE = 44_100


async def serve(encoder: Encoder, path: Path) -> TrackEmbedding:
    """Embed a file through decoding process, batcher and pooling of the service."""
    decoders = DecoderPool(1, DecodeLimits(), max_waiting=4)
    await decoders.start()
    batcher = Batcher(encoder, max_batch_seconds=40, max_delay_ms=1, max_queued_seconds=1000)
    running = asyncio.create_task(batcher.run())
    tracks = TrackEmbedder(encoder, batcher, {lane: decoders for lane in Lane}, seconds_in_flight=40)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return await tracks.embed(descriptor, AudioLimits(3, 600, 1 << 30), Lane.BULK)
    finally:
        os.close(descriptor)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        batcher.close()
        await decoders.close()


async def test_vectors_of_a_file_are_those_that_are_served(tmp_path: Path) -> None:
    random = np.random.default_rng(11)
    time = np.arange(47 * RATE) / RATE
    chords = sum(np.sin(2 * np.pi * hz * time * (1 + time / 300)) for hz in (196, 247, 392)) / 6
    sound = np.stack([chords, chords + 0.1 * random.standard_normal(len(time))], axis=1)
    sound[10 * RATE : 20 * RATE] = 0  # one silent window; the rest of 7 s votes
    soundfile.write(tmp_path / "song.ogg", sound.astype(np.float32), RATE)
    encoder = load_encoder("musicnn-msd", artifacts_folder=tmp_path, muq_folder=None, threads=1)
    served = await serve(encoder, tmp_path / "song.ogg")
    own = embed_file(encoder, tmp_path / "song.ogg")
    assert own.windows.shape == served.windows.shape == (4, 200)
    np.testing.assert_allclose(own.seconds, [10, 10, 10, 7], atol=1e-3)
    np.testing.assert_allclose(own.windows, served.windows, atol=1e-4)
    np.testing.assert_allclose(own.vector, served.vector, atol=1e-4)
    scores = dict(served.tags)
    wanted = [scores[name] for name in encoder.manifest.tags]
    np.testing.assert_allclose(np.average(own.tags, axis=0, weights=own.seconds), wanted, atol=1e-4)
    assert own.duration_seconds == served.duration_seconds
