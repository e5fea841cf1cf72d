"""The table of strategies: how windows are cut and aggregated against what that keeps and what it costs.

Every strategy hears the same clips, the middle 60 s of each labelled piece, so that vectors can be put behind each
other and a clip can be one window. Cells are artifacts as the embedder would serve them; only concatenation and the
undivided clip are not served. Windows of one length are embedded once for all strategies, and kept; what a strategy
costs is measured with some of the clips, each cell in a process of its own.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from services.embedder.aggregation import load_aggregator
from services.embedder.artifact import Artifact, open_artifact
from services.embedder.errors import AudioError
from services.embedder.model import Float32Array, unit
from training.aggregator import teach
from training.aggregator_config import load_aggregator_config
from training.catalogue import Split, Track, split_of
from training.derive import derive
from training.errors import ManifestInvalid
from training.evaluation.clips import middle_clip
from training.evaluation.probes import fold_count, knn_probe
from training.evaluation.report import Cell, Cells, Report, Table
from training.evaluation.sections import FamilyRetrieval
from training.evaluation.store import VectorStore
from training.evaluation.strategy_cell import CONCATENATE, CellCost, CellTask, run_cell
from training.model_folder import find_artifact
from training.progress import Progress
from training.work_folder import taken

CLIP_SECONDS = 60.0
LENGTHS = (10.0, 30.0, 60.0)  # divisors of the clip's: there are no part windows
COST_CLIPS = 12
MEAN, TRANSFORMER, WHOLE = "mean", "transformer", "whole clip"
STRATEGIES = (MEAN, "max", "middle", TRANSFORMER, CONCATENATE, WHOLE)
TITLE = "What strategies keep and cost"
STEM = "strategies"
_POOLING = {"max": "max", "middle": "middle", TRANSFORMER: "transformer"}
_HELD_OUT = (Split.VALIDATION, Split.TEST)


@dataclass(frozen=True, slots=True)
class Folders:
    """Where things are: music, derived artifacts, clips and window vectors, and the runs of aggregators."""

    music: Path
    artifacts: Path
    cache: Path
    work: Path


@dataclass(frozen=True, slots=True)
class _Strategy:
    name: str
    window_seconds: float

    def __str__(self) -> str:
        return WHOLE if self.name == WHOLE else f"{self.name} · {self.window_seconds:g} s"


def judge_strategies(
    encoders: Sequence[str], tracks: Sequence[Track], folders: Folders, names: Sequence[str] = STRATEGIES
) -> Report:
    """Run every cell of every encoder; blocks for minutes with museed-mini, for hours with MuQ-large on a CPU.

    Args:
        encoders: Names or folders, as `training.derive` takes them.
        tracks: Labelled pieces; shorter ones than a clip are left out.
        folders: Where things are.
        names: Which strategies.

    Raises:
        ArtifactInvalid: A folder is not what its manifest says.
        EncoderUnavailable: There is no such encoder.
        CellFailed: A cell's process died.
    """
    chosen = [_Strategy(name, length) for name in names if name != WHOLE for length in LENGTHS]
    chosen += [_Strategy(WHOLE, CLIP_SECONDS)] if WHOLE in names else []
    long_enough = [track for track in tracks if track.duration_seconds >= CLIP_SECONDS]
    facts = [
        f"The middle {CLIP_SECONDS:g} s of {len(long_enough)} labelled pieces; {len(tracks) - len(long_enough)} are"
        " shorter and left out."
    ]
    ids, tables = {}, []
    for encoder in encoders:
        base = find_artifact(encoder, folders.artifacts)
        name = base.manifest.name
        ids[name] = base.manifest.encoder_id
        clips, kept = _clips(long_enough, base.manifest.sample_rate_hz, folders, facts)
        found = _judge_cells(base, chosen, clips, folders, facts)
        tables.append(_table(name, kept, found))
        facts += _compare(name, tables[-1])
    return Report(facts, ids, tables)


def _clips(tracks: Sequence[Track], rate_hz: int, folders: Folders, facts: list[str]) -> tuple[list[str], list[Track]]:
    clips, kept = [], []
    with Progress("decoding clips", len(tracks), "clips") as progress:
        for track in tracks:
            try:
                clip = middle_clip(folders.music / track.path, folders.cache / "clips", rate_hz, CLIP_SECONDS)
            except (AudioError, OSError) as error:
                facts.append(f"Left out: {track.path}: {error}")
            else:
                clips.append(str(clip))
                kept.append(track)
            progress.advance(track.path)
    return clips, kept


def _judge_cells(
    base: Artifact, strategies: Sequence[_Strategy], clips: Sequence[str], folders: Folders, facts: list[str]
) -> dict[str, tuple[Float32Array, CellCost]]:
    found = {}
    with Progress(f"strategies of {base.manifest.name}", len(strategies), "cells") as progress:
        for strategy in strategies:
            try:
                artifact = _artifact(base, strategy, folders)
            except ManifestInvalid as error:
                facts.append(f"Left out: {base.manifest.name}: {strategy}: {error}")
            else:
                windows = _windows(_derived(base, strategy.window_seconds, "weighted_mean", folders), clips, folders)
                is_joined = strategy.name == CONCATENATE
                _, cost = _run(artifact, clips[:: -(-len(clips) // COST_CLIPS)], is_joined=is_joined)
                found[str(strategy)] = aggregate_clips(windows, artifact, is_joined=is_joined), cost
            progress.advance(str(strategy))
    return found


def aggregate_clips(windows: Float32Array, artifact: Artifact, *, is_joined: bool) -> Float32Array:
    """Make vectors of clips as `strategy_cell.embed_clip` does, of windows that are embedded.

    Args:
        windows: Unit vectors, shape (clips, n, dim); zeros for silent ones.
        artifact: Says how they are aggregated.
        is_joined: Put them behind each other instead.

    Returns:
        Shape (clips, dim) or (clips, n × dim); zeros for a silent clip.
    """
    if is_joined:
        return unit(windows.reshape(len(windows), -1))
    aggregator = load_aggregator(artifact)
    vectors = np.zeros((len(windows), windows.shape[2]), np.float32)
    for row, of_clip in enumerate(windows):
        heard = of_clip[of_clip.any(axis=1)]
        if len(heard):
            vectors[row] = aggregator.aggregate(
                heard, np.full(len(heard), artifact.manifest.window_seconds, np.float32)
            )
    return vectors


def _windows(artifact: Artifact, clips: Sequence[str], folders: Folders) -> Float32Array:
    """Embed the windows of all clips, shape (clips, n, dim), or read what was kept of the same clips."""
    digest = sha256("\n".join(Path(clip).name for clip in clips).encode()).hexdigest()[:16]
    kept = folders.cache / "clips" / f"{artifact.manifest.encoder_id}-{digest}.windows.npy"
    if not kept.is_file():
        joined, _ = _run(artifact, clips, is_joined=True)
        windows = joined.reshape(len(clips), -1, artifact.manifest.dim)
        draft = kept.with_name(f".{os.getpid()}.npy")
        np.save(draft, unit(windows.reshape(-1, artifact.manifest.dim)).reshape(windows.shape))
        os.replace(draft, kept)
    found: Float32Array = np.load(kept)
    return found


def _run(artifact: Artifact, clips: Sequence[str], *, is_joined: bool) -> tuple[Float32Array, CellCost]:
    with tempfile.TemporaryDirectory() as folder:
        return run_cell(CellTask(str(artifact.folder), clips, f"{folder}/vectors.npy", is_joined))


def _artifact(base: Artifact, strategy: _Strategy, folders: Folders) -> Artifact:
    """Derive what a cell serves; its aggregator is taught where that is not there yet."""
    pooling = _POOLING.get(strategy.name, "weighted_mean")
    cut = _derived(base, strategy.window_seconds, "weighted_mean", folders)
    if pooling != "transformer":
        return _derived(base, strategy.window_seconds, pooling, folders)
    target = folders.artifacts / f"{cut.manifest.encoder_id}-transformer"
    if not target.is_dir():
        work = folders.work / target.name
        with taken(work):
            teach(load_aggregator_config(), cut, folders.music, work, target, VectorStore(folders.cache))
    if not target.is_dir():
        raise KeyboardInterrupt  # learning was stopped; its checkpoint is kept
    return open_artifact(target)


def _derived(base: Artifact, window_seconds: float, pooling: str, folders: Folders) -> Artifact:
    manifest = base.manifest
    if (manifest.window_seconds, manifest.pooling.method) == (window_seconds, pooling):
        return base
    target = folders.artifacts / f"{manifest.encoder_id}-{window_seconds:g}s-{pooling}"
    return open_artifact(target) if target.is_dir() else derive(base, target, window_seconds, pooling)


def _table(name: str, tracks: Sequence[Track], found: dict[str, tuple[Float32Array, CellCost]]) -> Table:
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
    return Table(
        title=f"{name}: strategy and window length",
        note=(
            f"{len(judged)} clips. P@5 is of held-out soundtracks' clips, from other packages only, by raw cosine, with"
            " 90 % intervals over groups; kNN accuracy of all clips, in folds that tear no group apart. Memory and time"
            f" of a process of its own with one thread, a window at a time, over up to {COST_CLIPS} clips; a window of"
            " 60 s is the whole clip, so that what pools without learning gives one vector there."
        ),
        rows=rows,
    )


def _costs(cost: CellCost) -> Cells:
    cells = {"peak MiB": Cell(cost.peak_mib), "MiB above the model": Cell(cost.above_model_mib)}
    if cost.gpu_mib is not None:
        cells["GPU MiB"] = Cell(cost.gpu_mib)
    return cells | {"core-seconds a clip": Cell(cost.core_seconds)}


def _compare(name: str, table: Table) -> list[str]:
    """Say what pooled windows keep of the whole clip, in the terms of the study that the table follows."""
    whole = table.rows.get(WHOLE, {})
    facts = []
    for length in LENGTHS[:2]:
        row = table.rows.get(str(_Strategy(MEAN, length)), {})
        if "P@5" in row and "P@5" in whole and whole["P@5"].value:
            facts.append(
                f"{name}: the mean of windows of {length:g} s keeps {row['P@5'].value / whole['P@5'].value:.0%} of the"
                f" whole clip's P@5 with {row['peak MiB'].value / whole['peak MiB'].value:.0%} of its memory."
            )
    return facts
