"""A decoding process is killed or stands still with a file in its hands: it is tried again, and done in the end."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from museed.embedder.v1.events_pb2 import TrackEmbeddingFailed
from services.chassis.bus import DEAD_LETTERS, list_dead_letters
from services.embedder.audio import DecodeSpec
from services.embedder.decode_process import DecodeProcess
from services.embedder.decoder import DecodeLimits, DecoderPool
from services.embedder.embedding import AudioLimits, TrackEmbedder, TrackEmbedding
from services.embedder.errors import DecoderLost, DecoderNotStarted
from services.embedder.lanes import Lane
from tests.conftest import NatsServer
from tests.integration.embedder.conftest import Rig, opened
from tests.integration.embedder.test_work import EMBEDDED, FAILED, Mesh, mesh, song, working

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


async def test_file_that_has_every_process_killed_is_set_aside_and_the_next_is_heard(
    rig: Rig, mesh: Mesh, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.bus.consume._MAX_RETRY_DELAY_S", 0.01)
    monkeypatch.setattr("services.embedder.consumer._MAX_ATTEMPTS", 2)
    begin = DecodeProcess.begin
    killed: list[int] = []

    async def begin_and_be_killed(process: DecodeProcess, descriptor: int, spec: DecodeSpec, cpu_s: float) -> bool:
        """As the kernel does where memory is short: with a file that takes too much of it."""
        if os.fstat(descriptor).st_ino != killer:
            return await begin(process, descriptor, spec, cpu_s)
        os.kill(process.pid, signal.SIGSTOP)
        has_begun = await begin(process, descriptor, spec, cpu_s)
        os.kill(process.pid, signal.SIGKILL)
        killed.append(process.pid)
        return has_begun

    monkeypatch.setattr(DecodeProcess, "begin", begin_and_be_killed)
    song(mesh.root, "killer.wav")
    song(mesh.root, "good.wav")
    killer = os.stat(mesh.root / "killer.wav").st_ino
    await mesh.ask("killer.wav", "work-1")
    await mesh.ask("good.wav", "work-2")
    async with working(rig, nats_server, concurrency=1):
        ((_, failure, _),) = await mesh.events(1, FAILED)
        await mesh.events(1, EMBEDDED)
        await mesh.until_all_is_done()
    assert len(killed) == 2 * 3
    assert TrackEmbeddingFailed.FromString(failure).work_id == "work-1"
    (letter,) = (await list_dead_letters(mesh.bus, None, 5)).letters
    assert (letter.reason, letter.attempts) == ("DECODER_KILLED", 2)
    assert letter.message == "3 processes in a row were killed from outside while they decoded this file"


async def test_machine_without_room_for_a_decoder_is_no_fault_of_the_file(
    rig: Rig, mesh: Mesh, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.bus.consume._FIRST_RETRY_DELAY_S", 0.01)
    monkeypatch.setattr("services.embedder.consumer._MAX_ATTEMPTS", 1)
    embed_track = TrackEmbedder.embed
    tries: list[int] = []

    async def embed_at_last(tracks: TrackEmbedder, descriptor: int, limits: AudioLimits, lane: Lane) -> TrackEmbedding:
        tries.append(descriptor)
        if len(tries) < 5:
            raise DecoderNotStarted("no decoding process can be started: Cannot allocate memory")
        return await embed_track(tracks, descriptor, limits, lane)

    monkeypatch.setattr(TrackEmbedder, "embed", embed_at_last)
    song(mesh.root, "a.wav")
    await mesh.ask("a.wav", "work-1")
    async with working(rig, nats_server, concurrency=1):
        await mesh.events(1, EMBEDDED)
        await mesh.until_all_is_done()
    assert len(tries) == 5
    assert await mesh.waiting(DEAD_LETTERS) == 0
