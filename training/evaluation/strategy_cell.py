"""One cell of the table of strategies: embeds clips in a process of its own, and tells what that took.

`python -m training.evaluation.strategy_cell` reads a `CellTask` as JSON and writes a `CellCost`; the vectors go to a
file. Memory is the process's own peak while it embeds: one that other cells had run in would tell theirs.
"""

import contextlib
import ctypes
import gc
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from services.embedder.choice import load_encoder
from services.embedder.model import Encoder, Float32Array, unit
from services.embedder.windows import WindowChoice
from training.errors import TrainingError

CONCATENATE = "concatenate"
_STATUS = Path("/proc/self/status")
_FORGET_PEAK = Path("/proc/self/clear_refs")


@dataclass(frozen=True, slots=True)
class CellTask:
    """What a cell embeds.

    Attributes:
        folder: An artifact; its manifest says how windows are cut and pooled.
        clips: Files of mono sound at the encoder's rate, `.npy`, all of one length.
        out: Where the vectors go, shape (clips, its numbers), `.npy`; zeros for a silent clip.
        is_joined: Whether window vectors are concatenated instead of pooled.
    """

    folder: str
    clips: Sequence[str]
    out: str
    is_joined: bool


@dataclass(frozen=True, slots=True)
class CellCost:
    """What a cell took.

    Attributes:
        peak_mib: Most memory that the process held while it embedded, MiB; None where the kernel does not let it forget
            the peak of loading, which would be told instead.
        above_model_mib: The same without what it held once the model was loaded and what that freed was given back.
        gpu_mib: Most memory on the GPU, MiB; None without one.
        core_seconds: Of a clip, without loading the model: the median, which nobody else's bursts move.
    """

    peak_mib: float | None
    above_model_mib: float | None
    gpu_mib: float | None
    core_seconds: float


class CellFailed(TrainingError):
    """A cell's process ended without a result."""


def run_cell(task: CellTask) -> tuple[Float32Array, CellCost]:
    """Run a cell in a new process with one thread; blocks.

    Raises:
        CellFailed: Its process died or raised; the text is what it said.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "training.evaluation.strategy_cell"]
    done = subprocess.run(
        command, input=json.dumps(asdict(task)), capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise CellFailed(f"a cell of {task.folder} ended with status {done.returncode}: {done.stderr[-2000:]}")
    vectors: Float32Array = np.load(task.out)
    return vectors, CellCost(**json.loads(done.stdout.splitlines()[-1]))


def embed_clip(encoder: Encoder, clip: Float32Array, *, is_joined: bool) -> Float32Array | None:
    """Make a clip's vector, a window at a time; None where all of it is silent.

    Args:
        encoder: Says how windows are cut and pooled.
        clip: Mono sound at its rate, shape (samples,).
        is_joined: Put window vectors behind each other, zeros for silent ones, so that clips stay comparable.
    """
    size = encoder.manifest.window_samples
    choice = WindowChoice(encoder.manifest, encoder.min_samples)
    windows = [clip[start : start + size] for start in range(0, len(clip), size)]
    votes = [choice.votes(window) for window in windows]
    if not any(votes):
        return None
    heard = [window for window, is_heard in zip(windows, votes, strict=True) if is_heard]
    vectors = np.concatenate([encoder.encode(window[None]).vectors for window in heard])
    if not is_joined:
        return encoder.aggregator.aggregate(vectors, np.array([choice.seconds(one) for one in heard], np.float32))
    joined = np.zeros((len(windows), vectors.shape[1]), np.float32)
    joined[votes] = vectors
    return np.asarray(unit(joined.reshape(1, -1))[0], np.float32)


def measure(task: CellTask) -> CellCost:
    """Embed a cell's clips in this process, and write their vectors; blocks."""
    encoder = load_encoder(task.folder, artifacts_folder=Path(task.folder).parent, muq_folder=None, threads=1)
    _give_back()
    loaded = _mib("VmRSS")
    is_forgotten = _forget_peak()
    found, core_seconds = [], []
    for clip in task.clips:
        began = time.process_time()
        found.append(embed_clip(encoder, np.load(clip), is_joined=task.is_joined))
        core_seconds.append(time.process_time() - began)
    peak = _mib("VmHWM") if is_forgotten else None
    above = None if peak is None else peak - loaded
    length = max((len(vector) for vector in found if vector is not None), default=encoder.manifest.dim)
    np.save(task.out, np.stack([np.zeros(length, np.float32) if one is None else one for one in found]))
    return CellCost(peak, above, _gpu_mib(), float(np.median(core_seconds)))


def _give_back() -> None:
    """Return what loading has freed: else the C library keeps 16 to 28 MiB by chance, and cells differ by that."""
    gc.collect()
    with contextlib.suppress(AttributeError):  # glibc's alone
        ctypes.CDLL(None).malloc_trim(0)


def _forget_peak() -> bool:
    try:
        _FORGET_PEAK.write_text("5")
    except OSError:  # no such file, or not allowed, as in some sandboxes
        return False
    return True


def _mib(field: str) -> float:
    """Read a field of this process's status. `getrusage` would tell the peak of whoever started it as well."""
    found = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def _gpu_mib() -> float | None:
    torch = sys.modules.get("torch")
    return torch.cuda.max_memory_allocated() / 2**20 if torch is not None and torch.cuda.is_available() else None


if __name__ == "__main__":
    print(json.dumps(asdict(measure(CellTask(**json.load(sys.stdin))))))
