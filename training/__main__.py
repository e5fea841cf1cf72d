"""Makes a model from a folder of music: lists it, makes takes, learns, and writes an artifact to serve.

    python -m training --config mini --music DIR [--work DIR] [--minutes 135] [--section.key=value …]

Called again it goes on where it was: with the takes, then from the checkpoint.
"""

import argparse
import contextlib
import math
import os
import shutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from services.embedder.artifact import ENCODER_NAME, MANIFEST_FILE
from training.config import Config
from training.config_file import CONFIGS, config_names, load_config
from training.errors import ConfigInvalid, TrainingError
from training.evaluation.postprocessing import SHARPNESS
from training.work_folder import taken

_TEMPORARY_FAILURE = 75  # EX_TEMPFAIL: call again


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is left to do; returns 0 when the artifact is written, 75 when a further leg is needed."""
    options, overrides = _parser().parse_known_args(arguments)
    try:
        path = CONFIGS / f"{options.config}.toml"
        config = load_config(path if path.is_file() else Path(options.config), overrides)
        _check_target(options)
        with taken(options.work):
            return _run(config, options)
    except (TrainingError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Call it again to go on.", file=sys.stderr)
        return 130


def _run(config: Config, options: argparse.Namespace) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what muq and its packages import
        import torch

        from training.corpus import Corpus
        from training.export import ExportOptions, export_checkpoint
        from training.prepare import prepare
        from training.train import CHECKPOINT_FILE, TAKES_FOLDER, train

    torch.set_num_threads(options.threads)
    takes = prepare(config, options.music, options.work)
    if not train(config, options.work, takes, minutes=options.minutes):
        print(f"The checkpoint is {options.work / CHECKPOINT_FILE}. Call it again to go on.")
        return _TEMPORARY_FAILURE
    folder = _target(options)
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    artifact = export_checkpoint(
        options.work / CHECKPOINT_FILE,
        config,
        Corpus(options.work / TAKES_FOLDER),
        takes,
        draft,
        ExportOptions(options.name, options.vector, not options.raw, options.sharpness),
    )
    if folder.is_dir():
        shutil.rmtree(folder)
    draft.rename(folder)
    size_mb = (folder / artifact.weights_path.name).stat().st_size / 1e6
    print(f"{artifact.manifest.encoder_id}: {artifact.manifest.dim} dimensions, {size_mb:.1f} MB in {folder}")
    print(f"Serve it: MUSEED_ENCODER={folder.resolve()} museed up --state .museed-mini")
    return 0


def _target(options: argparse.Namespace) -> Path:
    folder: Path = options.out or options.work / options.name
    return folder


def _check_target(options: argparse.Namespace) -> None:
    """Refuse, before hours of learning, what the artifact cannot be written to.

    Raises:
        ConfigInvalid: A name that no encoder can have, or a folder that holds something else.
    """
    if not ENCODER_NAME.fullmatch(options.name):
        raise ConfigInvalid(f"--name is {options.name!r}, it must match {ENCODER_NAME.pattern}")
    folder = _target(options)
    is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    is_earlier_artifact = (folder / MANIFEST_FILE).is_file()
    if not (is_free or is_earlier_artifact):
        raise ConfigInvalid(f"{folder} is there and is no model folder: name another one with --out")


def _sharpness(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (sharpness := float(text)) <= 1:
            return sharpness
    raise argparse.ArgumentTypeError(f"{text!r}, it must be from 0 to 1")


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{count}, the minimum is 1")
    return count


def _minutes(text: str) -> float:
    minutes = float(text)
    if not minutes >= 0:
        raise argparse.ArgumentTypeError(f"{text}, the minimum is 0")
    return minutes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description=(__doc__ or "").partition("\n")[0],
        epilog="Every value of the configuration can be set: --run.steps=100 --network.encoder_dim=64",
        allow_abbrev=False,
    )
    configs = ", ".join(config_names())
    parser.add_argument("--config", default="mini", help=f"one of {configs}, or a file (default: mini)")
    parser.add_argument("--music", type=Path, required=True, help="folder of music")
    parser.add_argument("--work", type=Path, default=Path(".museed/training/mini"), help="takes, checkpoint, metrics")
    parser.add_argument("--minutes", type=_minutes, default=math.inf, help="stop learning after so long, resumably")
    parser.add_argument("--threads", type=_count, default=len(os.sched_getaffinity(0)), help="of the network")
    parser.add_argument("--name", default="museed-mini", help="of the encoder")
    parser.add_argument("--out", type=Path, help="folder of the artifact (default: NAME below the work folder)")
    parser.add_argument(
        "--vector", choices=("msd", "joined", "pooled"), default="joined", help="which outputs are served"
    )
    parser.add_argument("--raw", action="store_true", help="do not subtract the mean of all tracks")
    parser.add_argument(
        "--sharpness",
        type=_sharpness,
        default=SHARPNESS,
        help=f"more of what music differs in most, 0 to 1, of an encoder with a vector head (default: {SHARPNESS})",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
