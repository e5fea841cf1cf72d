"""Decides what an encoder computes in: a precision is served only where it hardly moves a vector.

Each is judged against fp32 on a probe of synthesised music, and must keep the cosine of every window's vector: an
`encoder_id` does not tell precisions apart, so vectors of all of them stand in one index.
"""

import itertools
import logging
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from services.embedder.artifact import Manifest
from services.embedder.errors import PrecisionRefused
from services.embedder.model import Encoder, Float32Array, ServedEncoder
from services.embedder.probe_music import pieces

logger = logging.getLogger(__name__)

AUTO = "auto"
FP32, BF16, FP16 = "fp32", "bf16", "fp16"
INT8_DYNAMIC, INT8_STATIC = "int8-dynamic", "int8-static"
PRECISIONS = (FP32, BF16, FP16, INT8_DYNAMIC, INT8_STATIC)
LOWEST_COSINE = 0.999

_PART = 0.37
_PROBE_SEED = 20_240
_CALIBRATION_SEEDS = (1, 2)


def settle(
    make: Callable[[str], ServedEncoder],
    wanted: str,
    candidates: Sequence[str],
    make_reference: Callable[[], ServedEncoder] | None = None,
) -> ServedEncoder:
    """Make an encoder in the precision that is wanted, if it is near enough to fp32; blocks for the probe.

    Nothing is timed: a busy machine would serve another precision than an idle one, and after a restart another one
    than before.

    Args:
        make: Makes the encoder in a precision.
        wanted: One of PRECISIONS, which is refused or served; or AUTO.
        candidates: What AUTO tries on this device, best first. The first that is near enough to fp32 is served, else
            fp32.
        make_reference: Makes the fp32 that others are compared with, where that is not to be served; None for `make`.

    Raises:
        PrecisionRefused: The precision that was asked for moves a vector too far, or nothing here computes in it.
    """
    if wanted == FP32 or (wanted == AUTO and not candidates):
        return make(FP32)
    exact = make(FP32) if make_reference is None else make_reference()
    windows = probe(exact.manifest, exact.min_samples)
    wanted_vectors = encode_all(exact, windows)
    for precision in candidates if wanted == AUTO else (wanted,):
        encoder = make(precision)
        cosine = lowest_cosine(encode_all(encoder, windows), wanted_vectors)
        is_near = cosine >= LOWEST_COSINE
        if not is_near and wanted != AUTO:
            raise PrecisionRefused.of(encoder.manifest.name, wanted, cosine, LOWEST_COSINE)
        event = "precision_admitted" if is_near else "precision_passed_over"
        logger.info(event, extra={"precision": precision, "cosine": cosine})
        if is_near:
            return encoder
    return exact if make_reference is None else make(FP32)


def probe(manifest: Manifest, min_samples: int = 0) -> list[Float32Array]:
    """Return what precisions are judged on: full windows of six kinds of music, and a part window of each.

    Args:
        manifest: Of the encoder.
        min_samples: Shortest window that it can see.
    """
    windows = pieces(manifest.sample_rate_hz, manifest.window_samples, _PROBE_SEED)
    return windows + [window[: max(min_samples, int(_PART * len(window)))] for window in windows]


def calibration(manifest: Manifest) -> list[Float32Array]:
    """Return full windows that static scales are taken from; none of them is in the probe."""
    return [
        window
        for seed in _CALIBRATION_SEEDS
        for window in pieces(manifest.sample_rate_hz, manifest.window_samples, seed)
    ]


def lowest_cosine(found: Float32Array, wanted: Float32Array) -> float:
    """Return the lowest cosine of unit vectors, row by row, both of shape (n, dim); −1 where one is NaN."""
    lowest = float(np.sum(found.astype(np.float64) * wanted, axis=1).min())
    return -1.0 if math.isnan(lowest) else round(lowest, 6)


def encode_all(encoder: Encoder, windows: Iterable[Float32Array]) -> Float32Array:
    """Encode windows, those of one length together, as they lie side by side; returns shape (windows, dim)."""
    groups = (list(group) for _, group in itertools.groupby(windows, key=len))
    return np.concatenate([encoder.encode(np.stack(group)).vectors for group in groups])
