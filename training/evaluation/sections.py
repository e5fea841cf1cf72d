"""Makes the tables of a report out of a collection: which figure of which encoder stands where. Embeds nothing."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from services.embedder.model import Float32Array
from training.catalogue import Split, Track
from training.evaluation import postprocessing
from training.evaluation.collection import Collection
from training.evaluation.embedding import TrackVectors
from training.evaluation.hubness import K, measure_hubness
from training.evaluation.intervals import GroupBootstrap
from training.evaluation.postprocessing import Change, fuse, pooled
from training.evaluation.probes import fold_count, knn_probe, linear_probe, silhouette
from training.evaluation.report import Cell, Cells, Table
from training.evaluation.retrieval import BoolArray, QueryScores, score_families, score_soundtracks
from training.evaluation.robustness import ORIGINAL, VARIANTS, measure_robustness

P_AT_5 = "P@5"
Vectors = Mapping[str, Float32Array]

_EVERYTHING = "all parts"
_SHORT_COLUMNS = ("P@1", P_AT_5, "mAP", "P@5 macro", "P@5 difference", "macro difference")


class FamilyRetrieval:
    """Retrieval of the family across soundtracks, of the queries of one split among all labelled tracks.

    Args:
        tracks: All pieces.
        labelled: Which of them are judged, shape (tracks,).
        asked: Which of them are in the split, shape (tracks,).
    """

    def __init__(self, tracks: Sequence[Track], labelled: BoolArray, asked: BoolArray) -> None:
        self._labelled = labelled
        judged = [track for track, is_labelled in zip(tracks, labelled, strict=True) if is_labelled]
        self._is_query = asked[labelled]
        self._families = [track.family for track in judged]
        self._packages = [track.package for track in judged]
        queries = [track for track, is_query in zip(judged, self._is_query, strict=True) if is_query]
        self.families = sorted({track.family for track in queries})
        self.bootstrap = GroupBootstrap([track.group for track in queries], [track.family for track in queries])

    def score(self, vectors: Float32Array) -> QueryScores:
        """Score vectors of all pieces, shape (tracks, dim)."""
        return score_families(vectors[self._labelled], self._families, self._packages, self._is_query)

    def cells(self, vectors: Float32Array, standardised: Float32Array | None, reference: QueryScores | None) -> Cells:
        """Return the row of one encoder; with its difference to a reference where there is one."""
        scores = self.score(vectors)
        cells = {
            "P@1": Cell.of(self.bootstrap.over_all(scores.precision_at_1)),
            P_AT_5: Cell.of(self.bootstrap.over_all(scores.precision_at_5)),
            "mAP": Cell.of(self.bootstrap.over_all(scores.average_precision)),
            "P@5 macro": Cell.of(self.bootstrap.macro(scores.precision_at_5)),
        }
        for family in self.families:
            cells[f"P@5 {family}"] = Cell.of(self.bootstrap.of_stratum(scores.precision_at_5, family))
        if standardised is not None:
            cells["P@5 z-scored"] = Cell(float(self.score(standardised).precision_at_5.mean()))
        if reference is not None:
            difference = scores.precision_at_5 - reference.precision_at_5
            cells["P@5 difference"] = Cell.of(self.bootstrap.over_all(difference))
            cells["macro difference"] = Cell.of(self.bootstrap.macro(difference))
        return cells

    def chance(self, scores: QueryScores) -> Cells:
        """Return the row of a random order."""
        overall = Cell(float(scores.chance.mean()))
        cells = {"P@1": overall, P_AT_5: overall, "mAP": Cell(float(scores.chance_average_precision.mean()))}
        cells["P@5 macro"] = Cell(self.bootstrap.macro(scores.chance).mean)
        for family in self.families:
            cells[f"P@5 {family}"] = Cell(self.bootstrap.of_stratum(scores.chance, family).mean)
        return cells


def retrieval_of(collection: Collection, split: Split | None) -> FamilyRetrieval:
    """Return the retrieval of one split; None asks with every labelled track."""
    return FamilyRetrieval(collection.tracks, collection.labelled(), collection.in_split(split))


def retrieval_table(collection: Collection, split: Split | None, reference: str) -> Table:
    """Judge every encoder on the queries of a split, paired with a reference."""
    retrieval = retrieval_of(collection, split)
    raw = {name: pooled(tracks) for name, tracks in collection.vectors.items()}
    of_reference = retrieval.score(raw[reference])
    rows = {"chance": retrieval.chance(of_reference)}
    for name, vectors in raw.items():
        change = postprocessing.standardising(collection.statistics(name))
        standardised = pooled(collection.vectors[name], change)
        rows[name] = retrieval.cells(vectors, standardised, None if name == reference else of_reference)
    queries = retrieval.bootstrap.over_all(of_reference.chance)
    return Table(
        title=f"Families across soundtracks, {split.value + ' part' if split else _EVERYTHING}",
        note=(
            f"{queries.queries} queries in {queries.groups} groups; neighbours from other packages only, by raw cosine."
            f" 90 % intervals over groups; differences are to {reference}, on the same resamples."
        ),
        rows=rows,
    )


def postprocessing_table(
    collection: Collection, split: Split | None, names: Sequence[str], pairs: Sequence[str], reference: str
) -> Table:
    """Judge what can be made of encoders afterwards, and of each two of `pairs`."""
    retrieval = retrieval_of(collection, split)
    raw = {name: pooled(collection.vectors[name]) for name in {*names, *pairs, reference}}
    of_reference = retrieval.score(raw[reference])
    changed = {
        f"{name} · {change_name}": pooled(collection.vectors[name], change)
        for name in names
        for change_name, change in _changes(collection, name).items()
    }
    changed |= {f"{first} + {second}": fuse(raw[first], raw[second]) for first, second in combinations(pairs, 2)}
    rows = {}
    for name, vectors in changed.items():
        cells = retrieval.cells(vectors, None, of_reference)
        rows[name] = {column: cell for column, cell in cells.items() if column in _SHORT_COLUMNS}
    share = "which ask as well" if split in (None, Split.TRAIN) else "none of which asks"
    return Table(
        title=f"After the fact, {split.value + ' part' if split else _EVERYTHING}",
        note=(
            f"Statistics of the training soundtracks, {share}. A sum of two encoders is the mean of their cosines."
            f" Differences are to {reference}."
        ),
        rows=rows,
    )


def _changes(collection: Collection, name: str) -> dict[str, Change]:
    statistics = collection.statistics(name)
    return {
        "centred": postprocessing.centring(statistics),
        "sharpened": postprocessing.sharpening(collection.training_windows(name)),
        "standardised": postprocessing.standardising(statistics),
        "whitened": postprocessing.whitening(statistics),
        "square root": postprocessing.power(0.5),
    }


def space_table(collection: Collection) -> Table:
    """Judge the vectors' space: soundtracks, probes, clusters and hubs."""
    labelled = collection.labelled()
    judged = [track for track, is_labelled in zip(collection.tracks, labelled, strict=True) if is_labelled]
    families, groups = [track.family for track in judged], [track.group for track in judged]
    packages = [track.package for track in collection.tracks]
    rows = {}
    for name, tracks in collection.vectors.items():
        vectors = pooled(tracks)
        figures = {**_neighbourhood(vectors, packages), **_families(vectors[labelled], families, groups)}
        rows[name] = {column: Cell(float(value)) for column, value in figures.items()}
    return Table(
        title="The space",
        note=(
            f"Own soundtrack among the nearest of all {len(packages)} pieces; families of {len(judged)} pieces by the 5"
            " nearest and by a linear probe, in five folds that tear no group apart; silhouette of the families;"
            " hubness is the skewness of N_10."
        ),
        rows=rows,
    )


def _neighbourhood(vectors: Float32Array, packages: Sequence[str]) -> dict[str, float]:
    soundtracks = score_soundtracks(vectors, packages)
    figures = {
        "soundtrack P@5": float(soundtracks.precision_at_5.mean()),
        "soundtrack mAP": float(soundtracks.average_precision.mean()),
    }
    if len(vectors) > K:
        hubness = measure_hubness(vectors)
        figures["hubness"] = hubness.skewness
        figures["largest hub"], figures["never named"] = hubness.largest_hub, hubness.never_named
    return figures


def _families(vectors: Float32Array, families: Sequence[str], groups: Sequence[str]) -> dict[str, float]:
    if len(set(families)) < 2 or fold_count(families, groups) < 2:
        return {}  # too little music to learn from one part and ask in another
    knn, linear = knn_probe(vectors, families, groups), linear_probe(vectors, families, groups)
    return {
        "kNN accuracy": knn.accuracy,
        "kNN macro F1": knn.macro_f1,
        "linear accuracy": linear.accuracy,
        "linear macro F1": linear.macro_f1,
        **{f"linear F1 {family}": value for family, value in linear.f1.items()},
        "silhouette": silhouette(vectors, families),
    }


def robustness_table(variants: Mapping[str, Mapping[str, Sequence[TrackVectors]]]) -> Table:
    """Judge vectors of changed files, given by encoder and variant; an encoder without any has no row."""
    rows: dict[str, Cells] = {}
    for name, found in variants.items():
        if not found[ORIGINAL]:
            continue
        originals = pooled(found[ORIGINAL])
        rows[name] = {}
        for variant in VARIANTS:
            figures = measure_robustness(originals, pooled(found[variant]))
            rows[name][f"{variant}: cosine"] = Cell(figures.cosine)
            rows[name][f"{variant}: own nearest"] = Cell(figures.own_nearest)
    count = max((len(found[ORIGINAL]) for found in variants.values()), default=0)
    return Table(
        title="Robustness",
        note=f"60 s of {count} pieces: cosine to the original, and share whose nearest original is their own.",
        rows=rows,
    )


def family_vectors(collection: Collection) -> tuple[Vectors, list[str]]:
    """Return the vectors of labelled pieces by encoder, and their families: what the picture shows."""
    labelled = collection.labelled()
    families = [track.family for track, is_in in zip(collection.tracks, labelled, strict=True) if is_in]
    return {name: pooled(tracks)[np.flatnonzero(labelled)] for name, tracks in collection.vectors.items()}, families
