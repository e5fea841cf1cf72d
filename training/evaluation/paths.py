"""Judges paths on real music: how long their longest step is, and how long it would be otherwise. Embeds nothing."""

from collections.abc import Sequence

import numpy as np

from services.retriever.errors import ConstraintsUnreachable, SeedsCancel
from services.retriever.playlist.path import PathRecipe, build_path
from services.retriever.playlist.path_pool import great_circle
from services.retriever.playlist.recipe import Seed
from services.retriever.playlist.spacing import numbered
from services.retriever.similarity import Float32Array, cosines
from training import catalogue
from training.evaluation.playlists import ArrayLibrary, library_of
from training.evaluation.report import Cell, Table

LENGTHS = (5, 10, 25)
_PATHS = 150


def path_table(name: str, pieces: Sequence[catalogue.Track], vectors: Float32Array) -> Table:
    """Judge the paths between random pieces of one encoder.

    Args:
        name: Of the encoder.
        pieces: All that may be chosen.
        vectors: Of any norm, shape (len(pieces), dim).
    """
    library = library_of(pieces, vectors)
    rng = np.random.default_rng(0)
    pairs = [rng.choice(len(pieces), 2, replace=False).tolist() for _ in range(_PATHS)]
    rows = {}
    for path_length in LENGTHS:
        found = [
            figures
            for one, other in pairs
            if (figures := _path_figures(library, one, other, path_length, rng)) is not None
        ]
        rows[f"paths of {path_length}"] = {
            column: Cell(float(np.mean([each[column] for each in found]))) for column in found[0]
        }
    return Table(
        title=f"{name}: paths",
        note=(
            f"{_PATHS} random pairs of {len(pieces)} pieces. Worst is the mean of a path's smallest cosine from track"
            " to track: of the retriever's path, where each place takes the track nearest to its point, with random"
            " tracks between the ends, and the most that could be, where tracks may come twice. Direct is the cosine of"
            " the ends; below direct is the share of paths with a step that is worse; progress is the correlation of"
            " place and nearness to the end rather than to the start."
        ),
        rows=rows,
    )


def _path_figures(
    library: ArrayLibrary, one: int, other: int, path_length: int, rng: np.random.Generator
) -> dict[str, float] | None:
    """Return the figures of the path between two rows; None where there is none."""
    ends = [Seed(library.vectors[row], track=library.tracks[row]) for row in (one, other)]
    try:
        path = build_path(library, ends[0], ends[1], PathRecipe(path_length))
        points = great_circle(ends[0].vector, ends[1].vector, path_length - 2)
    except (ConstraintsUnreachable, SeedsCancel):
        return None
    between = [row for row in range(len(library)) if row not in (one, other)]
    nearest: list[int] = []
    for point in points:
        near = cosines(library.vectors, point)
        nearest.append(max((row for row in between if row not in nearest), key=lambda row: float(near[row])))
    vectors = np.stack([library.vector(each.track.track_id) for each in path.tracks])
    way = vectors @ ends[1].vector - vectors @ ends[0].vector
    worst = _worst_step(vectors)
    direct = float(ends[0].vector @ ends[1].vector)
    by_chance = rng.choice(between, path_length - 2, replace=False)
    return {
        "worst": worst,
        "… nearest to each point": _worst_step(library.vectors[[one, *nearest, other]]),
        "… by chance": _worst_step(library.vectors[[one, *by_chance, other]]),
        "… at most": _most_possible(library, one, other, path_length),
        "direct": direct,
        "below direct": float(worst < direct - 1e-6),
        "below 0.2": float(worst < 0.2),
        "progress": float(np.corrcoef(np.arange(path_length), way)[0, 1]),
    }


def _worst_step(vectors: Float32Array) -> float:
    return float((vectors[1:] * vectors[:-1]).sum(axis=1).min())


def _most_possible(library: ArrayLibrary, one: int, other: int, path_length: int) -> float:
    """Return what the smallest cosine of a path could be if tracks might come twice, but no artist after itself."""
    artists = numbered([track.artist_key for track in library.tracks])
    steps = np.where(np.equal.outer(artists, artists), -1.0, cosines(library.vectors, library.vectors.T))
    most = steps[one].copy()
    for _ in range(path_length - 3):
        most[[one, other]] = -1.0
        most = np.minimum(most[:, np.newaxis], steps).max(axis=0)
    most[[one, other]] = -1.0
    return float(np.minimum(most, steps[:, other]).max())
