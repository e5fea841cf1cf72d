"""A decoding process is killed or stands still with a file in its hands: it is tried again, and done in the end."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from services.chassis.bus import DEAD_LETTERS
from services.embedder.decoder import DecodeLimits, DecoderPool
from services.embedder.embedding import AudioLimits, TrackEmbedder, TrackEmbedding
from services.embedder.errors import DecoderLost
from services.embedder.lanes import Lane
from tests.conftest import NatsServer
from tests.integration.embedder.conftest import Rig, opened
from tests.integration.embedder.test_work import EMBEDDED, Mesh, mesh, song, working

__all__ = ["mesh"]  # a fixture

LIMITS = AudioLimits(min_seconds=30, max_seconds=600, max_bytes=10_000_000)


async def embed(rig: Rig, path: Path) -> TrackEmbedding:
    with opened(path) as descriptor:
        return await rig.tracks.embed(descriptor, LIMITS, Lane.INTERACTIVE)


async def kill_with_a_file(decoders: DecoderPool) -> None:
    """Stop the idle process, wait until it has been given a file, and kill it."""
    (process_id,) = decoders.process_ids
    os.kill(process_id, signal.SIGSTOP)
    while decoders.process_ids:
        await asyncio.sleep(0.001)
    os.kill(process_id, signal.SIGKILL)


async def test_caller_is_told_to_retry_and_the_next_try_works(rig: Rig, decoders: DecoderPool, tmp_path: Path) -> None:
    song(tmp_path, "a.wav")
    wanted = await embed(rig, tmp_path / "a.wav")
    killing = asyncio.create_task(kill_with_a_file(decoders))
    await asyncio.sleep(0)  # it is stopped
    with pytest.raises(DecoderLost) as caught:
        await embed(rig, tmp_path / "a.wav")
    await killing
    assert (caught.value.code, caught.value.retry_after_ms) == ("UNAVAILABLE", 1000)
    found = await embed(rig, tmp_path / "a.wav")
    assert found.windows.tobytes() == wanted.windows.tobytes()


async def test_work_whose_process_is_killed_is_done_by_the_next(
    rig: Rig, decoders: DecoderPool, mesh: Mesh, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.bus.consume._MAX_RETRY_DELAY_S", 0.01)
    for number in range(3):
        song(mesh.root, f"{number}.wav")
    killing = asyncio.create_task(kill_with_a_file(decoders))
    await asyncio.sleep(0)
    for number in range(3):
        await mesh.ask(f"{number}.wav", f"work-{number}")
    async with working(rig, nats_server, concurrency=1):
        events = await mesh.events(3)
        await mesh.until_all_is_done()
    await killing
    assert [subject for subject, _, _ in events] == [EMBEDDED] * 3
    assert len({event_id for _, _, event_id in events}) == 3
    assert await mesh.waiting(DEAD_LETTERS) == 0


async def test_work_whose_process_gets_no_time_is_done_by_the_next(
    rig: Rig, mesh: Mesh, nats_server: NatsServer
) -> None:
    pool = DecoderPool(1, DecodeLimits(wait_s=2.0), max_waiting=1)
    await pool.start()
    rig.tracks = TrackEmbedder(rig.encoder, rig.batcher, {Lane.BULK: pool}, seconds_in_flight=40)
    (process_id,) = pool.process_ids
    os.kill(process_id, signal.SIGSTOP)
    song(mesh.root, "a.wav")
    await mesh.ask("a.wav", "work-1")
    async with working(rig, nats_server, concurrency=1):
        ((subject, _, _),) = await mesh.events(1)
        await mesh.until_all_is_done()
    assert subject == EMBEDDED
    assert process_id not in pool.process_ids
    assert await mesh.waiting(DEAD_LETTERS) == 0
    await pool.close()
