"""What does it cost to make a 30-s clip of each format ready for a model, and how much of that is not the work itself?

Core-milliseconds a clip, all in one run and in turns: decoding alone, mixing and resampling alone, descriptors alone,
then the whole through a decoding process: its own time, and that of this process for taking the sound over. The last
column is the whole by the sum of its parts: what the process, its socket and the hand-over cost, and that parts which
take turns find each other's data in the caches. The clip is stereo at
44.1 kHz (48 kHz in Opus) and comes out at the rate of museed-mini in blocks of 10 s.

Usage: python -m benchmarks.decoding [ROUNDS]
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import soxr
import uvloop
from numpy.typing import NDArray

from services.embedder.audio import DecodeSpec, _mixed
from services.embedder.channels import mono_weights
from services.embedder.decoder import DecodeLimits, DecoderPool
from services.embedder.descriptors import Describer
from services.embedder.sources import open_source
from tests.integration.embedder import audio_files

Float32Array = NDArray[np.float32]

FORMATS = ("wav", "flac", "mp3", "ogg", "opus", "m4a")
SECONDS = 30
# As bulk work comes: the first of a kind finds cold caches.
IN_A_ROW = 4
SPEC = DecodeSpec(sample_rate_hz=24_000, block_samples=240_000, min_seconds=3, max_seconds=600)


class Clip:
    """A file with its sound as it goes from one part of the work to the next."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._blocks, self._rate_hz, self._weights = self._decoded()
        self._mono: list[Float32Array] = []
        self.resample()

    def _decoded(self) -> tuple[list[Float32Array], int, Float32Array]:
        with self._path.open("rb") as file:
            source = open_source(file.fileno())
            return list(source.blocks), source.rate_hz, mono_weights(source.layout, source.channels)

    def decode(self) -> None:
        """Decode and hold one block at a time."""
        with self._path.open("rb") as file:
            for _ in open_source(file.fileno()).blocks:
                pass

    def resample(self) -> None:
        """Mix and resample what was decoded before."""
        stream = soxr.ResampleStream(self._rate_hz, SPEC.sample_rate_hz, 1, dtype="float32", quality="HQ")
        self._mono = [stream.resample_chunk(_mixed(block, self._weights)) for block in self._blocks]

    def describe(self) -> None:
        """Measure the descriptors of what was decoded and resampled before."""
        describer = Describer(SPEC.sample_rate_hz)
        for block in self._blocks:
            describer.hear_source(block, self._rate_hz)
        whole = np.concatenate(self._mono)
        for start in range(0, len(whole), SPEC.block_samples):
            describer.hear(whole[start : start + SPEC.block_samples])
        describer.describe()

    async def through(self, pool: DecoderPool) -> None:
        """Let a decoding process do all of it, and take what it sends."""
        with self._path.open("rb") as file:
            async with pool.decode(file.fileno(), SPEC) as decoding:
                async for _ in decoding:
                    pass


def worked(call: Callable[[], None]) -> float:
    """Return the CPU seconds of this process for a call."""
    began = time.process_time()
    for _ in range(IN_A_ROW):
        call()
    return (time.process_time() - began) / IN_A_ROW


def worked_by(process_id: int) -> float:
    """Return the CPU seconds of another process so far, exact to the nanosecond where ps(1) counts in hundredths."""
    return int(Path(f"/proc/{process_id}/schedstat").read_text().split()[0]) / 1e9


async def measure(clip: Clip, pool: DecoderPool, rounds: int) -> list[float]:
    """Return the median core-milliseconds of each part, of the process and of the hand-over."""
    taken: list[list[float]] = []
    for _ in range(rounds):
        parts = [worked(call) for call in (clip.decode, clip.resample, clip.describe)]
        (process_id,) = pool.process_ids
        theirs, ours = worked_by(process_id), time.process_time()
        for _ in range(IN_A_ROW):
            await clip.through(pool)
        ours = time.process_time() - ours
        await asyncio.sleep(0.02)  # it closes the file after its last word
        taken.append([*parts, (worked_by(process_id) - theirs) / IN_A_ROW, ours / IN_A_ROW])
    return [1000 * median(column) for column in zip(*taken, strict=True)]


async def main(folder: Path, rounds: int) -> None:
    """Print the table."""
    pool = DecoderPool(1, DecodeLimits(), max_waiting=1)
    await pool.start()
    sound = audio_files.music(SECONDS)
    print(f"core-ms for {SECONDS} s   decode  resample  descriptors   sum   process  hand-over  whole / sum")
    for suffix in FORMATS:
        rate = 48_000 if suffix == "opus" else audio_files.RATE
        whole = audio_files.music(SECONDS, rate=rate) if suffix == "opus" else sound
        clip = Clip(audio_files.write(folder / f"clip.{suffix}", whole, rate))
        await clip.through(pool)
        *parts, process, taking = await measure(clip, pool, rounds)
        share = (process + taking) / sum(parts)
        figures = zip((8, 9, 12, 6, 8, 9), (*parts, sum(parts), process, taking), strict=True)
        row = " ".join(f"{figure:{width}.1f}" for width, figure in figures)
        print(f"{suffix:16} {row} {share:12.3f}")
    await pool.close()


if __name__ == "__main__":
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="museed-bench-") as place:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the service runs
            runner.run(main(Path(place), int(sys.argv[1]) if len(sys.argv) > 1 else 15))
