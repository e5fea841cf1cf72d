"""Broken and hostile files are transcoded as far as they are sound, or refused with a code; none takes the gateway."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.chassis.errors import DomainError
from services.gateway.transcoding.formats import AudioFormat, Target
from services.gateway.transcoding.process import TranscodeLimits, TranscodeProcesses
from tests.fixtures import hostile_audio, hostile_containers
from tests.fixtures.recordings import write_recording

# Of each file only so much that the bombs go off: their children are nice to everybody else of a busy machine.
LIMITS = TranscodeLimits(max_bytes=20_000_000, max_seconds=60, memory_mib=256, cpu_s=5)
REASONS = {"TRANSCODING_FAILED", "TRANSCODING_LIMIT"}


def corpus(folder: Path, *, is_long: bool) -> Iterator[tuple[str, bytes]]:
    """Yield names and files: one of each kind, or all."""
    good = {kind: write_recording(folder / f"a.{kind}", kind).read_bytes() for kind in ("flac", "mp3", "ogg", "m4a")}
    sound = np.linspace(-0.5, 0.5, 4000, dtype=np.float32).reshape(-1, 2)
    kinds = [
        hostile_audio.absurd_wavs(sound),
        hostile_audio.absurd_flacs(good["flac"]),
        hostile_containers.absurd_mp4s(good["m4a"]),
        hostile_containers.absurd_oggs(good["ogg"], good["ogg"]),
        hostile_audio.not_audio(folder),
        {f"cut {kind} {part}": data[: len(data) * part // 4] for kind, data in good.items() for part in (1, 3)},
        {
            f"flipped {kind} {seed}": hostile_audio.flipped(data, 200, seed)
            for kind, data in good.items()
            for seed in (0, 1)
        },
    ]
    for files in kinds:
        names = list(files)
        for name in names if is_long else names[len(names) // 2 :][:1]:
            yield name, files[name]
    yield "bomb", hostile_audio.flac_bomb(folder / "bomb.flac", 100.0).read_bytes()


async def outcome(processes: TranscodeProcesses, folder: Path, data: bytes) -> str:
    """Transcode a file; returns the reason of its refusal, or "made"."""
    (folder / "source").write_bytes(data)
    source = os.open(folder / "source", os.O_RDONLY)
    sink = os.open(folder / "sink", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        await processes.run(source, sink, Target(AudioFormat.MP3, 64))
        assert os.fstat(sink).st_size > 0
    except DomainError as refusal:
        return refusal.reason
    finally:
        os.close(source)
        os.close(sink)
    return "made"


async def tried(folder: Path, *, is_long: bool) -> dict[str, str]:
    processes = TranscodeProcesses(LIMITS)
    before = set(os.listdir("/proc/self/fd"))
    found = {name: await outcome(processes, folder, data) for name, data in corpus(folder, is_long=is_long)}
    processes.close()
    assert len(os.listdir("/proc/self/fd")) <= len(before)
    assert {name: reason for name, reason in found.items() if reason not in REASONS | {"made"}} == {}
    assert found["bomb"] == "TRANSCODING_LIMIT"
    return found


async def test_one_of_each_kind(tmp_path: Path) -> None:
    found = await tried(tmp_path, is_long=False)
    assert "TRANSCODING_FAILED" in found.values()


@pytest.mark.long
async def test_all_of_them(tmp_path: Path) -> None:
    assert len(await tried(tmp_path, is_long=True)) > 60
