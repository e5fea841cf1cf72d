"""Makes the table of strategies out of vectors and costs: which figure stands where, and its headline. Embeds nothing.

What is chosen by this table is chosen by the validation part: its headline is of that part alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.embedder.model import Float32Array
from training.catalogue import Split, Track, split_of
from training.evaluation.probes import fold_count, knn_probe
from training.evaluation.report import Cell, Cells, Table
from training.evaluation.sections import FamilyRetrieval
from training.evaluation.strategy_cell import CellCost

CLIP_SECONDS = 60.0
LENGTHS = (10.0, 30.0, 60.0)  # divisors of the clip's: there are no part windows
COST_CLIPS = 12
MEAN, WHOLE = "mean", "whole clip"
_HELD_OUT = (Split.VALIDATION, Split.TEST)
_CHOSEN_BY = f"P@5 {Split.VALIDATION}"
_PEAK, _ABOVE = "peak MiB", "MiB above the model"


@dataclass(frozen=True, slots=True)
class Strategy:
    """A row of the table: how windows are aggregated, and how long they are."""

    name: str
    window_seconds: float

    def __str__(self) -> str:
        return WHOLE if self.name == WHOLE else f"{self.name} · {self.window_seconds:g} s"


def strategy_table(name: str, tracks: Sequence[Track], found: Mapping[str, tuple[Float32Array, CellCost]]) -> Table:
    """Judge the strategies of one encoder on clips that are silent in none.

    Args:
        name: Of the encoder.
        tracks: Piece of each clip.
        found: Vectors, shape (clips, numbers), zeros for silent ones, and what they cost, by strategy; one at least.
    """
    is_heard = np.all([vectors.any(axis=1) for vectors, _ in found.values()], axis=0)
    judged = [track for track, is_in in zip(tracks, is_heard, strict=True) if is_in]
    every = np.ones(len(judged), bool)
    of_split = {split: np.array([split_of(track) is split for track in judged], bool) for split in _HELD_OUT}
    asked = {"P@5": np.any(list(of_split.values()), axis=0)} | {f"P@5 {split}": of_split[split] for split in _HELD_OUT}
    retrievals = {column: FamilyRetrieval(judged, every, mask) for column, mask in asked.items() if mask.any()}
    families, groups = [track.family for track in judged], [track.group for track in judged]
    rows: dict[str, Cells] = {}
    for row, (all_vectors, cost) in found.items():
        vectors = all_vectors[is_heard]
        cells = {
            column: Cell.of(retrieval.bootstrap.over_all(retrieval.score(vectors).precision_at_5))
            for column, retrieval in retrievals.items()
        }
        if len(set(families)) > 1 and fold_count(families, groups) > 1:
            cells["kNN accuracy"] = Cell(knn_probe(vectors, families, groups).accuracy)
        cells |= _costs(cost)
        rows[row] = cells | {"numbers a vector": Cell(vectors.shape[1])}
    return Table(f"{name}: strategy and window length", _note(len(judged), rows), rows)


def headlines(name: str, table: Table) -> list[str]:
    """Say what pooled windows keep of the whole clip, in the terms of the study that the table follows.

    P@5 is of the validation part, and nothing is said without one. What a process holds once the model is loaded may
    differ from one to the next, whatever it embeds then: the whole clip's is taken for both.
    """
    whole = table.rows.get(WHOLE, {})
    told = []
    for length in LENGTHS[:2]:
        row = table.rows.get(str(Strategy(MEAN, length)), {})
        if _CHOSEN_BY in row and _CHOSEN_BY in whole and whole[_CHOSEN_BY].value:
            kept = row[_CHOSEN_BY].value / whole[_CHOSEN_BY].value
            text = f"{name}: the mean of windows of {length:g} s keeps {kept:.0%} of the whole clip's {_CHOSEN_BY}"
            if _PEAK in row and _PEAK in whole:
                peak = whole[_PEAK].value - whole[_ABOVE].value + row[_ABOVE].value
                text += f" with {peak / whole[_PEAK].value:.0%} of its memory"
            told.append(f"{text}.")
    return told


def _costs(cost: CellCost) -> Cells:
    memory = {_PEAK: cost.peak_mib, _ABOVE: cost.above_model_mib, "GPU MiB": cost.gpu_mib}
    cells = {column: Cell(mib) for column, mib in memory.items() if mib is not None}
    return cells | {"core-seconds a clip": Cell(cost.core_seconds)}


def _note(clips: int, rows: Mapping[str, Cells]) -> str:
    has_memory = any(_PEAK in cells for cells in rows.values())
    measured = "Memory and time are" if has_memory else "Memory could not be told from that of loading here; time is"
    return (
        f"{clips} clips. P@5 is of held-out soundtracks' clips, of the validation and the test part together and of"
        " each, from other packages only, by raw cosine, with 90 % intervals over groups; kNN accuracy is of all clips,"
        " in folds that tear no group apart: also of soundtracks that train, whose windows encoder and transformer have"
        f" learnt. {measured} of a process of its own with one thread, a window at a time, over up to"
        f" {COST_CLIPS} clips; a window of {CLIP_SECONDS:g} s is the whole clip, so that what pools without learning"
        " gives one vector there."
    )
