"""Fills a corpus with every take of a plan, on all cores; what is there already is kept."""

import contextlib
import json
import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from training.catalogue import Split
from training.config import CorpusConfig
from training.corpus import Content, Corpus, Kind
from training.manifest import Entry, Manifest
from training.progress import Progress
from training.recipes import (
    SAMPLE_RATE_HZ,
    Recipe,
    SoundUnusable,
    make_sound,
    plan_changes,
    plan_originals,
    plan_renders,
)
from training.teacher import SAMPLE_RATE_HZ as TEACHER_RATE_HZ
from training.teacher import Teachers

LEFT_OUT_FILE = "left-out.jsonl"


@dataclass(frozen=True, slots=True)
class _Job:
    recipe: Recipe
    music: Path
    folder: Path


def plan(manifest: Manifest, config: CorpusConfig) -> list[Recipe]:
    """List every take: originals, and so many varied, mixed and rendered ones in turn."""
    training = _some(manifest.of(Split.TRAIN), config.files)
    recipes = plan_originals(training, most_chapters=config.train_chapters)
    validation = _some(manifest.of(Split.VALIDATION), config.files)
    recipes += plan_originals(validation, most_chapters=config.validation_chapters)
    made = [
        plan_changes(training, kind=Kind.VARIED, count=config.varied, seconds=config.take_seconds, seed=config.seed),
        plan_changes(training, kind=Kind.MIXED, count=config.mixed, seconds=config.take_seconds, seed=config.seed),
        plan_renders(count=config.rendered, seconds=config.take_seconds, seed=config.seed),
    ]
    longest = max(map(len, made))
    return recipes + [some[at] for at in range(longest) for some in made if at < len(some)]


def _some(entries: list[Entry], files: int) -> list[Entry]:
    return entries if not files else entries[:: -(-len(entries) // files)]


def make_corpus(
    recipes: Sequence[Recipe], music: Path, corpus: Corpus, *, artifacts: Path, workers: int = 0
) -> set[str]:
    """Make the takes that are missing. Ctrl-C stops after those in work; the next call goes on.

    What cannot be learnt from is listed in `left-out.jsonl` in the folder, and not tried again.

    Args:
        recipes: What to make.
        music: The music folder.
        corpus: Where to.
        artifacts: Where the teachers' weights are unpacked.
        workers: Processes; 0 takes one a core.

    Returns:
        The ids of the recipes that are left out, in this call and earlier ones.
    """
    left_out_path = corpus.folder / LEFT_OUT_FILE
    left_out = read_left_out(left_out_path)
    missing = [one for one in recipes if one.take_id not in corpus and one.take_id not in left_out]
    Teachers(artifacts)  # unpacks the weights once, before many processes would
    if missing:
        jobs = [_Job(recipe, music, corpus.folder) for recipe in missing]
        context = multiprocessing.get_context("spawn")
        processes = workers or len(os.sched_getaffinity(0))
        with (
            Progress("making takes", len(missing), "takes") as progress,
            left_out_path.open("a", encoding="utf-8") as log,
            context.Pool(processes, _start_worker, (artifacts,)) as pool,
        ):
            for take_id, reason in pool.imap_unordered(_make_take, jobs):
                if reason is not None:
                    left_out.add(take_id)
                    log.write(json.dumps({"take_id": take_id, "reason": reason}) + "\n")
                    log.flush()
                progress.advance()
    return left_out & {recipe.take_id for recipe in recipes}


def read_left_out(path: Path) -> set[str]:
    """Return the ids of what no take could be made of; empty where there is no such file."""
    if not path.is_file():
        return set()
    found = set()
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        with contextlib.suppress(ValueError, KeyError, TypeError):  # half a line of a killed run: it is tried again
            found.add(str(json.loads(line)["take_id"]))
    return found


_MelFrames = Callable[[np.ndarray], np.ndarray]
_worker: tuple[Teachers, _MelFrames]


def _start_worker(artifacts: Path) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops the pool
    import torch

    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what muq imports
        from training.network import mel_frames
    _worker = (Teachers(artifacts), mel_frames)


def _make_take(job: _Job) -> tuple[str, str | None]:
    teachers, mel_frames = _worker
    try:
        sound = make_sound(job.recipe, job.music)
    except SoundUnusable as error:
        return job.recipe.take_id, str(error)
    heard = teachers.hear(soxr.resample(sound, SAMPLE_RATE_HZ, TEACHER_RATE_HZ, quality="HQ"))
    content = Content(mel_frames(sound), heard.vectors.astype(np.float16), heard.tags.astype(np.float16))
    Corpus(job.folder).add(job.recipe.describe(len(sound) / SAMPLE_RATE_HZ), content)
    return job.recipe.take_id, None
