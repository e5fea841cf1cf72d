"""What the teachers say of a sound, second by second: the two `musicnn` networks as the embedder runs them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.embedder.choice import load_encoder
from services.embedder.musicnn import MusicnnEncoder

Float32Array = NDArray[np.float32]

SAMPLE_RATE_HZ = 16_000
NAMES = ("musicnn-msd", "musicnn-mtt")
GRID_SECONDS = 1.0
PATCH_SECONDS = 3.0
_FRAMES_PER_SECOND = 62.5
_PATCH_FRAMES = 187
# Enough for the last patch, which ends a frame after its third second.
_SHORTEST_S = PATCH_SECONDS
# What a run of the network holds at a time stays in the processor's caches.
_PATCHES_PER_RUN = 4


@dataclass(frozen=True, slots=True)
class Heard:
    """The teachers' outputs for the patches of 3 s that begin at every full second of a sound.

    Attributes:
        vectors: Penultimate layers side by side, shape (patches, 400), float32, not negative, on their own scale.
        tags: Tag probabilities side by side, shape (patches, 100), float32 in [0, 1].
    """

    vectors: Float32Array
    tags: Float32Array


class Teachers:
    """Both networks, each on one thread. Calls block: about 30 core-milliseconds for a second of sound.

    Args:
        artifacts: Folder where their weights are unpacked once.
    """

    def __init__(self, artifacts: Path) -> None:
        self._networks: list[MusicnnEncoder] = []
        for name in NAMES:
            encoder = load_encoder(name, artifacts_folder=artifacts, muq_folder=None, threads=1)
            assert isinstance(encoder, MusicnnEncoder)
            self._networks.append(encoder)

    @property
    def tag_names(self) -> tuple[str, ...]:
        """Names of the columns of `Heard.tags`."""
        return tuple(name for network in self._networks for name in network.manifest.tags)

    def hear(self, sound: Float32Array) -> Heard:
        """Run both networks over every patch of the grid.

        Args:
            sound: Mono at 16 kHz, shape (samples,), at least 3 s.
        """
        log_mel = self._networks[0].log_mel(sound[None])[0]  # (frames, 96)
        starts = [round(second * _FRAMES_PER_SECOND) for second in range(patch_count(len(sound) / SAMPLE_RATE_HZ))]
        vectors, tags = [], []
        for network in self._networks:
            runs = [
                network.run_patches(np.stack([log_mel[start : start + _PATCH_FRAMES] for start in some]))
                for some in (starts[at : at + _PATCHES_PER_RUN] for at in range(0, len(starts), _PATCHES_PER_RUN))
            ]
            vectors.append(np.concatenate([run[0] for run in runs]))
            tags.append(np.concatenate([run[1] for run in runs]))
        return Heard(np.concatenate(vectors, axis=1), np.concatenate(tags, axis=1))


def patch_count(seconds: float) -> int:
    """Return how many patches of the grid lie within so many seconds, at least 3."""
    return int((seconds - _SHORTEST_S) / GRID_SECONDS) + 1


def patches_of_crop(start_s: int, seconds: float) -> slice:
    """Return the patches that lie wholly under a crop that begins at a full second."""
    return slice(start_s, start_s + patch_count(seconds))
