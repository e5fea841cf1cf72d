"""Draws the crops of each step, and changes their colour and loudness in ways that leave the meaning alone.

A step's crops depend on the seed and the step's number only: a run that goes on after a stop sees what it would have.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.embedder.model import unit
from training.config import CropsConfig
from training.corpus import N_MELS, Corpus, Kind, Take
from training.errors import ManifestInvalid
from training.warp import draw_warp, warp

Float32Array = NDArray[np.float32]

_BANDS = 6
_LOWEST_CUT = 64  # of 128 bands: about 3.2 kHz
_CUT_DB = 50.0
_NEPER = np.float32(np.log(10) / 10)  # of a decibel of power
_WINDOW_PATCHES = 8  # those that lie within ten seconds
_MOST_MASKED_FRAMES = 50
_MOST_MASKED_BANDS = 12


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step learns from; row i of every view is of take i.

    Attributes:
        names: Take and second of every crop, views one after the other.
        mel_db: Shape (views × batch, frames, 128), float32.
        vectors: Of the teachers, shape (views × batch, 400), float32: the mean of the patches.
        patches: Of the teachers at every second, shape (views × batch, patches, 400), float32.
        tags: Of the teachers, shape (views × batch, 100), float32.
        groups: A number for each soundtrack, shape (batch,), int64.
    """

    names: tuple[str, ...]
    mel_db: Tensor
    vectors: Tensor
    patches: Tensor
    tags: Tensor
    groups: Tensor


class Crops:
    """Draws batches of the training takes of a corpus.

    A kind of takes is drawn by its share; originals by soundtrack, each by the square root of its number of takes, so
    that a long soundtrack does not drown the others. No take stands twice in a batch.

    Args:
        corpus: The store.
        takes: What may be drawn.
        config: Shares, length and changes.
        batch: Takes in a batch.
        seed: Of everything that is drawn.

    Raises:
        ManifestInvalid: There are fewer takes than a batch needs.
    """

    def __init__(self, corpus: Corpus, takes: Sequence[Take], config: CropsConfig, batch: int, seed: int) -> None:
        self._corpus, self._config, self._batch, self._seed = corpus, config, batch, seed
        self._takes = [take for take in takes if take.seconds >= config.seconds]
        self._weights = _weigh(self._takes, config)
        if np.count_nonzero(self._weights) < batch:
            raise ManifestInvalid(
                f"the corpus has {np.count_nonzero(self._weights)} takes of at least {config.seconds} s to learn from,"
                f" run.batch is {batch}: add music, or lower run.batch"
            )
        numbers = {group: number for number, group in enumerate(sorted({take.group for take in self._takes}))}
        self._groups = np.array([numbers[take.group] for take in self._takes])

    def draw(self, step: int) -> Batch:
        """Draw the batch of a step; reads some hundred kilobytes for each crop."""
        generator = np.random.default_rng([self._seed, step])
        rows = generator.choice(len(self._takes), self._batch, replace=False, p=self._weights)
        names, contents = [], []
        for _ in range(self._config.views):
            for row in rows:
                take = self._takes[row]
                start = int(generator.integers(int(take.seconds) - self._config.seconds + 1))
                names.append(f"{take.take_id}@{start}")
                contents.append(self._corpus.read(take.take_id, start_s=start, seconds=self._config.seconds))
        patches = torch.from_numpy(np.stack([one.vectors.astype(np.float32) for one in contents]))
        changed = [change(one.mel.astype(np.float32), self._config, generator) for one in contents]
        return Batch(
            tuple(names),
            torch.from_numpy(np.stack(changed)),
            patches.mean(dim=1),
            patches,
            torch.from_numpy(np.stack([one.tags.astype(np.float32).mean(axis=0) for one in contents])),
            torch.from_numpy(self._groups[rows]),
        )


def teacher_mean(corpus: Corpus, takes: Sequence[Take]) -> Float32Array:
    """Return the mean of the teachers' unit vectors over the windows of real music, shape (400,)."""
    total: NDArray[np.float64] = np.zeros(1)
    count = 0
    for take in takes:
        if take.kind is Kind.ORIGINAL:
            vectors = corpus.read(take.take_id, start_s=0, seconds=take.seconds).vectors.astype(np.float32)
            rows = unit(
                np.stack([vectors[at : at + _WINDOW_PATCHES].mean(axis=0) for at in range(0, len(vectors), 10)])
            )
            total = total + rows.sum(axis=0, dtype=np.float64)
            count += len(rows)
    if not count:
        raise ManifestInvalid(f"{corpus.folder} holds no real music, which the mean of all music is taken of")
    return np.asarray(total / count, np.float32)


def change(mel_db: Float32Array, config: CropsConfig, generator: np.random.Generator) -> Float32Array:
    """Change loudness, pace, pitch, colour, bandwidth and noise, and hide parts.

    The last is SpecAugment (Park et al. 2019, arXiv:1904.08779).

    Args:
        mel_db: Decibels, shape (frames, 128).
        config: How much and how often.
        generator: Decides everything.

    Returns:
        A changed copy of the same shape.
    """
    changed = mel_db + np.float32(generator.uniform(-config.gain_db, config.gain_db))
    if config.warp and generator.random() < config.warp:
        changed = warp(changed, **draw_warp(generator))
    if generator.random() < config.equaliser:
        gains = generator.normal(0, config.equaliser_db, _BANDS)
        curve = np.interp(np.arange(N_MELS), np.linspace(0, N_MELS - 1, _BANDS), gains)
        changed += curve.astype(np.float32)
    if generator.random() < config.low_pass:
        changed[:, generator.integers(_LOWEST_CUT, N_MELS) :] -= np.float32(_CUT_DB)
    if generator.random() < config.noise:
        floor_db = changed.mean() - generator.uniform(5, 40)
        changed = (np.logaddexp(changed * _NEPER, floor_db * _NEPER) / _NEPER).astype(np.float32)  # powers add
    if generator.random() < config.masks:
        mean = changed.mean()
        for _ in range(2):
            start, length = generator.integers(len(changed)), generator.integers(_MOST_MASKED_FRAMES)
            changed[start : start + length] = mean
            start, length = generator.integers(N_MELS), generator.integers(_MOST_MASKED_BANDS)
            changed[:, start : start + length] = mean
    return changed


def _weigh(takes: Sequence[Take], config: CropsConfig) -> NDArray[np.float64]:
    shares = {
        Kind.ORIGINAL: config.original,
        Kind.VARIED: config.varied,
        Kind.MIXED: config.mixed,
        Kind.RENDERED: config.rendered,
    }
    sizes: dict[tuple[Kind, str], int] = {}
    for take in takes:
        sizes[take.kind, take.group] = sizes.get((take.kind, take.group), 0) + 1
    weights = np.array([sizes[take.kind, take.group] ** -0.5 for take in takes])
    for kind, share in shares.items():
        of_kind = np.array([take.kind is kind for take in takes], dtype=bool)
        if of_kind.any():
            weights[of_kind] *= share / weights[of_kind].sum()
    total = weights.sum()
    return weights / total if total > 0 else weights
