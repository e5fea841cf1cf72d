"""Decodes the middle of pieces to mono clips of one length and keeps them, so that a cell measures the model alone."""

import os
import uuid
from pathlib import Path

import numpy as np

from services.embedder.audio import DecodeSpec, decode
from services.embedder.model import Float32Array
from training.evaluation.embedding import MAX_SECONDS
from training.evaluation.store import file_key


def middle_clip(path: Path, folder: Path, sample_rate_hz: int, seconds: float) -> Path:
    """Return the file of a clip, which is made when it is missing; blocks for a second.

    Args:
        path: A piece of music, at least as long as the clip.
        folder: Where clips are kept, `.npy` files of mono float32.
        sample_rate_hz: Of the clip.
        seconds: Length of the clip.

    Raises:
        AudioError: It cannot be decoded, or is shorter.
        OSError: It cannot be read.
    """
    target = folder / f"{file_key(path)}-{sample_rate_hz}-{seconds:g}.npy"
    if not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{uuid.uuid4().hex}.npy"
        np.save(draft, _decode_middle(path, sample_rate_hz, seconds))
        os.replace(draft, target)
    return target


def _decode_middle(path: Path, sample_rate_hz: int, seconds: float) -> Float32Array:
    spec = DecodeSpec(sample_rate_hz, sample_rate_hz, seconds, MAX_SECONDS)
    with path.open("rb") as file:
        sound = np.concatenate(list(decode(file.fileno(), spec)))
    samples = round(seconds * sample_rate_hz)
    # A resampler may be a few samples short of the length that the file has.
    sound = np.pad(sound, (0, max(0, samples - len(sound))))
    start = (len(sound) - samples) // 2
    return np.ascontiguousarray(sound[start : start + samples])
