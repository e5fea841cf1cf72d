"""Cuts excerpts of equal loudness out of tracks, so that nobody rates how loud a record was made."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import soundfile

from services.embedder.audio import DecodeSpec, decode
from services.embedder.model import Float32Array
from training.evaluation.embedding import MAX_SECONDS, MIN_SECONDS

SUFFIX = ".ogg"

_RATE_HZ = 44_100
_BLOCK_SECONDS = 1
_LOUDNESS = 10 ** (-20 / 20)
_PEAK = 10 ** (-1 / 20)
_FADE_S = 0.5
# libsndfile's Vorbis encoder overflows its stack when it is given a long recording in one write.
_WRITE_FRAMES = 16_384


def write_excerpt(source: Path, destination: Path, duration_seconds: float, seconds: float = 30.0) -> None:
    """Write mono Ogg Vorbis of -20 dBFS RMS, peaks at most -1 dBFS, faded at both ends; blocks for about a second.

    It begins after a third of the track, where a third remains to be heard, else as late as its length allows.

    Args:
        source: A file of any format that the embedder reads.
        destination: Replaced.
        duration_seconds: Length of the track, about.
        seconds: Length of the excerpt; a shorter track is taken whole.

    Raises:
        AudioError: The file cannot be decoded.
        OSError: It cannot be opened.
    """
    first = int(max(0.0, min(duration_seconds / 3, duration_seconds - seconds)))
    blocks = list(_blocks(source, first, seconds))
    samples = _mastered(np.concatenate(blocks))
    with soundfile.SoundFile(destination, "w", _RATE_HZ, 1, format="OGG", subtype="VORBIS") as file:
        for start in range(0, len(samples), _WRITE_FRAMES):
            file.write(samples[start : start + _WRITE_FRAMES])


def _blocks(source: Path, first: int, seconds: float) -> Iterator[Float32Array]:
    spec = DecodeSpec(_RATE_HZ, _RATE_HZ * _BLOCK_SECONDS, MIN_SECONDS, MAX_SECONDS)
    with source.open("rb") as file, closing(decode(file.fileno(), spec)) as decoded:
        for second, block in enumerate(decoded):
            if second >= first:
                yield block
            if second + 1 >= first + seconds:
                return


def _mastered(samples: Float32Array) -> Float32Array:
    rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    peak = float(np.abs(samples).max())
    gain = min(_LOUDNESS / max(rms, 1e-6), _PEAK / max(peak, 1e-6))
    fade = min(round(_FADE_S * _RATE_HZ), len(samples) // 2)
    ramp = np.ones(len(samples), np.float32)
    ramp[:fade] = np.linspace(0, 1, fade)
    ramp[len(ramp) - fade :] = np.linspace(1, 0, fade)
    mastered: Float32Array = samples * ramp * np.float32(gain)
    return mastered
