"""Finds recordings that are learnt from and judged under two names: `python -m training.twins --music DIR`.

Free music goes from game to game, cut, encoded and named anew, so neither names nor digests tell. Both `musicnn`
networks hear every piece; the same recording has nearly the same vector, whatever the codec.
"""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.embedder.errors import ArtifactInvalid, EncoderUnavailable
from services.embedder.model import Float32Array, unit
from training.catalogue import Split, Track
from training.errors import TrainingError
from training.evaluation.baselines import JOINED
from training.evaluation.collection import Embedding
from training.evaluation.command import STOPPED, describe_encoders
from training.evaluation.store import VectorStore
from training.manifest import Entry, list_music

# Two encodings of one recording have 0.98 and more; two pieces of one composer seldom 0.9.
LEAST_COSINE = 0.9


@dataclass(frozen=True, slots=True)
class TwinPair:
    """A piece that is judged, and the nearest of those that are learnt from.

    Attributes:
        judged: Its path.
        learnt: The other's path.
        cosine: Of their vectors without the mean of all music.
    """

    judged: str
    learnt: str
    cosine: float


def find_twins(entries: Sequence[Entry], vectors: Float32Array, least_cosine: float = LEAST_COSINE) -> list[TwinPair]:
    """Return judged pieces that something learnt is too near to, the nearest first.

    Args:
        entries: Pieces with their splits.
        vectors: Of each, shape (entries, dim).
        least_cosine: What is too near.
    """
    is_learnt = np.array([entry.split is Split.TRAIN for entry in entries], bool)
    learnt, judged = (np.flatnonzero(are).tolist() for are in (is_learnt, ~is_learnt))
    if not learnt or not judged:
        return []
    centred = unit(unit(vectors) - unit(vectors).mean(axis=0))
    cosines = centred[judged] @ centred[learnt].T  # (judged, learnt)
    nearest = cosines.argmax(axis=1)
    pairs = [
        TwinPair(entries[one].path, entries[learnt[other]].path, float(cosines[row, other]))
        for row, (one, other) in enumerate(zip(judged, nearest, strict=True))
    ]
    return sorted((pair for pair in pairs if pair.cosine >= least_cosine), key=lambda pair: -pair.cosine)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the pairs to listen to; 0: there are none, 1: there are, 2: it cannot run, 130: it was stopped."""
    options = _parser().parse_args(arguments)
    try:
        entries = list_music(options.music).entries
        encoders = describe_encoders([JOINED], options.artifacts)
        tracks = [Track(entry.path, entry.group, "", "none", "", "", "", entry.seconds) for entry in entries]
        collection = Embedding(options.music, VectorStore(options.cache)).collect(tracks, encoders)
    except (ArtifactInvalid, EncoderUnavailable, TrainingError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        return 130
    by_path = {entry.path: entry for entry in entries}
    kept = [by_path[track.path] for track in collection.tracks]
    vectors = np.stack([one.vector for one in collection.vectors[JOINED]]) if kept else np.zeros((0, 1), np.float32)
    for failure in collection.failures:
        print(f"left out: {failure.path}: {failure.reason}", file=sys.stderr)
    learnt = sum(entry.split is Split.TRAIN for entry in kept)
    if not 0 < learnt < len(kept):
        print(f"nothing to compare: {learnt} pieces are learnt from, {len(kept) - learnt} judged", file=sys.stderr)
        return 2
    twins = find_twins(kept, vectors, options.cosine)
    for pair in twins:
        print(f"{pair.cosine:.3f}  judged {pair.judged}  learnt {pair.learnt}")
    print(f"{len(twins)} judged pieces have a learnt one at {options.cosine:g} or nearer, of {len(kept)} pieces in all")
    return 1 if twins else 0


def _cosine(text: str) -> float:
    with contextlib.suppress(ValueError):
        if -1 <= (cosine := float(text)) <= 1:
            return cosine
    raise argparse.ArgumentTypeError(f"{text!r}, it must be from -1 to 1")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.twins", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--music", type=Path, required=True, help="folder of music, as training gets it")
    parser.add_argument(
        "--cosine", type=_cosine, default=LEAST_COSINE, help="from which on a pair is told (default: 0.9)"
    )
    parser.add_argument("--cache", type=Path, default=Path(".museed/evaluation"), help="where vectors are kept")
    parser.add_argument("--artifacts", type=Path, default=Path(".museed/artifacts"), help="where wheels are unpacked")
    return parser


if __name__ == "__main__":
    sys.exit(main())
