"""Runs an artifact: on ONNX Runtime or torch, in the precision that was asked for."""

import gc
import importlib.util
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from services.embedder import mini, muq, musicnn, precision
from services.embedder.artifact import Artifact
from services.embedder.errors import EncoderUnavailable, PrecisionRefused
from services.embedder.model import Float32Array, ServedEncoder
from services.embedder.precision import BF16, FP16, FP32, INT8_DYNAMIC, INT8_STATIC

AUTO = "auto"
ONNX_RUNTIME, TORCH = "onnxruntime", "torch"

_BY_ARCHITECTURE = {
    mini.ARCHITECTURE: (ONNX_RUNTIME, TORCH),
    muq.ARCHITECTURE: (ONNX_RUNTIME, TORCH),
    musicnn.ARCHITECTURE: (ONNX_RUNTIME,),
}
_CPU_INFO = Path("/proc/cpuinfo")
_VNNI = ("avx512_vnni", "avx_vnni")
# Of a warm-up; what comes behind them is of a size that was there already.
_MOST_WINDOWS = 32
_OFFERED = {ONNX_RUNTIME: (FP32, INT8_DYNAMIC, INT8_STATIC), TORCH: (FP32, BF16, FP16)}

_Make = Callable[[str], ServedEncoder]


@dataclass(frozen=True, slots=True)
class Serving:
    """How an artifact is run.

    Attributes:
        runtime: ONNX_RUNTIME, TORCH, or AUTO: torch where it sees a GPU and runs the architecture.
        precision: One of `precision.PRECISIONS`, or AUTO: what this device is quickest in, if near enough to fp32.
        threads: Of the model on a CPU; 0 takes one a core.
        is_compiled: Whether torch compiles the network.
    """

    runtime: str = AUTO
    precision: str = FP32
    threads: int = 0
    is_compiled: bool = False


def run_artifact(artifact: Artifact, serving: Serving) -> ServedEncoder:
    """Load an artifact's weights into a runtime; blocks for seconds, with a probe of another precision for longer.

    Raises:
        ArtifactInvalid: The weights do not fit the manifest.
        EncoderUnavailable: No code here runs the architecture, or the runtime that was asked for does not.
        PrecisionRefused: The precision that was asked for is not computed in, or moves vectors too far.
    """
    runtime = _choose_runtime(artifact.manifest.architecture, serving.runtime)
    make, device, candidates, make_reference = _maker(artifact, runtime, serving)
    if serving.precision not in (AUTO, *_OFFERED[runtime]):
        raise PrecisionRefused.not_computed(serving.precision, f"{runtime} on {device}", _OFFERED[runtime])
    encoder = precision.settle(make, serving.precision, candidates, make_reference)
    if encoder.device == "cuda":
        _free_gpu_memory()
    return encoder


def warm_up(encoder: ServedEncoder, largest_batch_s: float, *, is_compiled: bool = False) -> None:
    """Run the shapes that will be served, so that no caller waits for what happens once; blocks.

    Args:
        encoder: Just made.
        largest_batch_s: Most seconds of sound that come at a time.
        is_compiled: Whether torch compiles the network, where torch runs it.
    """
    manifest = encoder.manifest
    largest_batch = min(_MOST_WINDOWS, max(1, int(largest_batch_s / manifest.window_seconds)))
    full = np.zeros((largest_batch, manifest.window_samples), np.float32)
    # A GPU records each size of batch, and a compiler compiles for each; elsewhere one window and all threads at work
    # are all there is.
    is_by_size = encoder.device == "cuda" or (is_compiled and encoder.runtime == TORCH)
    sizes = (2**power for power in range(largest_batch.bit_length())) if is_by_size else (1,)
    for size in (*sizes, largest_batch):
        encoder.encode(full[:size])
    encoder.encode(full[:1, : max(encoder.min_samples, full.shape[1] // 3)])


def _choose_runtime(architecture: str, wanted: str) -> str:
    able = _BY_ARCHITECTURE.get(architecture, ())
    if not able:
        raise EncoderUnavailable(
            f"the encoder is of architecture {architecture}, this process runs {', '.join(sorted(_BY_ARCHITECTURE))}",
            field="encoder",
            value=architecture,
        )
    if wanted == AUTO:
        return TORCH if TORCH in able and muq.is_gpu_at_hand() else ONNX_RUNTIME
    if wanted not in able:
        raise EncoderUnavailable(
            f"EMBEDDER_RUNTIME is {wanted}, {architecture} runs on {', '.join(able)}",
            field="EMBEDDER_RUNTIME",
            value=wanted,
            limit=", ".join(able),
        )
    if wanted == TORCH and importlib.util.find_spec(TORCH) is None:
        raise EncoderUnavailable(
            f"EMBEDDER_RUNTIME is {TORCH}, which is not installed: {muq.INSTALL_HINT}, or set EMBEDDER_RUNTIME to auto",
            field="EMBEDDER_RUNTIME",
            value=wanted,
        )
    return wanted


def _check_compiler() -> None:
    if any(shutil.which(name) for name in ("g++", "c++", "clang++")):
        return
    raise EncoderUnavailable(
        "EMBEDDER_TORCH_COMPILE is on, and torch compiles with a C++ compiler, which is not installed:"
        " apt-get install g++, or leave EMBEDDER_TORCH_COMPILE out",
        field="EMBEDDER_TORCH_COMPILE",
    )


def _free_gpu_memory() -> None:
    """Give back what other encoders than the served one took at the start: torch keeps freed memory to itself."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()


class _Maker(NamedTuple):
    """What makes the encoder in a precision, its device, the precisions that AUTO tries, and `settle`'s reference."""

    make: _Make
    device: str
    candidates: Sequence[str]
    make_reference: Callable[[], ServedEncoder] | None = None


def _maker(artifact: Artifact, runtime: str, serving: Serving) -> _Maker:
    threads = serving.threads
    if runtime == TORCH:
        if serving.is_compiled:
            _check_compiler()
        from services.embedder.torch_encoder import TorchEncoder

        device = "cuda" if muq.is_gpu_at_hand() else "cpu"

        def make_torch(wanted: str) -> ServedEncoder:
            return TorchEncoder(artifact, device, wanted, threads=threads, is_compiled=serving.is_compiled)

        def make_reference() -> ServedEncoder:
            return TorchEncoder(artifact, device, threads=threads)  # for one probe nobody waits for a compiler

        # fp16 is no quicker than bf16, and MuQ's authors warn of NaN in it.
        candidates = (BF16,) if device == "cuda" else ()
        return _Maker(make_torch, device, candidates, make_reference if serving.is_compiled else None)
    if artifact.manifest.architecture == musicnn.ARCHITECTURE:
        # Eight bits take too much from musicnn on every processor: trying would only keep its start waiting.
        return _Maker(
            lambda wanted: musicnn.MusicnnEncoder(artifact, threads, wanted, _calibration(artifact, wanted)),
            "cpu",
            (),
        )
    model = mini.build_model(artifact)
    return _Maker(
        lambda wanted: mini.MiniEncoder(artifact, threads, wanted, _calibration(artifact, wanted), model),
        "cpu",
        (INT8_DYNAMIC,) if _multiplies_bytes() else (),
    )


def _multiplies_bytes() -> bool:
    """Say whether the processor has dot products of bytes (VNNI): int8 takes 0.6 of the time of fp32 with them."""
    try:
        flags = _CPU_INFO.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return any(flag in flags.split() for flag in _VNNI)


def _calibration(artifact: Artifact, wanted: str) -> Sequence[Float32Array]:
    return precision.calibration(artifact.manifest) if wanted == INT8_STATIC else ()
