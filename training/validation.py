"""Looks at a network on soundtracks that it does not learn from: is it near its teachers, and what is near in it?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.embedder.model import unit
from training.catalogue import Split, Track, read_catalogue, split_of
from training.corpus import Corpus, Take
from training.evaluation.retrieval import score_families
from training.losses import centred
from training.network import Network
from training.tracks import WINDOW_SECONDS, files_of, window_starts

Float32Array = NDArray[np.float32]

_BATCH = 24


@dataclass(frozen=True, slots=True)
class _Piece:
    take: Take
    track: Track | None
    starts: tuple[int, ...]


class Validation:
    """A fixed set of windows: those of the validation takes, and of the middle of every labelled training track.

    Args:
        corpus: The store.
        takes: All takes of the store.
        mean: Of the teachers' unit vectors, shape (400,).
    """

    def __init__(self, corpus: Corpus, takes: Sequence[Take], mean: Tensor) -> None:
        self._corpus = corpus
        self._mean = mean
        tracks = {track.path: track for track in read_catalogue() if track.is_labelled}
        self._pieces: list[_Piece] = []
        for path, chapters in files_of(takes).items():
            take = chapters[len(chapters) // 2]
            track = tracks.get(path)
            if take.split is Split.VALIDATION or (track is not None and split_of(track) is Split.TRAIN):
                self._pieces.append(_Piece(take, track, tuple(window_starts(take))))

    def __len__(self) -> int:
        return len(self._pieces)

    def __call__(self, network: Network) -> dict[str, float]:
        """Judge a network, which is left in evaluation; blocks for as long as some hundred windows take.

        Returns:
            `cosine` and `teacher_gap` (mean cosine to the teachers on validation windows; mean absolute difference of
            pairs' cosines), and precision at 5 by family of the validation tracks, for the head's vectors, for the
            pooled ones, and for the teachers from the same windows; NaN where there is no labelled track.
        """
        vectors, pooled, teachers, is_validation = self._embed(network)
        found = {
            "precision": self._precision(vectors),
            "precision_pooled": self._precision(pooled),
            "precision_teacher": self._precision(teachers),
        }
        if vectors.shape == teachers.shape:
            one, other = unit(vectors)[is_validation], unit(teachers)[is_validation]
            found["cosine"] = float(np.mean(np.sum(one * other, axis=1)))
            found["teacher_gap"] = float(np.abs(one @ one.T - other @ other.T).mean())
        return found

    def _embed(self, network: Network) -> tuple[Float32Array, Float32Array, Float32Array, NDArray[np.bool_]]:
        network.eval()
        windows = [(at, start) for at, piece in enumerate(self._pieces) for start in piece.starts]
        outputs: list[tuple[Float32Array, Float32Array]] = []
        teachers = []
        for at in range(0, len(windows), _BATCH):
            read = [
                self._corpus.read(self._pieces[piece].take.take_id, start_s=start, seconds=WINDOW_SECONDS)
                for piece, start in windows[at : at + _BATCH]
            ]
            with torch.no_grad():
                found = network(torch.from_numpy(np.stack([one.mel.astype(np.float32) for one in read])))
            outputs.append((centred(found.vectors, self._mean).numpy(), unit(found.pooled.numpy())))
            heard = np.stack([one.vectors.astype(np.float32).mean(axis=0) for one in read])
            teachers.append(centred(torch.from_numpy(heard), self._mean).numpy())
        owners = np.array([piece for piece, _ in windows])
        parts = [np.concatenate(part) for part in (*zip(*outputs, strict=True), teachers)]
        means = [np.stack([part[owners == at].mean(axis=0) for at in range(len(self._pieces))]) for part in parts]
        return means[0], means[1], means[2], np.array([one.take.split is Split.VALIDATION for one in self._pieces])

    def _precision(self, vectors: Float32Array) -> float:
        rows = [at for at, piece in enumerate(self._pieces) if piece.track is not None]
        tracks = [self._pieces[at].track for at in rows]
        is_query = np.array([self._pieces[at].take.split is Split.VALIDATION for at in rows], bool)
        if not is_query.any():
            return float("nan")
        families = [track.family for track in tracks if track is not None]
        packages = [track.package for track in tracks if track is not None]
        return float(score_families(vectors[rows], families, packages, is_query).precision_at_5.mean())
