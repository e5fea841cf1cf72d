"""The table of strategies: how windows are cut and aggregated against what that keeps and what it costs.

Every strategy hears the same clips, the middle 60 s of each labelled piece, so that vectors can be put behind each
other and a clip can be one window. Cells are artifacts as the embedder would serve them; only concatenation and the
undivided clip are not served. Windows of one length are embedded once for all strategies, and kept; what a strategy
costs is measured with some of the clips, each cell in a process of its own.
"""

import json
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
from training.aggregator import teach, windows_to_learn
from training.aggregator_config import AggregatorConfig
from training.catalogue import Split, Track
from training.derive import derive
from training.errors import ManifestInvalid, TrainingError
from training.evaluation.clips import middle_clip
from training.evaluation.report import Report
from training.evaluation.store import VectorStore
from training.evaluation.strategy_cell import CONCATENATE, CellCost, CellTask, run_cell
from training.evaluation.strategy_table import (
    CLIP_SECONDS,
    COST_CLIPS,
    LENGTHS,
    MEAN,
    WHOLE,
    Strategy,
    headlines,
    strategy_table,
)
from training.model_folder import find_artifact
from training.progress import Progress
from training.window_crops import WindowedTrack, digest_windows
from training.work_folder import taken

TRANSFORMER = "transformer"
STRATEGIES = (MEAN, "max", "middle", TRANSFORMER, CONCATENATE, WHOLE)
TITLE = "What strategies keep and cost"
STEM = "strategies"
_POOLING = {"max": "max", "middle": "middle"}


@dataclass(frozen=True, slots=True)
class Folders:
    """Where things are: music, derived artifacts, clips and window vectors, and the runs of aggregators."""

    music: Path
    artifacts: Path
    cache: Path
    work: Path


def judge_strategies(
    encoders: Sequence[str],
    tracks: Sequence[Track],
    folders: Folders,
    config: AggregatorConfig,
    names: Sequence[str] = STRATEGIES,
) -> Report:
    """Run every cell of every encoder; blocks for minutes with museed-mini, for hours with MuQ-large on a CPU.

    Args:
        encoders: Names or folders, as `training.derive` takes them.
        tracks: Labelled pieces; shorter ones than a clip are left out.
        folders: Where things are.
        config: Of the transformers, which are taught where that is not done yet.
        names: Which strategies.

    Raises:
        ArtifactInvalid: A folder is not what its manifest says.
        EncoderUnavailable: There is no such encoder.
        CellFailed: A cell's process died.
        TrainingError: No piece gives a clip, or no strategy that was asked for can be judged.
    """
    chosen = [Strategy(name, length) for name in names if name != WHOLE for length in LENGTHS]
    chosen += [Strategy(WHOLE, CLIP_SECONDS)] if WHOLE in names else []
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
        if not clips:
            raise TrainingError("\n".join(["There is no clip to judge with.", *facts]))
        found = _judge_cells(base, chosen, clips, folders, config, facts)
        if not found:
            raise TrainingError("\n".join(["There is no strategy to judge.", *facts]))
        tables.append(strategy_table(name, kept, found))
        facts += headlines(name, tables[-1])
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
    base: Artifact,
    strategies: Sequence[Strategy],
    clips: Sequence[str],
    folders: Folders,
    config: AggregatorConfig,
    facts: list[str],
) -> dict[str, tuple[Float32Array, CellCost]]:
    found = {}
    with Progress(f"strategies of {base.manifest.name}", len(strategies), "cells") as progress:
        for strategy in strategies:
            try:
                artifact = _artifact(base, strategy, folders, config)
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


def _artifact(base: Artifact, strategy: Strategy, folders: Folders, config: AggregatorConfig) -> Artifact:
    """Derive what a cell serves; its aggregator is taught where that is not there yet."""
    if strategy.name == TRANSFORMER:
        return _taught(_derived(base, strategy.window_seconds, "weighted_mean", folders), folders, config)
    return _derived(base, strategy.window_seconds, _POOLING.get(strategy.name, "weighted_mean"), folders)


def _taught(base: Artifact, folders: Folders, config: AggregatorConfig) -> Artifact:
    """Open the transformer that these settings make of this music, or teach it."""
    tracks = windows_to_learn(base, folders.music, VectorStore(folders.cache))
    target = folders.artifacts / f"{base.manifest.encoder_id}-transformer-{_digest(config, tracks[Split.TRAIN])}"
    if target.is_dir():
        return open_artifact(target)
    work = folders.work / target.name
    with taken(work):
        made = teach(config, base, tracks, work, target)
    if made is None:
        raise KeyboardInterrupt  # learning was stopped; its checkpoint is kept
    return made


def _digest(config: AggregatorConfig, learnt: Sequence[WindowedTrack]) -> str:
    decided = json.dumps({**config.flat(), "windows": digest_windows(learnt)}, sort_keys=True)
    return sha256(decided.encode()).hexdigest()[:16]


def _derived(base: Artifact, window_seconds: float, pooling: str, folders: Folders) -> Artifact:
    manifest = base.manifest
    if (manifest.window_seconds, manifest.pooling.method) == (window_seconds, pooling):
        return base
    target = folders.artifacts / f"{manifest.encoder_id}-{window_seconds:g}s-{pooling}"
    return open_artifact(target) if target.is_dir() else derive(base, target, window_seconds, pooling)
