"""Compares encoders by ear, blind: `python -m training.listening_test --music DIR --encoder A --encoder B`.

Makes playlists of a few seeds with each encoder, writes them with excerpts into one folder, and serves it on this
machine. `--report FILE` prints what the ratings say.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from services.embedder.choice import MINI_FOLDER
from services.embedder.errors import ArtifactInvalid, AudioError, EncoderUnavailable
from training.catalogue import LABELS_FILE, Track
from training.errors import TrainingError
from training.evaluation.collection import Collection, Embedding
from training.evaluation.command import REFERENCE, STOPPED, Encoders, describe_encoders
from training.evaluation.labels import read_labels
from training.evaluation.store import VectorStore
from training.listening.excerpts import SUFFIX, write_excerpt
from training.listening.library import list_library
from training.listening.playlists import ListeningTestImpossible, PlaylistRules, choose_seeds, make_playlist
from training.listening.ratings import read_ratings
from training.listening.report import table
from training.listening.server import serve
from training.listening.study import KEY_FILE, Plan, Playlist, StudyInvalid, read_key, write_study
from training.progress import Progress

DEFAULT_PORT = 8077


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when all went well, 2 when it cannot run, 130 when it was stopped while it prepared."""
    options = _parse(arguments)
    try:
        if options.report:
            print(table(read_key(options.report.parent), read_ratings(options.report)))
            return 0
        prepare(options)
        if not options.prepare_only:
            serve(options.out, options.port)
    except (TrainingError, ArtifactInvalid, AudioError, EncoderUnavailable, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        return 130
    return 0


def prepare(options: argparse.Namespace) -> None:
    """Write the test's folder, unless it holds this very test already; blocks for up to hours, see `Embedding.collect`.

    Raises:
        StudyInvalid: The folder holds another test.
        ListeningTestImpossible: The music or the choices allow no comparison.
    """
    encoders = describe_encoders(_names(options.encoder), options.artifacts)
    if len(encoders) < 2:
        raise ListeningTestImpossible("one encoder cannot be compared: name two or three")
    made_of = _made_of(options, encoders)
    if (options.out / KEY_FILE).is_file():
        if read_key(options.out).made_of == made_of:
            return
        raise StudyInvalid(f"{options.out} holds a test of other music, encoders or seeds: name another --out")
    tracks = list_library(options.music, read_labels(options.labels))
    collection = Embedding(options.music, VectorStore(options.cache)).collect(tracks, encoders)
    _tell_left_out(collection)
    with tempfile.TemporaryDirectory() as drafts:
        plan, excerpts = _plan(options, made_of, collection, Path(drafts))
        write_study(options.out, plan, collection.tracks, excerpts)


def make_plan(made_of: Mapping[str, Any], collection: Collection, seeds: Sequence[int], rules: PlaylistRules) -> Plan:
    """Have every encoder answer every seed."""
    vectors = {name: np.stack([one.vector for one in found]) for name, found in collection.vectors.items()}
    playlists = tuple(
        tuple(
            Playlist(name, tuple(make_playlist(collection.tracks, of_encoder, seed, rules)))
            for name, of_encoder in vectors.items()
        )
        for seed in seeds
    )
    return Plan(made_of, tuple(seeds), playlists)


def _plan(
    options: argparse.Namespace, made_of: Mapping[str, Any], collection: Collection, drafts: Path
) -> tuple[Plan, dict[int, Path]]:
    rules = PlaylistRules(options.length, options.per_soundtrack)
    if not collection.tracks:
        raise ListeningTestImpossible(f"{options.music} holds no music of 30 s and more that can be read")
    seeds = choose_seeds(collection.tracks, options.seeds, options.seed, options.seed_track)
    plan = make_plan(made_of, collection, seeds, rules)
    positions = plan.positions()
    excerpts = {}
    with Progress("cutting excerpts", len(positions), "tracks") as progress:
        for position in positions:
            track: Track = collection.tracks[position]
            excerpts[position] = drafts / f"{position}{SUFFIX}"
            write_excerpt(
                options.music / track.path, excerpts[position], track.duration_seconds, options.excerpt_seconds
            )
            progress.advance(track.path)
    return plan, excerpts


def _names(chosen: Sequence[str]) -> list[str]:
    """Name the encoders to compare; museed-mini is the folder that it ships in."""
    mini = MINI_FOLDER.name
    default = [REFERENCE, mini if MINI_FOLDER.is_dir() else "musicnn-mtt"]
    names = list(dict.fromkeys(chosen or default))
    if len(names) > 3:
        raise ListeningTestImpossible(
            f"{len(names)} encoders are more than a listener can keep apart: name two or three"
        )
    return [str(MINI_FOLDER) if name == mini else name for name in names]


def _made_of(options: argparse.Namespace, encoders: Encoders) -> dict[str, Any]:
    return {
        "music": str(options.music.resolve()),
        "encoders": sorted(manifest.encoder_id for _, manifest in encoders.values()),
        "seeds": options.seeds,
        "seed": options.seed,
        "seed_tracks": options.seed_track,
        "length": options.length,
        "per_soundtrack": options.per_soundtrack,
        "excerpt_seconds": options.excerpt_seconds,
    }


def _tell_left_out(collection: Collection) -> None:
    for failure in collection.failures:
        print(f"left out: {failure.path}: {failure.reason}", file=sys.stderr)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.listening_test", description=__doc__)
    parser.add_argument("--music", type=Path, help="folder of the music to choose from")
    parser.add_argument("--encoder", action="append", default=[], metavar="NAME_OR_FOLDER", help="two or three of them")
    parser.add_argument("--seeds", type=int, default=5, help="how many seed tracks")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of seed tracks")
    parser.add_argument(
        "--seed-track", action="append", default=[], metavar="PATH", help="below --music: take this one"
    )
    parser.add_argument("--length", type=int, default=10, help="tracks of a playlist")
    parser.add_argument("--per-soundtrack", type=int, default=2, help="most tracks of one soundtrack in a playlist")
    parser.add_argument("--excerpt-seconds", type=float, default=30.0, help="how long each track is heard")
    parser.add_argument("--out", type=Path, default=Path(".museed/listening"), help="the test's folder")
    parser.add_argument("--cache", type=Path, default=Path(".museed/evaluation"), help="where vectors are kept")
    parser.add_argument("--artifacts", type=Path, default=Path(".museed/artifacts"), help="where wheels are unpacked")
    parser.add_argument("--labels", type=Path, default=LABELS_FILE, help="a catalogue of other music")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--prepare-only", action="store_true", help="write the folder and do not serve it")
    parser.add_argument("--report", type=Path, metavar="FILE", help="print what a test's ratings.jsonl says, and stop")
    options = parser.parse_args(arguments)
    if options.report is None and (options.music is None or not options.music.is_dir()):
        parser.error("--music must name a folder")
    if min(options.seeds, options.length, options.per_soundtrack) < 1 or options.excerpt_seconds < 3:
        parser.error("--seeds, --length and --per-soundtrack are at least 1, --excerpt-seconds at least 3")
    return options


if __name__ == "__main__":
    sys.exit(main())
