"""Asks simple classifiers how much of a label lies in vectors, and how well the labels' clouds are apart.

Folds never tear a group apart: else a composer's habits would answer for the style. Every fold's predictions are
collected first and scored once. Two folds are the least: see `fold_count`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, silhouette_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from services.embedder.model import Float32Array, unit

Labels = NDArray[np.str_]

FOLDS = 5
NEIGHBOURS = 5
_SEED = 20_240_501


@dataclass(frozen=True, slots=True)
class ProbeScores:
    """How a classifier did.

    Attributes:
        accuracy: Share of tracks that are right.
        macro_f1: Mean of the labels' F1.
        f1: Of each label.
    """

    accuracy: float
    macro_f1: float
    f1: dict[str, float]


def knn_probe(vectors: Float32Array, labels: Sequence[str], groups: Sequence[str]) -> ProbeScores:
    """Classify each track by its 5 nearest of other folds, by cosine; a tie goes to the greater sum of cosines."""
    units = unit(vectors)
    truth = np.asarray(labels)
    predicted = truth.copy()
    for train, test in _folds(truth, groups):
        similarity = units[test] @ units[train].T
        nearest = np.argsort(-np.round(similarity, 6), axis=1, kind="stable")[:, :NEIGHBOURS]
        for row, track in enumerate(test):
            predicted[track] = _vote(truth[train][nearest[row]], similarity[row][nearest[row]])
    return _scores(truth, predicted)


def linear_probe(vectors: Float32Array, labels: Sequence[str], groups: Sequence[str]) -> ProbeScores:
    """Classify each track by a logistic regression on standardised vectors of other folds; labels weigh the same."""
    truth = np.asarray(labels)
    predicted = truth.copy()
    for train, test in _folds(truth, groups):
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=5_000))
        predicted[test] = model.fit(vectors[train], truth[train]).predict(vectors[test])
    return _scores(truth, predicted)


def silhouette(vectors: Float32Array, labels: Sequence[str]) -> float:
    """Return the mean silhouette (Rousseeuw 1987) by cosine distance, in [-1, 1]."""
    return float(silhouette_score(unit(vectors), np.asarray(labels), metric="cosine"))


def fold_count(labels: Sequence[str], groups: Sequence[str]) -> int:
    """Return how many folds can hold every label: 5, or as many groups as the rarest label has."""
    pairs = set(zip(labels, groups, strict=True))
    return min([FOLDS, *(sum(label == one for label, _ in pairs) for one in set(labels))])


def _folds(truth: Labels, groups: Sequence[str]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    folds = StratifiedGroupKFold(fold_count(list(truth), groups), shuffle=True, random_state=_SEED)
    return list(folds.split(np.zeros(len(truth)), truth, np.asarray(groups)))


def _vote(labels: Labels, similarity: Float32Array) -> str:
    winner: str = max(
        sorted(set(labels)), key=lambda label: (np.sum(labels == label), float(similarity[labels == label].sum()))
    )
    return winner


def _scores(truth: Labels, predicted: Labels) -> ProbeScores:
    names = sorted(set(truth))
    f1 = f1_score(truth, predicted, labels=names, average=None, zero_division=0)
    return ProbeScores(
        accuracy=float(accuracy_score(truth, predicted)),
        macro_f1=float(np.mean(f1)),
        f1={name: float(value) for name, value in zip(names, f1, strict=True)},
    )
