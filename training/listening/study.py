"""A listening test as a folder: a page with opaque ids for the listener, and the key to them outside of the page.

STUDY/public/    the page, `study.json` and `audio/`: everything that a browser may see
STUDY/key.json   which encoder made which playlist; what the test was made of
STUDY/ratings.jsonl
"""

import json
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random, SystemRandom
from string import ascii_uppercase
from typing import Any

from training.catalogue import Track
from training.errors import TrainingError

PUBLIC_FOLDER = "public"
AUDIO_FOLDER = "audio"
STUDY_FILE = "study.json"
KEY_FILE = "key.json"
RATINGS_FILE = "ratings.jsonl"
PAGE_FILES = ("index.html", "page.css", "page.js")

_PAGE = Path(__file__).with_name("page")


class StudyInvalid(TrainingError):
    """A folder that holds no listening test, or another one."""


@dataclass(frozen=True, slots=True)
class Playlist:
    """One encoder's answer to a seed.

    Attributes:
        encoder: Name of the encoder.
        tracks: Positions in the library, in the order of playing.
    """

    encoder: str
    tracks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared, before it has ids.

    Attributes:
        made_of: Words that tell this test from others: music, encoders' ids, seeds, rules.
        seeds: Positions in the library.
        playlists: Of each seed, one per encoder.
    """

    made_of: Mapping[str, Any]
    seeds: tuple[int, ...]
    playlists: tuple[tuple[Playlist, ...], ...]

    def positions(self) -> list[int]:
        """List every track that is played, once."""
        played = [*self.seeds, *(at for answers in self.playlists for answer in answers for at in answer.tracks)]
        return list(dict.fromkeys(played))


@dataclass(frozen=True, slots=True)
class Key:
    """What the listener must not see.

    Attributes:
        study_id: Of this test.
        made_of: See `Plan.made_of`.
        encoders: Name of the encoder of each playlist id.
        seeds: Path of the seed of each playlist id.
        tracks: Paths of the tracks of each playlist id.
    """

    study_id: str
    made_of: dict[str, Any]
    encoders: dict[str, str]
    seeds: dict[str, str]
    tracks: dict[str, list[str]]


def write_study(
    folder: Path,
    plan: Plan,
    library: Sequence[Track],
    excerpts: Mapping[int, Path],
    dice: Random | None = None,
) -> Key:
    """Write a test's folder; the order of the encoders is drawn anew for every seed.

    The folder is there whole or not at all.

    Args:
        folder: Must not exist, or be empty.
        plan: What is compared.
        library: What positions of the plan stand for.
        excerpts: An audio file of each track that is played; moved into the folder under an opaque name.
        dice: Of ids and orders; None draws what nobody can draw again.

    Raises:
        StudyInvalid: The folder holds something.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise StudyInvalid(f"{folder} holds something that is no listening test: name another --out")
    dice = dice or SystemRandom()
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    public = draft / PUBLIC_FOLDER
    (public / AUDIO_FOLDER).mkdir(parents=True)
    audio = {position: f"{_opaque(dice)}{path.suffix}" for position, path in excerpts.items()}
    for position, path in excerpts.items():
        shutil.move(path, public / AUDIO_FOLDER / audio[position])
    key = Key(_opaque(dice), dict(plan.made_of), {}, {}, {})
    shown = []
    for seed, answers in zip(plan.seeds, plan.playlists, strict=True):
        order = list(answers)
        dice.shuffle(order)
        cards = []
        for label, answer in zip(ascii_uppercase, order, strict=False):
            playlist_id = _opaque(dice)
            key.encoders[playlist_id] = answer.encoder
            key.seeds[playlist_id] = library[seed].path
            key.tracks[playlist_id] = [library[position].path for position in answer.tracks]
            cards.append({"id": playlist_id, "label": label, "tracks": [audio[position] for position in answer.tracks]})
        shown.append({"audio": audio[seed], "playlists": cards})
    for name in PAGE_FILES:
        shutil.copyfile(_PAGE / name, public / name)
    _write_json(public / STUDY_FILE, {"study_id": key.study_id, "seeds": shown})
    _write_json(draft / KEY_FILE, asdict(key))
    draft.replace(folder)
    return key


def read_key(folder: Path) -> Key:
    """Read the key of a written test.

    Raises:
        StudyInvalid: There is none, or it cannot be read.
    """
    try:
        return Key(**json.loads((folder / KEY_FILE).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise StudyInvalid(f"{folder} holds no listening test: {error}") from error


def public_files(folder: Path) -> dict[str, Path]:
    """List what a browser may see, by its path in the address: nothing else is ever opened."""
    public = folder / PUBLIC_FOLDER
    audio = sorted(path for path in (public / AUDIO_FOLDER).iterdir() if path.is_file())
    files = {f"/{name}": public / name for name in (*PAGE_FILES, STUDY_FILE)}
    return files | {"/": public / "index.html"} | {f"/{AUDIO_FOLDER}/{path.name}": path for path in audio}


def _opaque(dice: Random) -> str:
    return secrets.token_hex(8) if isinstance(dice, SystemRandom) else f"{dice.getrandbits(64):016x}"


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False), "utf-8")
