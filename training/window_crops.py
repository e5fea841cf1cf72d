"""Draws crops of tracks' windows and masks them: what an aggregator learns from. Embeds nothing.

A step's crops depend on the seed and the step's number only: a run that goes on after a stop sees what it would have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.aggregator_config import AggregatorConfig
from training.errors import ManifestInvalid

Float32Array = NDArray[np.float32]

# Two hours in windows of 10 s: every position that is served is learnt.
_POSITIONS = 720
_SHORTEST = 2  # one window to hide and one to see


@dataclass(frozen=True, slots=True)
class WindowedTrack:
    """A track as an encoder sees it.

    Attributes:
        path: Relative to the music folder.
        group: Its soundtrack.
        vectors: Unit vectors of its windows in the order of time, shape (n, dim), float32.
        seconds: What each stands for, shape (n,), float32.
    """

    path: str
    group: str
    vectors: Float32Array
    seconds: Float32Array


def digest_windows(tracks: Sequence[WindowedTrack]) -> str:
    """Return 16 hex digits that differ where other windows, or those of other soundtracks, are learnt from."""
    digest = sha256()
    for track in tracks:
        digest.update(f"{track.path}\n{track.group}\n{track.vectors.shape}\n".encode())
        digest.update(np.ascontiguousarray(track.vectors).tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class CropBatch:
    """Crops side by side, padded to the longest.

    Attributes:
        names: Track and first window of every crop.
        vectors: Shape (batch, n, dim), float32; zeros for padding.
        seconds: Shape (batch, n), float32; 0 for padding.
        is_masked: Shape (batch, n), bool; at least one window of each crop is masked and one is not.
        first: Position of each crop's first window, shape (batch,), int64.
        groups: A number for each soundtrack, shape (batch,), int64.
    """

    names: tuple[str, ...]
    vectors: Tensor
    seconds: Tensor
    is_masked: Tensor
    first: Tensor
    groups: Tensor


class WindowCrops:
    """Draws a run's batches. In an epoch every window that has another one behind it begins one crop.

    Args:
        tracks: To learn from.
        config: Of the run.

    Raises:
        ManifestInvalid: They hold fewer crops than a batch.
    """

    def __init__(self, tracks: Sequence[WindowedTrack], config: AggregatorConfig) -> None:
        self._tracks, self._config = tracks, config
        self._starts = [
            (number, start)
            for number, track in enumerate(tracks)
            for start in range(len(track.vectors) - _SHORTEST + 1)
        ]
        if len(self._starts) < config.run.batch:
            raise ManifestInvalid(
                f"the tracks to learn from have {len(self._starts)} crops of at least {_SHORTEST} windows, run.batch is"
                f" {config.run.batch}: add music, take shorter windows, or lower run.batch"
            )
        numbers = {group: number for number, group in enumerate(sorted({track.group for track in tracks}))}
        self._groups = np.array([numbers[track.group] for track in tracks])
        self.steps_per_epoch = len(self._starts) // config.run.batch

    @property
    def steps(self) -> int:
        """How many steps the run has."""
        return self._config.run.epochs * self.steps_per_epoch

    def draw(self, step: int) -> CropBatch:
        """Draw the crops of a step."""
        epoch, at = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self._config.run.seed, 0, epoch]).permutation(len(self._starts))
        batch = self._config.run.batch
        chosen = [self._starts[row] for row in order[at * batch : (at + 1) * batch]]
        return self._cut(chosen, np.random.default_rng([self._config.run.seed, 1, step]))

    def draw_others(self, step: int) -> CropBatch:
        """Draw a second crop of every track of a step, from anywhere in it."""
        generator = np.random.default_rng([self._config.run.seed, 2, step])
        epoch, at = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self._config.run.seed, 0, epoch]).permutation(len(self._starts))
        batch = self._config.run.batch
        numbers = [self._starts[row][0] for row in order[at * batch : (at + 1) * batch]]
        chosen = [
            (number, int(generator.integers(len(self._tracks[number].vectors) - _SHORTEST + 1))) for number in numbers
        ]
        return self._cut(chosen, generator)

    def _cut(self, chosen: Sequence[tuple[int, int]], generator: np.random.Generator) -> CropBatch:
        longest = self._config.masking.crop_windows
        crops = [slice(start, start + longest) for _, start in chosen]
        parts = [
            (self._tracks[number].vectors[crop], self._tracks[number].seconds[crop])
            for (number, _), crop in zip(chosen, crops, strict=True)
        ]
        count = max(len(vectors) for vectors, _ in parts)
        dim = parts[0][0].shape[1]
        vectors, seconds = np.zeros((len(parts), count, dim), np.float32), np.zeros((len(parts), count), np.float32)
        is_masked = np.zeros((len(parts), count), bool)
        for row, (of_crop, its_seconds) in enumerate(parts):
            vectors[row, : len(of_crop)], seconds[row, : len(of_crop)] = of_crop, its_seconds
            is_masked[row, : len(of_crop)] = draw_mask(len(of_crop), self._config.masking.share, generator)
        return CropBatch(
            tuple(f"{self._tracks[number].path}@{start}" for number, start in chosen),
            torch.from_numpy(vectors),
            torch.from_numpy(seconds),
            torch.from_numpy(is_masked),
            torch.from_numpy(generator.integers(max(1, _POSITIONS - count), size=len(parts))),
            torch.from_numpy(self._groups[[number for number, _ in chosen]]),
        )


def draw_mask(count: int, share: float, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Choose windows to hide, shape (count,), count at least 2: each by its share, at least one and never all."""
    is_masked = generator.random(count) < share
    if not is_masked.any() or is_masked.all():
        at = generator.integers(count)
        is_masked[at] = not is_masked[at]
    return is_masked
