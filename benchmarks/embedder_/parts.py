"""What the parts of an embedding cost by themselves, in one process without any service around them."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.embedder.audio import DecodeSpec, decode
from services.embedder.choice import load_encoder
from services.embedder.descriptors import Describer
from services.embedder.model import Encoder, ServedEncoder
from tests.integration.embedder import audio_files

BATCHES = (1, 2, 4, 8)

Float32Array = NDArray[np.float32]


class Cost(NamedTuple):
    """Seconds on the clock, and of all cores together."""

    wall_s: float
    cpu_s: float


class Clip(NamedTuple):
    """30 s of music: as a file, and as windows and samples at the model's rate."""

    file: bytes
    windows: Float32Array
    samples: bytes


def make_encoder(choice: str, precision: str, threads: int) -> ServedEncoder:
    """Load an encoder outside of any service."""
    folder = Path(tempfile.gettempdir()) / "museed-bench-artifacts"
    return load_encoder(choice, artifacts_folder=folder, muq_folder=None, threads=threads, precision=precision)


def make_clip(encoder: Encoder, seconds: float = 30, suffix: str = "ogg") -> Clip:
    """Make music; the same at every call."""
    manifest = encoder.manifest
    with tempfile.TemporaryDirectory() as folder:
        path = audio_files.write(Path(folder) / f"clip.{suffix}", audio_files.music(seconds))
        windows = list(_decoded(path, encoder))
        full = np.stack([window for window in windows if len(window) == manifest.window_samples])
        return Clip(path.read_bytes(), full, np.concatenate(windows).astype("<f4").tobytes())


def cost(call: Callable[[], object], rounds: int) -> Cost:
    """Return the middle of the costs of some calls, each measured by itself."""
    call()
    costs = []
    for _ in range(rounds):
        began, worked = time.perf_counter(), time.process_time()
        call()
        costs.append(Cost(time.perf_counter() - began, time.process_time() - worked))
    return Cost(*(float(np.median(column)) for column in zip(*costs, strict=True)))


def decode_clip(clip: Clip, encoder: Encoder, *, describe: bool) -> list[Float32Array]:
    """Decode and resample a clip in this process, and measure its descriptors where that is wanted."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(clip.file)
        file.flush()
        return list(_decoded(Path(file.name), encoder, describe=describe))


def best_batch(encoder: Encoder, windows: Float32Array, seconds: float) -> int:
    """Return the batch size with the highest rate."""
    return max(BATCHES, key=lambda size: windows_per_second(encoder, windows, size, seconds / len(BATCHES)))


def windows_per_second(encoder: Encoder, windows: Float32Array, size: int, seconds: float) -> float:
    """Return the rate of a loop over ready windows in batches of one size."""
    batch = np.concatenate([windows] * BATCHES[-1])[:size]
    encoder.encode(batch)
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        encoder.encode(batch)
        done += size
    return done / (time.perf_counter() - began)


def script_rate(choice: str, precision: str, length_s: float, until: float) -> float:
    """Return the clips a second that one thread of a plain script decodes, describes and encodes.

    Args:
        choice: Encoder.
        precision: What it computes in.
        length_s: Of the clip.
        until: Time of the system's clock at which it stops; it begins when it has loaded everything.
    """
    encoder = make_encoder(choice, precision, 1)
    clip = make_clip(encoder, length_s)
    done, began = 0, time.time()
    while time.time() < until:
        decode_clip(clip, encoder, describe=True)
        encoder.encode(clip.windows)
        done += 1
    return done / (time.time() - began)


def _decoded(path: Path, encoder: Encoder, *, describe: bool = False) -> Iterator[Float32Array]:
    manifest = encoder.manifest
    spec = DecodeSpec(manifest.sample_rate_hz, manifest.window_samples, 3, 7200)
    describer = Describer(spec.sample_rate_hz) if describe else None
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for block in decode(descriptor, spec, None if describer is None else describer.hear_source):
            if describer is not None:
                describer.hear(block)
            yield block
        if describer is not None:
            describer.describe()
    finally:
        os.close(descriptor)
