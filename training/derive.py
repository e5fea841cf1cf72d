"""Makes an artifact with another window length or pooling of one that is there: no weight changes.

    python -m training.derive MODEL_DIR OUT_DIR --window-seconds 30 --pooling max [--music DIR]

MODEL_DIR is an artifact of any architecture, a folder of MuQ, or a name such as museed-mini. Nothing is overwritten;
weights are linked where the file system can. The encoder_id follows from the manifest: a library embeds anew.

The centring stays: it is the mean of windows of the original length. Longer windows lie a little off it: the mean of
all centred windows of museed-mini has a length of 0.14 at 10 s, 0.18 at 30 s and 0.22 at 60 s. How alike random pairs
are moves with that: those quantiles are measured anew on the music of `--music` that trains, or left unknown.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from services.embedder.aggregation import load_aggregator
from services.embedder.artifact import POOLING_METHODS, Artifact, check_pooling, open_artifact, write_manifest
from services.embedder.errors import ArtifactInvalid, EncoderUnavailable
from training.catalogue import Split
from training.errors import ManifestInvalid, TrainingError
from training.evaluation.encoders import EncoderChoice
from training.evaluation.store import VectorStore
from training.model_folder import check_free, drafted_beside, find_artifact, link_weights
from training.random_pairs import random_pair_cosine
from training.windowed_tracks import windowed_tracks


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0: the artifact is written, 1: it cannot be."""
    options = _parser().parse_args(arguments)
    try:
        base = find_artifact(options.model, options.artifacts)
        made = derive(base, options.out, options.window_seconds, options.pooling, options.music, options.cache)
    except (ArtifactInvalid, EncoderUnavailable) as error:
        print(f"{error.reason}: {error}", file=sys.stderr)
        return 1
    except (TrainingError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{made.manifest.encoder_id} in {options.out}")
    return 0


def derive(
    base: Artifact,
    out: Path,
    window_seconds: float | None = None,
    pooling: str | None = None,
    music: Path | None = None,
    cache: Path = Path(".museed/evaluation"),
) -> Artifact:
    """Write a model folder that differs in its manifest only.

    Args:
        base: A verified model folder.
        out: Must not exist.
        window_seconds: Length of a window; None keeps it.
        pooling: One of POOLING_METHODS; None keeps it.
        music: Folder whose train split random pairs are measured on, which may take an hour; None leaves them unknown.
        cache: Where window vectors of that are kept.

    Raises:
        ArtifactInvalid: Such an artifact cannot be, or is not served; the message tells what is allowed.
        ManifestInvalid: There is too little music to measure on.
        TargetTaken: `out` is there.
    """
    check_free(out)
    method = base.manifest.pooling.method if pooling is None else pooling
    check_pooling(method)
    seconds = base.manifest.window_seconds if window_seconds is None else window_seconds
    _check_transformer(base, method, seconds)
    changed = replace(
        base.manifest,
        window_seconds=seconds,
        hop_seconds=seconds,
        pooling=replace(base.manifest.pooling, method=method),
        random_pair_cosine=None,
    )
    if changed.encoder_id == base.manifest.encoder_id:
        raise ArtifactInvalid(
            f"{base.folder} has windows of {seconds:g} s and the pooling {method} already", field="window_seconds"
        )
    changed = replace(changed, revision=f"{changed.revision}, derived from {base.manifest.encoder_id}".lstrip(", "))
    with drafted_beside(out) as draft:
        draft.mkdir()
        link_weights(base, draft)
        write_manifest(draft, changed)
        made = open_artifact(draft)
        load_aggregator(made)  # refuses tensors that are none
        if music is not None:
            write_manifest(draft, replace(changed, random_pair_cosine=_measure(made, music, VectorStore(cache))))
        check_free(out)
        os.rename(draft, out)
    return open_artifact(out)


def _check_transformer(base: Artifact, method: str, window_seconds: float) -> None:
    """Refuse to let a transformer aggregate windows that it has not learnt."""
    learnt = base.manifest
    if method == learnt.pooling.method == "transformer" and window_seconds != learnt.window_seconds:
        raise ArtifactInvalid(
            f"window_seconds is {window_seconds:g}, and the transformer has learnt windows of"
            f" {learnt.window_seconds:g} s: derive with --pooling weighted_mean, and teach one of that with"
            " python -m training.aggregator",
            field="window_seconds",
            value=window_seconds,
            limit=learnt.window_seconds,
        )


def _measure(artifact: Artifact, music: Path, store: VectorStore) -> dict[str, float]:
    choice = EncoderChoice(str(artifact.folder), store.folder)
    tracks = windowed_tracks(music, choice, artifact.manifest, store, (Split.TRAIN,))[Split.TRAIN]
    if len(tracks) < 2:
        raise ManifestInvalid(f"{music} has {len(tracks)} tracks of the train split, random pairs need at least 2")
    aggregator = load_aggregator(artifact)
    vectors = np.stack([aggregator.aggregate(track.vectors, track.seconds) for track in tracks])
    return random_pair_cosine(vectors, [track.group for track in tracks])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.derive", description=(__doc__ or "").partition("\n")[0], allow_abbrev=False
    )
    parser.add_argument("model", metavar="MODEL_DIR", help="a model folder, or a name such as museed-mini")
    parser.add_argument("out", metavar="OUT_DIR", type=Path, help="must not exist")
    parser.add_argument("--window-seconds", type=float, help="10, 30 and 60 are tested; as the model's without it")
    # No `choices`: what exists in evaluation only is refused with the reason.
    parser.add_argument("--pooling", help=f"{', '.join(POOLING_METHODS)}; as the model's without it")
    parser.add_argument("--music", type=Path, help="measure random pairs on this folder")
    parser.add_argument("--cache", type=Path, default=Path(".museed/evaluation"), help="where window vectors are kept")
    parser.add_argument("--artifacts", type=Path, default=Path(".museed/artifacts"), help="where wheels are unpacked")
    return parser


if __name__ == "__main__":
    sys.exit(main())
