"""Judges vectors by what they retrieve: of a query's nearest neighbours, how many are of its family. Pure numpy.

Precision at k and average precision are those of Manning, Raghavan & Schütze, "Introduction to Information Retrieval"
(2008), chapter 8. A neighbour never shares the query's source (its package, so that a soundtrack's mastering and its
composer's habits are no help), or must share it where that itself is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.embedder.model import unit

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class QueryScores:
    """How each query did; every array has shape (queries,), float64 in [0, 1], in the order of the queries.

    Attributes:
        precision_at_1: Whether the nearest neighbour is relevant.
        precision_at_5: Share of relevant ones among the five nearest.
        average_precision: Mean of the precisions at each relevant neighbour; 0 where there is none.
        chance: Share of relevant ones among all candidates: the precision of a random order.
        chance_average_precision: Mean of the average precision over all orders.
    """

    precision_at_1: Float64Array
    precision_at_5: Float64Array
    average_precision: Float64Array
    chance: Float64Array
    chance_average_precision: Float64Array


def score_families(
    vectors: Float32Array, families: Sequence[str], packages: Sequence[str], is_query: BoolArray | None = None
) -> QueryScores:
    """Score retrieval of the own family from other packages only, by raw cosine.

    Args:
        vectors: Of all labelled tracks, shape (n, dim), of any norm.
        families: What each is, n of them.
        packages: Where each came from, n of them.
        is_query: Which tracks are queries, shape (n,); None for all. Every track is a candidate.
    """
    of_family, of_package = np.asarray(families), np.asarray(packages)
    queries = np.flatnonzero(np.ones(len(vectors), bool) if is_query is None else is_query)
    is_relevant = of_family[queries, None] == of_family[None]
    is_candidate = of_package[queries, None] != of_package[None]
    return _score(cosines(vectors, queries), is_relevant, is_candidate)


def score_soundtracks(vectors: Float32Array, packages: Sequence[str]) -> QueryScores:
    """Score retrieval of tracks of the own package among all other tracks, by raw cosine; arguments as above."""
    of_package = np.asarray(packages)
    every = np.arange(len(vectors))
    is_candidate = ~np.eye(len(vectors), dtype=bool)
    return _score(cosines(vectors, every), of_package[:, None] == of_package[None], is_candidate)


def precision_at_k(vectors: Float32Array, families: Sequence[str], packages: Sequence[str], k: int) -> Float64Array:
    """Return each track's precision at k, shape (n,); arguments as for `score_families`.

    Where fewer than k candidates exist, the precision is that of those; 0 without any.
    """
    of_family, of_package = np.asarray(families), np.asarray(packages)
    ranked = _ranked(
        cosines(vectors, np.arange(len(vectors))),
        of_family[:, None] == of_family[None],
        of_package[:, None] != of_package[None],
    )
    return np.array([_mean(row[:k]) for row in ranked])


def cosines(vectors: Float32Array, queries: NDArray[np.intp]) -> Float64Array:
    """Return the cosine of each query to each vector, shape (queries, n), float64."""
    units = unit(vectors).astype(np.float64)
    similarity: Float64Array = units[queries] @ units.T
    return similarity


def _ranked(similarity: Float64Array, is_relevant: BoolArray, is_candidate: BoolArray) -> list[BoolArray]:
    """Return for each query which of its candidates are relevant, nearest first; ties in the order of the tracks."""
    rows = []
    for row, relevant, candidate in zip(similarity, is_relevant, is_candidate, strict=True):
        columns = np.flatnonzero(candidate)
        # Equal vectors differ in the last bits by where they stand in the matrix: rounded, ties stay ties.
        order = np.argsort(-np.round(row[columns], 9), kind="stable")
        rows.append(relevant[columns[order]])
    return rows


def _score(similarity: Float64Array, is_relevant: BoolArray, is_candidate: BoolArray) -> QueryScores:
    ranked = _ranked(similarity, is_relevant, is_candidate)
    return QueryScores(
        precision_at_1=np.array([_mean(row[:1]) for row in ranked]),
        precision_at_5=np.array([_mean(row[:5]) for row in ranked]),
        average_precision=np.array([_average_precision(row) for row in ranked]),
        chance=np.array([_mean(row) for row in ranked]),
        chance_average_precision=np.array([_chance_average_precision(row) for row in ranked]),
    )


def _mean(row: BoolArray) -> float:
    return float(row.mean()) if len(row) else 0.0


def _average_precision(ranked: BoolArray) -> float:
    places = np.flatnonzero(ranked)
    return float(np.mean(np.arange(1, len(places) + 1) / (places + 1))) if len(places) else 0.0


def _chance_average_precision(row: BoolArray) -> float:
    """Return the mean over all orders; it follows from how often two places are relevant at once."""
    count, relevant = len(row), int(row.sum())
    if not relevant:
        return 0.0
    harmonic = float(np.sum(1 / np.arange(1, count + 1)))
    return (harmonic + (count - harmonic) * (relevant - 1) / max(1, count - 1)) / count
