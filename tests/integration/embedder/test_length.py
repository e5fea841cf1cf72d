"""Memory by the length of a file: hours take what minutes take, in the service and in its decoding process."""

import struct
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from services.embedder.audio import DecodeSpec
from services.embedder.decoder import DecodeLimits, DecoderPool
from tests.fixtures import hostile_audio
from tests.integration.embedder import audio_files
from tests.integration.embedder.conftest import opened

MIB = 1024 * 1024
SPEC = DecodeSpec(sample_rate_hz=24_000, block_samples=240_000, min_seconds=3, max_seconds=7300)


def make(folder: Path, suffix: str, minutes: int, rate: int, channels: int) -> Path:
    """Write minutes of music, coding only one of them."""
    out = folder / f"{minutes}.{suffix}"
    if suffix == "wav":
        length = minutes * 60 * rate * channels * 2
        with out.open("wb") as file:
            file.write(hostile_audio.wav(b"", channels=channels, rate_hz=rate, data_bytes=length))
            file.truncate(44 + length)  # silence, which the file system does not store
            file.seek(4)
            file.write(struct.pack("<I", length + 36))
        return out
    minute = np.tile(audio_files.music(15, rate=rate)[:, :channels], (4, 1))
    if suffix == "flac":
        whole = np.round(minute * 32767).astype(np.int16)
        with soundfile.SoundFile(out, "w", rate, channels) as file:
            for _ in range(minutes):
                file.write(whole)
        return out
    return audio_files.lengthen(audio_files.write(folder / f"minute.{suffix}", minute, rate), out, minutes)


async def peaks(path: Path) -> tuple[float, int, int]:
    """Decode a file in a fresh process; return its seconds, and the largest memory of that process and of this one."""
    pool = DecoderPool(1, DecodeLimits(), max_waiting=4)
    await pool.start()
    seconds, own = 0.0, 0
    with opened(path) as descriptor:
        async with pool.decode(descriptor, SPEC) as decoding:
            async for block in decoding:
                seconds += len(block) / SPEC.sample_rate_hz
                own = max(own, psutil.Process().memory_info().rss)
    (process_id,) = pool.process_ids
    status = dict(line.split(":", 1) for line in status_of(process_id).splitlines())
    await pool.close()
    return seconds, int(status["VmHWM"].split()[0]) * 1024, own


def status_of(process_id: int) -> str:
    return Path(f"/proc/{process_id}/status").read_text()


async def test_half_an_hour_takes_the_memory_of_a_minute(tmp_path: Path) -> None:
    short = await peaks(make(tmp_path, "m4a", 1, rate=8_000, channels=1))
    long = await peaks(make(tmp_path, "m4a", 30, rate=8_000, channels=1))
    assert short[0] == pytest.approx(60, rel=0.01)
    assert long[0] == pytest.approx(1800, rel=0.01)
    assert long[1] - short[1] < 3 * MIB  # FFmpeg keeps the index of an MP4 file: some 30 bytes for each packet


@pytest.mark.long
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "opus", "m4a"])
async def test_two_hours_take_the_memory_of_two_minutes(tmp_path: Path, suffix: str) -> None:
    short = await peaks(make(tmp_path, suffix, 2, rate=44_100, channels=2))
    long = await peaks(make(tmp_path, suffix, 120, rate=44_100, channels=2))
    figures = [number / MIB for number in (short[1], long[1], short[2], long[2])]
    print(f"{suffix}: {long[0]:.0f} s; decoder {figures[0]:.0f} to {figures[1]:.0f} MiB", end=", ")
    print(f"reader {figures[2]:.0f} to {figures[3]:.0f} MiB")
    assert long[0] > 6500
    assert figures[1] - figures[0] + figures[3] - figures[2] < 30
