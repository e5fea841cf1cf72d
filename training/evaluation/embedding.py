"""Embeds a file in this process as the embedder's service does: by its decoder, windows and pooling. Keeps nothing."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.embedder.aggregation import WEIGHTED_MEAN, Aggregator
from services.embedder.audio import DecodeSpec, decode
from services.embedder.errors import AudioSilent
from services.embedder.model import Encoded, Encoder, Float32Array
from services.embedder.windows import WindowChoice

MIN_SECONDS = 3.0
MAX_SECONDS = 7_200.0
_BATCH_WINDOWS = 8


@dataclass(frozen=True, slots=True)
class TrackVectors:
    """What an encoder makes of a file.

    Attributes:
        windows: Vectors of the windows that voted, in order of time, shape (n, dim), float32, unit L2 norm.
        seconds: What each stands for, shape (n,), float32.
        tags: Scores of each window, shape (n, n_tags), float32 in [0, 1].
        duration_seconds: Length of the decoded audio, silence included.
        aggregator: Of the encoder.
    """

    windows: Float32Array
    seconds: Float32Array
    tags: Float32Array
    duration_seconds: float
    aggregator: Aggregator = WEIGHTED_MEAN

    @property
    def vector(self) -> Float32Array:
        """The track's vector as it is served, shape (dim,), float32, unit L2 norm."""
        return self.aggregator.aggregate(self.windows, self.seconds)


def embed_file(encoder: Encoder, path: Path) -> TrackVectors:
    """Decode and embed a file; blocks for seconds to minutes.

    Raises:
        AudioError: The file is none, is damaged, too short, too long, or silent.
        OSError: It cannot be opened.
    """
    manifest = encoder.manifest
    choice = WindowChoice(manifest, encoder.min_samples)
    seconds: list[float] = []
    decoded_samples = 0

    def voting(windows: Iterable[Float32Array]) -> Iterator[Float32Array]:
        nonlocal decoded_samples
        for window in windows:
            decoded_samples += len(window)
            if choice.votes(window):
                seconds.append(choice.seconds(window))
                yield window

    spec = DecodeSpec(manifest.sample_rate_hz, manifest.window_samples, MIN_SECONDS, MAX_SECONDS)
    with path.open("rb") as file:
        encoded = [encoder.encode(np.stack(batch)) for batch in _batches(voting(decode(file.fileno(), spec)))]
    if not encoded:
        raise AudioSilent("no window of the audio is loud enough", field="audio")
    return _join(encoded, seconds, decoded_samples / manifest.sample_rate_hz, encoder.aggregator)


def _batches(windows: Iterable[Float32Array]) -> Iterator[list[Float32Array]]:
    """Put windows of equal length together, in order."""
    batch: list[Float32Array] = []
    for window in windows:
        if batch and (len(batch) == _BATCH_WINDOWS or len(batch[0]) != len(window)):
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def _join(
    encoded: list[Encoded], seconds: list[float], duration_seconds: float, aggregator: Aggregator
) -> TrackVectors:
    return TrackVectors(
        windows=np.concatenate([part.vectors for part in encoded]),
        seconds=np.array(seconds, dtype=np.float32),
        tags=np.concatenate([part.tags for part in encoded]),
        duration_seconds=duration_seconds,
        aggregator=aggregator,
    )
