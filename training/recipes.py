"""Plans which takes a corpus gets, and makes the sound of each; the same plan every time."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from training.catalogue import Split
from training.corpus import Kind, Take
from training.errors import TrainingError
from training.manifest import Entry
from training.renders import SAMPLE_RATE_HZ as RENDER_RATE_HZ
from training.renders import render
from training.variation import mix, vary

Float32Array = NDArray[np.float32]

SAMPLE_RATE_HZ = 24_000
CHAPTER_SECONDS = 60
_SHORTEST_CHAPTER_S = 12
# Below −60 dBFS nothing is heard, as in the embedder.
_SILENCE_RMS = 1e-3
# A segment that is changed to be shorter must still fill the take: 2 ** 0.45, and a little.
_RESERVE = 1.4


class SoundUnusable(TrainingError):
    """A file, or the part of it that is wanted, cannot be learnt from; the text says why."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a file.

    Attributes:
        path: Relative to the music folder.
        group: Its soundtrack.
        start_s: Where it begins.
        seconds: How long it is.
    """

    path: str
    group: str
    start_s: float
    seconds: float

    def __str__(self) -> str:
        return f"{self.path}@{self.start_s:.0f}+{self.seconds:.0f}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make one take.

    Attributes:
        kind: What is done.
        split: What the take is for.
        seconds: Length of the take; originals may be a little shorter.
        segments: What it is made of: one, two for a mix, none for a render.
        seed: Decides every change; 0 for originals.
    """

    kind: Kind
    split: Split
    seconds: float
    segments: tuple[Segment, ...]
    seed: int = 0

    @property
    def take_id(self) -> str:
        """Kind and a digest of everything that makes the sound."""
        told = f"{self.kind} {self.seconds} {self.seed} {' '.join(map(str, self.segments))}"
        return f"{self.kind}-{sha256(told.encode()).hexdigest()[:16]}"

    def describe(self, seconds: float) -> Take:
        """Tell what the take is, once its length is known."""
        group = self.segments[0].group if self.segments else f"render:{self.seed}"
        return Take(self.take_id, self.kind, self.split, group, " ".join(map(str, self.segments)), seconds)


def plan_originals(entries: Sequence[Entry], *, most_chapters: int = 0) -> list[Recipe]:
    """Cut files into chapters of a minute: all of them, or so many from the middle of each file."""
    recipes: list[Recipe] = []
    for entry in entries:
        starts = list(range(0, max(1, int(entry.seconds)), CHAPTER_SECONDS))
        if len(starts) > 1 and entry.seconds - starts[-1] < _SHORTEST_CHAPTER_S:
            starts.pop()
        if most_chapters and len(starts) > most_chapters:
            first = (len(starts) - most_chapters) // 2
            starts = starts[first : first + most_chapters]
        for start in starts:
            seconds = float(min(CHAPTER_SECONDS, int(entry.seconds - start)))
            segment = Segment(entry.path, entry.group, start, seconds)
            recipes.append(Recipe(Kind.ORIGINAL, entry.split, seconds, (segment,)))
    return recipes


def plan_changes(entries: Sequence[Entry], *, kind: Kind, count: int, seconds: float, seed: int) -> list[Recipe]:
    """Draw segments to be varied or mixed: soundtracks evenly by the square root of their length, then files."""
    generator = np.random.default_rng([seed, list(Kind).index(kind)])  # a longer plan begins as a shorter one
    by_group: dict[str, list[Entry]] = {}
    for entry in entries:
        by_group.setdefault(entry.group, []).append(entry)
    groups = sorted(by_group)
    weights = np.sqrt([sum(entry.seconds for entry in by_group[group]) for group in groups])

    def draw() -> Segment:
        group = groups[generator.choice(len(groups), p=weights / weights.sum())]
        entry = by_group[group][generator.integers(len(by_group[group]))]
        wanted = min(seconds * _RESERVE, entry.seconds)
        return Segment(entry.path, group, float(generator.uniform(0, max(0.0, entry.seconds - wanted))), wanted)

    recipes = []
    for _ in range(count):
        segments = (draw(), draw()) if kind is Kind.MIXED else (draw(),)
        recipes.append(Recipe(kind, Split.TRAIN, seconds, segments, int(generator.integers(1, 2**31))))
    return recipes


def plan_renders(*, count: int, seconds: float, seed: int) -> list[Recipe]:
    """Number the renders; the seed of each decides everything of it."""
    return [Recipe(Kind.RENDERED, Split.TRAIN, seconds, (), seed * 1_000_000 + at + 1) for at in range(count)]


def make_sound(recipe: Recipe, music: Path) -> Float32Array:
    """Make the sound of a recipe; blocks for up to a second.

    Returns:
        Mono at 24 kHz, shape (samples,), at most recipe.seconds long and a whole number of seconds.

    Raises:
        SoundUnusable: A file cannot be read, or is silent there.
    """
    generator = np.random.default_rng(recipe.seed)
    if recipe.kind is Kind.RENDERED:
        sound = soxr.resample(render(recipe.seed, recipe.seconds + 1), RENDER_RATE_HZ, SAMPLE_RATE_HZ, quality="HQ")
    else:
        sounds = [read_segment(segment, music) for segment in recipe.segments]
        if recipe.kind is not Kind.ORIGINAL:
            sounds = [vary(sound, SAMPLE_RATE_HZ, generator) for sound in sounds]
        sound = sounds[0]
        for other in sounds[1:]:
            sound = mix(sound, other, -abs(float(generator.normal(0, 5))))
    whole_s = min(int(recipe.seconds), int(len(sound) / SAMPLE_RATE_HZ))
    sound = np.asarray(sound[: whole_s * SAMPLE_RATE_HZ], np.float32)
    if whole_s < _SHORTEST_CHAPTER_S:
        raise SoundUnusable(f"{recipe.take_id} has {whole_s} s, the minimum is {_SHORTEST_CHAPTER_S} s")
    if not np.isfinite(sound).all():
        raise SoundUnusable(f"{recipe.take_id} holds samples that are not finite")
    if float(np.sqrt(np.mean(np.square(sound)))) < _SILENCE_RMS:
        raise SoundUnusable(f"{recipe.take_id} is silent")
    return sound


def read_segment(segment: Segment, music: Path) -> Float32Array:
    """Read a part of a file, mixed to mono, at 24 kHz.

    Raises:
        SoundUnusable: The file cannot be read.
    """
    try:
        with soundfile.SoundFile(str(music / segment.path)) as file:
            file.seek(min(int(segment.start_s * file.samplerate), file.frames))
            frames = file.read(int(segment.seconds * file.samplerate), dtype="float32", always_2d=True)
            rate_hz = file.samplerate
    except (soundfile.LibsndfileError, OSError) as error:
        raise SoundUnusable(f"{segment.path}: {error}") from error
    resampled: Float32Array = soxr.resample(frames.mean(axis=1), rate_hz, SAMPLE_RATE_HZ, quality="HQ")
    return resampled
