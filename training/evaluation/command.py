"""Judges encoders on a folder of music and prints one table: `python -m training.evaluate --music DIR`.

With `--strategies` it judges how windows are cut and aggregated instead, and what that costs; with `--playlists` what
the rules of playlists make of the vectors. What encoders made of
files is kept, so that a second run takes seconds. Labels are those of `catalogue`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from services.embedder import mini
from services.embedder.artifact import Manifest
from services.embedder.choice import MINI_FOLDER
from services.embedder.errors import ArtifactInvalid, EncoderUnavailable
from training.aggregator_config import load_aggregator_config
from training.catalogue import LABELS_FILE, NOT_MUSIC, Split, Track, present
from training.config_file import AGGREGATOR_CONFIG
from training.errors import TrainingError
from training.evaluation import baselines, paths, playlists, postprocessing, sections, strategies
from training.evaluation.collection import Collection, Embedding, joined_first
from training.evaluation.encoders import EncoderChoice
from training.evaluation.labels import count_unjudged, read_labels
from training.evaluation.picture import draw_maps
from training.evaluation.report import TABLE_JSON, Report, compare, read_table
from training.evaluation.robustness import TRACKS, choose_tracks
from training.evaluation.store import VectorStore
from training.evaluation.tunes import Tune, find_tunes, kept_tracks

REFERENCE = "musicnn-msd"
PICTURE_FILE = "maps.png"
STOPPED = "Stopped; what is embedded is kept."
_DEFAULT_ENCODERS = (baselines.MFCC, baselines.UNTRAINED_MINI, REFERENCE, "musicnn-mtt", baselines.JOINED)
_BASELINES = frozenset({baselines.MFCC, baselines.UNTRAINED_MINI})
# What one of the two commands heeds and the other does not, with its default.
_OF_ENCODERS = {"split": None, "pieces": "all", "variants": TRACKS}
_OF_STRATEGIES = {
    "strategy": strategies.STRATEGIES,
    "aggregator": AGGREGATOR_CONFIG,
    "work": Path(".museed/training"),
}

Encoders = dict[str, tuple[EncoderChoice, Manifest]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0: all went well, 1: --check finds a difference, 2: it cannot run, 130: it was stopped."""
    options = _parse(arguments)
    try:
        return _run(options)
    except (ArtifactInvalid, EncoderUnavailable) as error:
        print(f"{error.reason}: {error}", file=sys.stderr)
    except TrainingError as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        return 130
    return 2


def _run(options: argparse.Namespace) -> int:
    committed = read_table(options.out / TABLE_JSON) if options.check else None
    catalogue = read_labels(options.labels)
    tracks = present(catalogue, options.music)
    if not any(track.is_labelled for track in tracks):
        raise TrainingError(f"{options.music} holds none of the labelled pieces of {options.labels}")
    if options.strategies:
        return _run_strategies(options, tracks, catalogue)
    embedding = Embedding(options.music, VectorStore(options.cache))
    if options.playlists:
        return _run_playlists(options, embedding, tracks)
    encoders = describe_encoders(_choices(options), options.artifacts)
    tunes = find_tunes([track for track in tracks if track.family != NOT_MUSIC], catalogue)
    if options.pieces == "labelled":
        tunes = [tune for tune in tunes if tune.kept.is_labelled]
    report, collection = judge(embedding, tunes, encoders, _splits(options.split), options.variants)
    if unjudged := count_unjudged(tracks):
        report.facts.append(unjudged)
    if missing := len(catalogue) - len(tracks):
        report.facts.append(f"{missing} of {len(catalogue)} pieces are not in the folder.")
    print(report.text())
    if committed is not None:
        return _tell_differences(compare(report, committed))
    report.write(options.out)
    draw_maps(options.out / PICTURE_FILE, *sections.family_vectors(collection))
    return 0


def _run_strategies(options: argparse.Namespace, tracks: Sequence[Track], catalogue: Sequence[Track]) -> int:
    tunes = find_tunes([track for track in tracks if track.family != NOT_MUSIC], catalogue)
    labelled = [track for track in kept_tracks(tunes) if track.is_labelled]
    encoders = options.encoder or [mini.NAME]
    folders = strategies.Folders(options.music, options.artifacts, options.cache, options.work)
    report = strategies.judge_strategies(
        [*encoders, str(options.muq)] if options.muq else encoders,
        labelled,
        folders,
        load_aggregator_config(options.aggregator),
        options.strategy,
    )
    print(report.text(strategies.TITLE))
    report.write(options.out, strategies.STEM, strategies.TITLE)
    return 0


def _run_playlists(options: argparse.Namespace, embedding: Embedding, tracks: Sequence[Track]) -> int:
    encoders = describe_encoders(options.encoder or [mini.NAME], options.artifacts)
    # Pieces that are there twice stay: telling them apart is what one of the rules is for.
    collection = embedding.collect([track for track in tracks if track.family != NOT_MUSIC], encoders)
    tables = [
        table(name, collection.tracks, postprocessing.pooled(vectors))
        for name, vectors in collection.vectors.items()
        for table in (playlists.playlist_table, paths.path_table)
    ]
    ids = {name: manifest.encoder_id for name, manifest in collection.manifests.items()}
    facts = [f"{failure.path.name} is left out: {failure.reason}." for failure in collection.failures]
    report = Report([*facts, *(f"{name} is {encoder_id}." for name, encoder_id in ids.items())], ids, tables)
    print(report.text(playlists.TITLE))
    report.write(options.out, playlists.STEM, playlists.TITLE)
    return 0


def judge(
    embedding: Embedding,
    tunes: Sequence[Tune],
    encoders: Encoders,
    splits: Sequence[Split | None],
    variant_tracks: int = TRACKS,
) -> tuple[Report, Collection]:
    """Embed tunes with all encoders and make the report; blocks for up to hours where nothing is kept yet.

    Args:
        embedding: Of the folder that the pieces lie in.
        tunes: Whose kept pieces are there.
        encoders: By name; one of them is the reference.
        splits: Whose tracks ask; None is every part.
        variant_tracks: How many tracks robustness is measured with; 0 leaves it out.
    """
    collection = embedding.collect(kept_tracks(tunes), encoders)
    asking = {split: (collection.labelled() & collection.in_split(split)).any() for split in splits}
    splits = [split for split, any_ask in asking.items() if any_ask]
    reference = REFERENCE if REFERENCE in encoders else next(iter(encoders))
    tables = [sections.retrieval_table(collection, split, reference) for split in splits]
    learnt = [name for name in encoders if name not in _BASELINES]
    # Joined networks are two encoders side by side already.
    pairs = [name for name in learnt if name != baselines.JOINED]
    # What to take is chosen by this table, so it is of the part that such choices are for, where that is there.
    choosing = [Split.VALIDATION] if Split.VALIDATION in splits else splits[:1]
    tables += [sections.postprocessing_table(collection, split, learnt, pairs, reference) for split in choosing]
    tables.append(sections.space_table(collection))
    if chosen := choose_tracks(collection.tracks, variant_tracks):
        found = {name: embedding.collect_variants(chosen, name, *encoders[name]) for name in joined_first(encoders)}
        tables.append(sections.robustness_table({name: found[name] for name in encoders}))
    ids = {name: manifest.encoder_id for name, manifest in collection.manifests.items()}
    facts = _facts(collection, tunes, ids)
    facts += [f"Nothing of the {split} part can ask." for split, any_ask in asking.items() if split and not any_ask]
    return Report(facts, ids, tables), collection


def describe_encoders(names: Sequence[str], artifacts_folder: Path) -> Encoders:
    """Load each encoder once to learn what it is; keyed by its short name, or its id where two share that.

    Raises:
        ArtifactInvalid: A folder is not what its manifest says.
        EncoderUnavailable: There is no such encoder, or something is not installed.
    """
    choices = [EncoderChoice(name, artifacts_folder) for name in dict.fromkeys(names)]
    described = [(choice, choice.load().manifest) for choice in choices]
    short = [manifest.name for _, manifest in described]
    return {
        manifest.name if short.count(manifest.name) == 1 else manifest.encoder_id: (choice, manifest)
        for choice, manifest in described
    }


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("--music", type=Path, required=True, help="folder that the paths of the labels are below")
    parser.add_argument(
        "--encoder", action="append", default=[], metavar="NAME_OR_FOLDER", help="judge these instead of the usual ones"
    )
    parser.add_argument("--muq", type=Path, help="a folder of MuQ-large, judged as well")
    parser.add_argument("--split", choices=[*Split, "all"], help="whose tracks ask; without it, each split and all")
    parser.add_argument("--out", type=Path, default=Path("training/results"), help="where the tables go")
    parser.add_argument("--cache", type=Path, default=Path(".museed/evaluation"), help="where vectors are kept")
    parser.add_argument("--artifacts", type=Path, default=Path(".museed/artifacts"), help="where wheels are unpacked")
    parser.add_argument("--labels", type=Path, default=LABELS_FILE, help="a catalogue of other music")
    parser.add_argument(
        "--pieces", choices=["all", "labelled"], help="all without it; labelled: less than half the sound, no hubs"
    )
    parser.add_argument("--variants", type=int, help=f"tracks to measure robustness with, {TRACKS}; 0 for none")
    parser.add_argument("--check", action="store_true", help="compare with the tables in --out instead of writing them")
    parser.add_argument("--strategies", action="store_true", help="judge windows and aggregation instead of encoders")
    parser.add_argument("--playlists", action="store_true", help="judge the rules of playlists instead of encoders")
    parser.add_argument("--strategy", action="append", choices=strategies.STRATEGIES, help="only these of --strategies")
    parser.add_argument("--aggregator", type=Path, help="a TOML file: how transformers of --strategies are taught")
    parser.add_argument("--work", type=Path, help="where transformers of --strategies are taught")
    options = parser.parse_args(arguments)
    if options.playlists and (options.check or options.strategies):
        parser.error("--playlists goes neither with --check nor with --strategies")
    if options.check and options.strategies:
        parser.error("--check is for the tables of encoders: memory and time of --strategies differ by machine")
    _settle(options, parser)
    if options.check and options.pieces != "all":
        parser.error("--check needs --pieces all: centring and z-scores are of all pieces that train")
    return options


def _settle(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Refuse what this command does not heed, and fill in defaults."""
    for name in _OF_ENCODERS if options.strategies else _OF_STRATEGIES:
        if getattr(options, name) is not None:
            parser.error(f"--{name} does nothing {'with' if options.strategies else 'without'} --strategies")
    for name, default in (_OF_ENCODERS | _OF_STRATEGIES).items():
        if getattr(options, name) is None:
            setattr(options, name, default)


def _choices(options: argparse.Namespace) -> list[str]:
    chosen = [*options.encoder, REFERENCE] if options.encoder else list(_DEFAULT_ENCODERS)
    if not options.encoder and MINI_FOLDER.is_dir():
        chosen.append(mini.NAME)
    return [*chosen, str(options.muq)] if options.muq else chosen


def _splits(choice: str | None) -> list[Split | None]:
    if choice is None:
        return [None, Split.TEST, Split.VALIDATION]
    return [None if choice == "all" else Split(choice)]


def _facts(collection: Collection, tunes: Sequence[Tune], ids: dict[str, str]) -> list[str]:
    merged = [tune for tune in tunes if tune.merged]
    facts = [
        f"{len(collection.tracks)} pieces, one a tune, {int(collection.labelled().sum())} of them with a family.",
        "Encoders: " + ", ".join(f"{name} ({encoder_id})" for name, encoder_id in ids.items()) + ".",
    ]
    for tune in merged:
        facts.append(f"Counted once: {tune.kept.path}, for {', '.join(track.path for track in tune.merged)}.")
    return facts + [f"Left out: {failure.path.name}: {failure.reason}" for failure in collection.failures]


def _tell_differences(differing: Sequence[str]) -> int:
    for line in differing:
        print(line, file=sys.stderr)
    print(f"{len(differing)} figures differ" if differing else "the committed table holds", file=sys.stderr)
    return 1 if differing else 0
