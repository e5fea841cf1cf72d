"""Rules by which the tracks of a playlist are chosen and ordered, beside those that every recipe has."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from dataclasses import fields as fields_of
from enum import StrEnum
from typing import Any

from services.social.domain import fields
from services.social.domain.genres import GENRES
from services.social.domain.ids import TrackId, is_id
from services.social.errors import Malformed, Missing, OutOfRange

LONGEST_TEXT = 200
MOST_GENRES = 16
MOST_ARTISTS = 1_000
MOST_FILTER_TRACKS = 1_000
MOST_TAGS = 20
MOST_KEYS = 24
MOST_BLOCKED = 10_000
# As descriptors name them.
KEYS = tuple(
    f"{tonic} {mode}"
    for mode in ("major", "minor")
    for tonic in ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
)
ARC_POINTS = (2, 20)
PATH_LENGTH = (3, 100)
MOST_OF_ARTIST_ON_PATH = 100


class Arrangement(StrEnum):
    """Playing order."""

    FLOW = "FLOW"
    SIMILARITY = "SIMILARITY"
    ENERGY_ARC = "ENERGY_ARC"


@dataclass(frozen=True, slots=True)
class NumberRange:
    """Both ends are included; None is open."""

    min: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class TrackFilter:
    """Which tracks may be chosen: everything that is set must be true of a track; a list means one of its entries."""

    genres: tuple[str, ...] = ()
    artists: tuple[str, ...] = ()
    blocked_artists: tuple[str, ...] = ()
    track_ids: tuple[TrackId, ...] = ()
    tags: tuple[str, ...] = ()
    blocked_tags: tuple[str, ...] = ()
    duration_seconds: NumberRange | None = None
    year: NumberRange | None = None
    tempo_bpm: NumberRange | None = None
    energy: NumberRange | None = None
    loudness_lufs: NumberRange | None = None
    keys: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:  # any JSON
        """Return what is set, as it is stored."""
        return _set_ones(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "TrackFilter":  # any JSON
        """Read a filter that was stored."""
        read: dict[str, Any] = {  # any JSON
            name: tuple(value) if isinstance(value, list) else NumberRange(**value) for name, value in stored.items()
        }
        return cls(**read)


@dataclass(frozen=True, slots=True)
class Rules:
    """How to choose, as the retriever takes it; None leaves it to that.

    Attributes:
        is_seed_drawn: Whether `random_seed` was drawn, and another one is when the playlist is made again.
        path_to: Last track of a path that begins with the only seed; None makes no path.
    """

    filter: TrackFilter = TrackFilter()
    negative_penalty: float | None = None
    weigh_agreement: bool = False
    artist_window: int | None = None
    diversity: float = 0.0
    temperature: float = 0.0
    random_seed: int | None = None
    is_seed_drawn: bool = False
    arrangement: Arrangement = Arrangement.FLOW
    energy_arc: tuple[float, ...] = ()
    require_length: bool = False
    use_my_taste: bool = False
    profile_weight: float | None = None
    hub_damping: float = 0.0
    allow_near_duplicates: bool = False
    path_to: TrackId | None = None

    def to_json(self) -> dict[str, Any]:  # any JSON
        """Return what is set, as it is stored."""
        stored = _set_ones(self)
        return stored | ({"filter": self.filter.to_json()} if self.filter != TrackFilter() else {})

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Rules":  # any JSON
        """Read rules that were stored."""
        read: dict[str, Any] = dict(stored)  # any JSON
        if "filter" in stored:
            read["filter"] = TrackFilter.from_json(stored["filter"])
        if "energy_arc" in stored:
            read["energy_arc"] = tuple(stored["energy_arc"])
        if "arrangement" in stored:
            read["arrangement"] = Arrangement(stored["arrangement"])
        return cls(**read)

    def drawn(self, draw: int) -> "Rules":
        """Return the rules with a random seed where chance plays a part and nobody fixed it.

        Args:
            draw: 0 to 2^64 − 1.
        """
        if self.temperature == 0 or (self.random_seed is not None and not self.is_seed_drawn):
            return self
        return replace(self, random_seed=draw, is_seed_drawn=True)


def check_filter(wanted: TrackFilter, field: str) -> TrackFilter:
    """Check which tracks may be chosen; genres and keys are spelt as tracks have them.

    Raises:
        Missing, Malformed, OutOfRange: With the field.
    """
    lists = {
        "genres": MOST_GENRES,
        "artists": MOST_ARTISTS,
        "blocked_artists": MOST_ARTISTS,
        "tags": MOST_TAGS,
        "blocked_tags": MOST_TAGS,
        "keys": MOST_KEYS,
    }
    checked: dict[str, Any] = {
        name: _texts(getattr(wanted, name), f"{field}.{name}", most) for name, most in lists.items()
    }
    for name, known in (("genres", GENRES), ("keys", KEYS)):
        checked[name] = tuple(
            _one_of(text, known, f"{field}.{name}[{index}]") for index, text in enumerate(checked[name])
        )
    fields.count(len(wanted.track_ids), f"{field}.track_ids", MOST_FILTER_TRACKS)
    for index, track_id in enumerate(wanted.track_ids):
        if not is_id(track_id):
            raise Malformed(f"{field}.track_ids[{index}]", track_id, "a UUID")
    for name in ("duration_seconds", "year", "tempo_bpm", "energy", "loudness_lufs"):
        _check_range(getattr(wanted, name), f"{field}.{name}")
    return replace(wanted, **checked)


def check_rules(wanted: Rules) -> Rules:
    """Check rules; those of a path are checked by `check_path`, too.

    Raises:
        Missing, Malformed, OutOfRange: With the field.
    """
    if wanted.negative_penalty is not None:
        fields.number(wanted.negative_penalty, "recipe.negative_penalty", 0, 2)
    if wanted.artist_window is not None:
        fields.integer(wanted.artist_window, "recipe.artist_window", 1, 50)
    for name in ("diversity", "temperature", "hub_damping"):
        fields.number(getattr(wanted, name), f"recipe.{name}", 0, 1)
    if wanted.energy_arc:
        if wanted.arrangement is not Arrangement.ENERGY_ARC:
            raise Malformed("recipe.energy_arc", len(wanted.energy_arc), "empty unless the arrangement is ENERGY_ARC")
        fields.count(len(wanted.energy_arc), "recipe.energy_arc", ARC_POINTS[1])
        if len(wanted.energy_arc) < ARC_POINTS[0]:
            raise OutOfRange("recipe.energy_arc", len(wanted.energy_arc), ARC_POINTS[0], "items")
        for index, point in enumerate(wanted.energy_arc):
            fields.number(point, f"recipe.energy_arc[{index}]", 0, 1)
    if wanted.profile_weight is not None:
        if not wanted.use_my_taste:
            raise Malformed("recipe.profile_weight", wanted.profile_weight, "unset unless the own taste counts")
        if fields.number(wanted.profile_weight, "recipe.profile_weight", 0, 1) == 0:
            raise OutOfRange("recipe.profile_weight", 0, "more than 0")
    if wanted.path_to is not None and not is_id(wanted.path_to):
        raise (
            Malformed("recipe.path.to_track_id", wanted.path_to, "a UUID")
            if wanted.path_to
            else Missing("recipe.path.to_track_id")
        )
    return replace(wanted, filter=check_filter(wanted.filter, "recipe.filter"))


def check_path(rules: Rules) -> None:
    """Check that rules go with a path: of them only the filter does.

    Raises:
        Malformed: One that does not; with the field.
    """
    nothing = Rules(filter=rules.filter, path_to=rules.path_to)
    for one in fields_of(Rules):
        if getattr(rules, one.name) != getattr(nothing, one.name):
            raise Malformed(f"recipe.{one.name}", getattr(rules, one.name), "unset with a path")


def _set_ones(made: "Rules | TrackFilter") -> dict[str, Any]:  # any JSON
    empty, stored = asdict(type(made)()), asdict(made)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in stored.items()
        if value != empty[name]
    }


def _texts(given: Sequence[str], field: str, most: int) -> tuple[str, ...]:
    fields.count(len(given), field, most)
    return tuple(
        fields.line(text, f"{field}[{index}]", longest=LONGEST_TEXT, is_required=True)
        for index, text in enumerate(given)
    )


def _one_of(text: str, known: Sequence[str], field: str) -> str:
    for one in known:
        if one.casefold() == text.casefold():
            return one
    raise Malformed(field, text, f"one of {', '.join(known)}")


def _check_range(given: NumberRange | None, field: str) -> None:
    if given is None:
        return
    for name, value in (("min", given.min), ("max", given.max)):
        if value is not None and not math.isfinite(value):
            raise Malformed(f"{field}.{name}", value, "a number")
    if given.min is not None and given.max is not None and given.min > given.max:
        raise OutOfRange(f"{field}.min", given.min, given.max)
