"""Teaches a transformer to aggregate an encoder's windows, and writes an artifact that pools by it.

    python -m training.aggregator --music DIR --encoder museed-mini --out OUT_DIR [--section.key=value …]

Window vectors are those that `make evaluate` keeps, so that a second run learns at once. Called again it goes on from
the checkpoint. The window length is the encoder's: `python -m training.derive` makes one of another length.
"""

import argparse
import math
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load_file, save

from services.embedder.aggregation import load_aggregator
from services.embedder.artifact import AGGREGATOR_PREFIX, Artifact, open_artifact, write_artifact, write_manifest
from services.embedder.errors import ArtifactInvalid, EncoderUnavailable
from training.aggregator_config import AggregatorConfig, load_aggregator_config
from training.catalogue import Split, read_catalogue
from training.config_file import AGGREGATOR_CONFIG
from training.errors import TrainingError
from training.evaluation.encoders import EncoderChoice
from training.evaluation.store import VectorStore
from training.model_folder import check_free, drafted_beside, find_artifact
from training.random_pairs import random_pair_cosine
from training.window_crops import WindowedTrack
from training.windowed_tracks import windowed_tracks
from training.work_folder import taken

if TYPE_CHECKING:
    from training.aggregator_network import AggregatorNetwork

_TEMPORARY_FAILURE = 75  # EX_TEMPFAIL: call again


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is left to do; 0: the artifact is written, 75: a further leg is needed, 1: it cannot run."""
    options, overrides = _parser().parse_known_args(arguments)
    try:
        config = load_aggregator_config(options.config, overrides)
        check_free(options.out)
        with taken(options.work):
            base = find_artifact(options.encoder, options.artifacts)
            tracks = windows_to_learn(base, options.music, VectorStore(options.cache))
            made = teach(
                config, base, tracks, options.work, options.out, minutes=options.minutes, threads=options.threads
            )
    except (ArtifactInvalid, EncoderUnavailable) as error:
        print(f"{error.reason}: {error}", file=sys.stderr)
        return 1
    except (TrainingError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Call it again to go on.", file=sys.stderr)
        return 130
    if made is None:
        print(f"The checkpoint is in {options.work}. Call it again to go on.")
        return _TEMPORARY_FAILURE
    print(f"{made.manifest.encoder_id} in {options.out}")
    return 0


def windows_to_learn(base: Artifact, music: Path, store: VectorStore) -> dict[Split, list[WindowedTrack]]:
    """Embed the music that `teach` asks for; blocks for up to hours where nothing is kept yet.

    Args:
        base: Whose windows are aggregated.
        music: Folder of music.
        store: Where window vectors are kept.

    Raises:
        ManifestInvalid: There is none to learn from.
    """
    choice = EncoderChoice(str(base.folder), store.folder)
    return windowed_tracks(music, choice, base.manifest, store, (Split.TRAIN, Split.VALIDATION))


def teach(
    config: AggregatorConfig,
    base: Artifact,
    tracks: Mapping[Split, Sequence[WindowedTrack]],
    work: Path,
    out: Path,
    *,
    minutes: float = math.inf,
    threads: int = 1,
) -> Artifact | None:
    """Learn and export; blocks.

    Args:
        config: Everything that decides what is learnt.
        base: Whose windows are aggregated.
        tracks: As `windows_to_learn` gives them: the train split is learnt from, the validation split is looked at.
        work: Where checkpoint and metrics are.
        out: Folder of the artifact; must not exist.
        minutes: Length of this leg of learning.
        threads: Of torch.

    Returns:
        The artifact; None where steps are left.

    Raises:
        CheckpointMismatch: The checkpoint belongs to another configuration, encoder or music.
        ManifestInvalid: There is too little music.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what torch and muq import
        import torch

        from training.aggregator_validation import AggregatorValidation
        from training.masked_modelling import pretrain
    torch.set_num_threads(threads)
    learnt = tracks[Split.TRAIN]
    judged = {track.path: track for track in read_catalogue() if track.is_labelled}
    validation = AggregatorValidation(tracks[Split.VALIDATION], learnt, judged)
    network = pretrain(config, work, learnt, validation, minutes=minutes)
    return None if network is None else export_aggregator(network, config, base, learnt, out)


def export_aggregator(
    network: "AggregatorNetwork", config: AggregatorConfig, base: Artifact, learnt: Sequence[WindowedTrack], out: Path
) -> Artifact:
    """Write the base's weights and the aggregator's in half precision, with a manifest that pools by it.

    Args:
        network: What was learnt.
        config: Of the run.
        base: Whose windows it aggregates.
        learnt: Tracks whose random pairs the manifest's quantiles are of.
        out: Must not exist.
    """
    weights = {name: one for name, one in load_file(base.weights_path).items() if not _is_aggregators(name)}
    for name, tensor in network.state_dict().items():
        if name != "mask":
            weights[AGGREGATOR_PREFIX + name] = np.ascontiguousarray(tensor.numpy(), np.float16)
    pooling = replace(base.manifest.pooling, method="transformer")
    told = f"aggregator of {config.run.epochs} epoch{'s' if config.run.epochs > 1 else ''}"
    revision = ", ".join(part for part in (base.manifest.revision, told) if part)
    manifest = replace(base.manifest, pooling=pooling, revision=revision, random_pair_cosine=None)
    with drafted_beside(out) as draft:
        made = write_artifact(draft, save(weights), manifest)
        aggregator = load_aggregator(made)
        vectors = np.stack([aggregator.aggregate(track.vectors, track.seconds) for track in learnt])
        if len(learnt) > 1:
            quantiles = random_pair_cosine(vectors, [track.group for track in learnt])
            write_manifest(draft, replace(made.manifest, random_pair_cosine=quantiles))
        check_free(out)
        os.rename(draft, out)
    return open_artifact(out)


def _is_aggregators(name: str) -> bool:
    return name.startswith(AGGREGATOR_PREFIX)


def _minutes(text: str) -> float:
    minutes = float(text)
    if not minutes >= 0:
        raise argparse.ArgumentTypeError(f"{text}, the minimum is 0")
    return minutes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.aggregator",
        description=(__doc__ or "").partition("\n")[0],
        epilog="Every value of the configuration can be set: --run.epochs=2 --objective.summary=0",
        allow_abbrev=False,
    )
    parser.add_argument("--music", type=Path, required=True, help="folder of music")
    parser.add_argument("--encoder", default="museed-mini", metavar="NAME_OR_FOLDER", help="whose windows to aggregate")
    parser.add_argument("--out", type=Path, required=True, help="folder of the artifact; must not exist")
    parser.add_argument("--config", type=Path, default=AGGREGATOR_CONFIG, help="a TOML file")
    parser.add_argument("--work", type=Path, default=Path(".museed/training/aggregator"), help="checkpoint, metrics")
    parser.add_argument("--cache", type=Path, default=Path(".museed/evaluation"), help="where window vectors are kept")
    parser.add_argument("--artifacts", type=Path, default=Path(".museed/artifacts"), help="where wheels are unpacked")
    parser.add_argument("--minutes", type=_minutes, default=math.inf, help="stop learning after so long, resumably")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of the network")
    return parser


if __name__ == "__main__":
    sys.exit(main())
