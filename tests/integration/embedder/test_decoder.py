"""Real decoding processes on real files: formats, refusals, limits, and what happens when one dies."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import uvloop

from services.chassis.errors import DomainError
from services.embedder.audio import DecodeSpec
from services.embedder.decoder import DecodeLimits, DecoderPool
from services.embedder.errors import (
    AudioError,
    AudioTooLong,
    AudioTooShort,
    DecodeLimit,
    DecoderLost,
    DecodeStalled,
    EmbedderBusy,
)
from tests.fixtures import hostile_audio
from tests.integration.embedder import audio_files
from tests.integration.embedder.conftest import SPEC, decode, opened

MIB = 1024 * 1024
UPLOAD = replace(SPEC, max_seconds=1200)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audio")


@pytest.fixture(scope="module")
def twelve_seconds(folder: Path) -> dict[str, Path]:
    sound = audio_files.music(12)
    return {
        suffix: audio_files.write(folder / f"music.{suffix}", sound)
        for suffix in ("wav", "flac", "mp3", "ogg", "opus", "m4a", "aiff")
    }


@asynccontextmanager
async def limited(**limits: Any) -> AsyncIterator[DecoderPool]:
    pool = DecoderPool(1, replace(DecodeLimits(), **limits), max_waiting=4)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


async def refusal(pool: DecoderPool, path: Path, spec: DecodeSpec = SPEC) -> DomainError:
    with pytest.raises(DomainError) as caught:
        await decode(pool, path, spec)
    return caught.value


async def read(pool: DecoderPool, path: Path, on_block: Callable[[int], object], spec: DecodeSpec = UPLOAD) -> None:
    """Decode a file and tell the length of each block as it comes."""
    with opened(path) as descriptor:
        async with pool.decode(descriptor, spec) as decoding:
            async for block in decoding:
                on_block(len(block))


async def still_works(pool: DecoderPool, path: Path) -> bool:
    return (await decode(pool, path))[1].seconds == 12.0


async def test_blocks_do_not_depend_on_how_the_file_is_read(
    decoders: DecoderPool, twelve_seconds: dict[str, Path]
) -> None:
    long, _ = await decode(decoders, twelve_seconds["flac"])
    short, _ = await decode(decoders, twelve_seconds["flac"], replace(SPEC, block_samples=1000))
    np.testing.assert_array_equal(np.concatenate(long), np.concatenate(short))


async def test_content_decides_and_not_the_extension(
    decoders: DecoderPool, twelve_seconds: dict[str, Path], folder: Path
) -> None:
    lying = folder / "really-an-ogg.mp3"
    shutil.copy(twelve_seconds["ogg"], lying)
    _, summary = await decode(decoders, lying)
    assert summary.codec == "ogg/vorbis"


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:12\n#EXTINF:12,\n{}\n#EXT-X-ENDLIST\n",
    "hls by address": "#EXTM3U\n#EXT-X-TARGETDURATION:12\n#EXTINF:12,\nfile://{}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile other.aac\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
async def test_file_that_names_another_does_not_get_it_read(
    folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = audio_files.write(folder / "other.aac", audio_files.music(12))
    playlist = folder / "playlist.m3u8"
    playlist.write_text(PLAYLISTS[kind].format(other))
    monkeypatch.chdir(folder)
    async with limited() as pool:
        assert (await decode(pool, other))[1].codec == "aac"
        assert (await refusal(pool, playlist)).reason == "NOT_AUDIO"


@pytest.mark.parametrize("suffix", ["wav", "mp3", "m4a", "flac", "ogg"])
async def test_a_file_that_lacks_its_last_hundredth_is_taken_where_that_is_known(
    decoders: DecoderPool, folder: Path, suffix: str
) -> None:
    path = audio_files.write(folder / f"longer.{suffix}", audio_files.music(20))
    if suffix in ("m4a", "ogg"):  # the index is behind the sound; an Ogg file does not tell how much is missing
        assert (await refusal(decoders, audio_files.cut(path, 0.99))).reason == "AUDIO_TRUNCATED"
        return
    _, summary = await decode(decoders, audio_files.cut(path, 0.99))
    assert 19 < summary.seconds < 20


async def test_shortest_length_is_the_callers(decoders: DecoderPool, twelve_seconds: dict[str, Path]) -> None:
    error = await refusal(decoders, twelve_seconds["wav"], replace(SPEC, min_seconds=30))
    assert isinstance(error, AudioTooShort)
    assert error.metadata == {"field": "audio", "value": "12.000", "limit": "30"}
    assert error.message == "the audio is 12 s long, at least 30 s are needed"


async def test_too_long_file_is_refused_by_its_header(decoders: DecoderPool, twelve_seconds: dict[str, Path]) -> None:
    for suffix in ("wav", "m4a"):
        blocks: list[int] = []
        with pytest.raises(AudioTooLong) as caught:
            await read(decoders, twelve_seconds[suffix], blocks.append, replace(SPEC, max_seconds=11))
        assert caught.value.limit == "11"
        assert blocks == []


@pytest.mark.parametrize("rate_hz", [11_025, 16_000, 44_100, 96_000])
async def test_file_of_exactly_the_longest_length_is_taken(
    decoders: DecoderPool, twelve_seconds: dict[str, Path], rate_hz: int
) -> None:
    spec = replace(SPEC, sample_rate_hz=rate_hz, max_seconds=12)
    blocks, summary = await decode(decoders, twelve_seconds["flac"], spec)
    assert sum(map(len, blocks)) == 12 * rate_hz
    assert summary.seconds == 12.0


@pytest.fixture(scope="module")
def bomb(folder: Path) -> Path:
    """Return a FLAC of at most 500 KB that decodes to 1.7 GB of float32: 20 minutes of 8 silent channels."""
    path = hostile_audio.flac_bomb(folder / "bomb.flac", 1_230)
    assert path.stat().st_size < 500_000
    return path


async def test_flac_bomb_is_refused_by_its_header(decoders: DecoderPool, bomb: Path) -> None:
    assert isinstance(await refusal(decoders, bomb, UPLOAD), AudioTooLong)


async def test_flac_bomb_without_length_is_refused_with_flat_memory(decoders: DecoderPool, bomb: Path) -> None:
    endless = hostile_audio.forget_length(bomb)
    (process_id,) = decoders.process_ids
    before = psutil.Process(process_id).memory_info().rss
    blocks: list[int] = []
    with pytest.raises(AudioTooLong):
        await read(decoders, endless, blocks.append)
    assert blocks == [160_000] * 119  # the last is still in the resampler when the limit is met
    assert decoders.process_ids == [process_id]
    # Most of it is code of FFmpeg's filters, and the seconds that the loudness of eight channels keeps.
    assert psutil.Process(process_id).memory_info().rss - before < 48 * MIB


async def test_memory_does_not_grow_with_the_length(decoders: DecoderPool, bomb: Path) -> None:
    (process_id,) = decoders.process_ids
    peaks = []
    for seconds in (120, 2400):
        path = hostile_audio.flac_bomb(bomb.with_name(f"{seconds}.flac"), seconds, channels=1)
        await decode(decoders, path)
        peaks.append(psutil.Process(process_id).memory_info().rss)
    assert peaks[1] - peaks[0] < 8 * MIB


async def test_memory_limit_is_coded_and_the_next_file_works(twelve_seconds: dict[str, Path], bomb: Path) -> None:
    async with limited(memory_mib=64) as pool:
        # Twenty minutes in one block: 77 MB, and as much again to join it.
        error = await refusal(pool, bomb, replace(UPLOAD, block_samples=20 * 60 * 16_000, max_seconds=1e6))
        assert isinstance(error, DecodeLimit)
        assert error.message == "decoding takes more memory than 64 MiB"
        assert await still_works(pool, twelve_seconds["wav"])


async def test_cpu_limit_is_coded_and_counts_each_file_anew(twelve_seconds: dict[str, Path], bomb: Path) -> None:
    async with limited(cpu_s=0.5) as pool:
        (process_id,) = pool.process_ids
        process = psutil.Process(process_id)
        while sum(process.cpu_times()[:2]) < 2:  # far more than one file may take
            await decode(pool, twelve_seconds["opus"])
        assert pool.process_ids == [process_id]
        # Resampled to a rate that costs seconds.
        error = await refusal(pool, bomb, replace(SPEC, sample_rate_hz=384_000))
        assert isinstance(error, DecodeLimit)
        assert error.message == "decoding takes more CPU time than 0.5 s"
        assert await still_works(pool, twelve_seconds["wav"])


async def test_waiting_limit_is_not_the_files_fault_and_the_next_file_works(twelve_seconds: dict[str, Path]) -> None:
    async with limited(wait_s=1.0) as pool:
        (process_id,) = pool.process_ids
        os.kill(process_id, signal.SIGSTOP)
        error = await refusal(pool, twelve_seconds["wav"])
        assert isinstance(error, DecodeStalled)
        assert (error.code, error.reason, error.retry_after_ms) == ("UNAVAILABLE", "DECODE_STALLED", 10_000)
        assert (error.message, error.limit) == ("decoding was waited for longer than 1 s", "1 s")
        assert await still_works(pool, twelve_seconds["wav"])
        assert process_id not in pool.process_ids


async def test_process_killed_at_work_is_coded_and_replaced(
    decoders: DecoderPool, twelve_seconds: dict[str, Path], bomb: Path
) -> None:
    (process_id,) = decoders.process_ids
    with pytest.raises(DecoderLost) as caught:
        await read(decoders, bomb, lambda _: os.kill(process_id, signal.SIGKILL), SPEC)
    assert (caught.value.code, caught.value.reason) == ("UNAVAILABLE", "DECODER_LOST")
    assert await still_works(decoders, twelve_seconds["wav"])
    assert len(decoders.process_ids) == 1
    assert process_id not in decoders.process_ids


async def test_crash_of_a_decoder_is_the_files_fault(decoders: DecoderPool, bomb: Path) -> None:
    (process_id,) = decoders.process_ids
    with pytest.raises(AudioError) as caught:
        await read(decoders, bomb, lambda _: os.kill(process_id, signal.SIGSEGV), SPEC)
    assert caught.value.reason == "AUDIO_CORRUPT"
    assert "SIGSEGV" in caught.value.message


async def test_process_killed_while_idle_is_replaced_without_a_word(
    decoders: DecoderPool, twelve_seconds: dict[str, Path]
) -> None:
    (process_id,) = decoders.process_ids
    os.kill(process_id, signal.SIGKILL)
    psutil.Process(process_id).wait(60)
    assert await still_works(decoders, twelve_seconds["wav"])


async def test_reader_that_leaves_early_does_not_mix_up_the_next(
    decoders: DecoderPool, twelve_seconds: dict[str, Path], bomb: Path
) -> None:
    with opened(bomb) as descriptor:
        async with decoders.decode(descriptor, SPEC) as decoding:
            await anext(decoding)
    assert await still_works(decoders, twelve_seconds["wav"])


async def test_too_many_that_wait_are_refused(twelve_seconds: dict[str, Path], bomb: Path) -> None:
    pool = DecoderPool(1, DecodeLimits(), max_waiting=1)
    await pool.start()
    with opened(bomb) as descriptor:
        async with pool.decode(descriptor, SPEC):
            waiting = asyncio.create_task(decode(pool, twelve_seconds["wav"]))
            await asyncio.sleep(0)
            with pytest.raises(EmbedderBusy) as caught:
                await decode(pool, twelve_seconds["wav"])
            assert (caught.value.limit, caught.value.retry_after_ms) == ("1", 1000)
    assert (await waiting)[1].seconds == 12.0
    await pool.close()


async def test_processes_end_with_the_pool_and_with_their_parent(twelve_seconds: dict[str, Path]) -> None:
    async with limited() as pool:
        (process_id,) = pool.process_ids
    assert not psutil.pid_exists(process_id)


def test_pool_works_on_uvloop(twelve_seconds: dict[str, Path]) -> None:
    async def run() -> float:
        async with limited() as pool:
            return (await decode(pool, twelve_seconds["m4a"]))[1].seconds

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run()) == pytest.approx(12, abs=0.05)
