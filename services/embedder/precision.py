"""Decides what an encoder computes in: a precision is served only where it hardly moves a vector.

Each is judged against fp32 on a probe of synthesised music, and must keep the cosine of every window's vector: an
`encoder_id` does not tell precisions apart, so vectors of all of them stand in one index.
"""

import itertools
import logging
import math
import time
from collections.abc import Callable, Sequence

import numpy as np

from services.embedder.artifact import Manifest
from services.embedder.errors import PrecisionRefused
from services.embedder.model import Float32Array, ServedEncoder
from services.embedder.probe_music import pieces

logger = logging.getLogger(__name__)

AUTO = "auto"
FP32, BF16, FP16 = "fp32", "bf16", "fp16"
INT8_DYNAMIC, INT8_STATIC = "int8-dynamic", "int8-static"
PRECISIONS = (FP32, BF16, FP16, INT8_DYNAMIC, INT8_STATIC)
LOWEST_COSINE = 0.999

# Below this `auto` stays with fp32: another precision is worth its distance only for a gain that callers notice.
_LEAST_GAIN = 1.2
_ROUNDS = 3
_PART = 0.37
_PROBE_SEED = 20_240
_CALIBRATION_SEEDS = (1, 2)


def settle(make: Callable[[str], ServedEncoder], wanted: str, candidates: Sequence[str]) -> ServedEncoder:
    """Make an encoder in the precision that is wanted, if it is near enough to fp32; blocks for the probe.

    Args:
        make: Makes the encoder in a precision.
        wanted: One of PRECISIONS, which is refused or served; or AUTO.
        candidates: What AUTO tries on this device, best first. The first that is near enough to fp32 and quicker is
            served, else fp32.

    Raises:
        PrecisionRefused: The precision that was asked for moves a vector too far, or nothing here computes in it.
    """
    exact = make(FP32)
    if wanted == FP32 or (wanted == AUTO and not candidates):
        return exact
    windows = probe(exact.manifest)
    wanted_vectors = _vectors(exact, windows)
    if wanted != AUTO:
        encoder = make(wanted)
        cosine = _lowest_cosine(encoder, windows, wanted_vectors)
        if not cosine >= LOWEST_COSINE:
            raise PrecisionRefused.of(encoder.manifest.name, wanted, cosine, LOWEST_COSINE)
        logger.info("precision_admitted", extra={"precision": wanted, "cosine": cosine})
        return encoder
    for precision in candidates:
        encoder = make(precision)
        cosine = _lowest_cosine(encoder, windows, wanted_vectors)
        gain = _gain(exact, encoder, windows[0][None]) if encoder.device == "cpu" else math.inf
        is_better = cosine >= LOWEST_COSINE and gain >= _LEAST_GAIN
        logger.info(
            "precision_admitted" if is_better else "precision_passed_over",
            extra={"precision": precision, "cosine": cosine, "gain": round(gain, 2)},
        )
        if is_better:
            return encoder
    return exact


def probe(manifest: Manifest) -> list[Float32Array]:
    """Return what precisions are judged on: full windows of six kinds of music, and a part window of each."""
    windows = pieces(manifest.sample_rate_hz, manifest.window_samples, _PROBE_SEED)
    return windows + [window[: int(_PART * len(window))] for window in windows]


def calibration(manifest: Manifest) -> list[Float32Array]:
    """Return full windows that static scales are taken from; none of them is in the probe."""
    return [
        window
        for seed in _CALIBRATION_SEEDS
        for window in pieces(manifest.sample_rate_hz, manifest.window_samples, seed)
    ]


def lowest_cosine(encoder: ServedEncoder, exact: ServedEncoder, windows: Sequence[Float32Array]) -> float:
    """Return the lowest cosine of the vectors that two encoders give to the same windows, −1 where one is NaN."""
    return _lowest_cosine(encoder, windows, _vectors(exact, windows))


def _lowest_cosine(encoder: ServedEncoder, windows: Sequence[Float32Array], wanted: Float32Array) -> float:
    lowest = float(np.sum(_vectors(encoder, windows).astype(np.float64) * wanted, axis=1).min())
    return -1.0 if math.isnan(lowest) else round(lowest, 6)


def _vectors(encoder: ServedEncoder, windows: Sequence[Float32Array]) -> Float32Array:
    """Encode windows, those of one length together, as they lie side by side."""
    groups = (list(group) for _, group in itertools.groupby(windows, key=len))
    return np.concatenate([encoder.encode(np.stack(group)).vectors for group in groups])


def _gain(exact: ServedEncoder, other: ServedEncoder, batch: Float32Array) -> float:
    """Return how many times as quick the other encoder is, by the least work of a few runs in turn.

    In the processor's time and not the clock's: else a machine that is busy at the start would choose by chance.
    """
    seconds: dict[ServedEncoder, float] = {exact: math.inf, other: math.inf}
    for _ in range(_ROUNDS):
        for encoder in seconds:
            began = time.process_time()
            encoder.encode(batch)
            seconds[encoder] = min(seconds[encoder], time.process_time() - began)
    return seconds[exact] / seconds[other]
