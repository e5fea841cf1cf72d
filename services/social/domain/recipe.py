"""What a playlist is made from: its seeds, its rules, and what of them may be asked for."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from services.social.domain import fields
from services.social.domain.ids import TrackId, UploadId, is_id
from services.social.domain.rules import MOST_OF_ARTIST_ON_PATH, PATH_LENGTH, Rules, check_path, check_rules
from services.social.errors import Malformed, Missing, OutOfRange

DEFAULT_LENGTH = 25
DEFAULT_MAX_PER_ARTIST = 3
LONGEST_PLAYLIST = 500
MOST_SEEDS = 20
MOST_EXCLUDED = 1_000
HEAVIEST_SEED = 10.0
LONGEST_WORDS = 500


@dataclass(frozen=True, slots=True)
class Seed:
    """A track of the library, an upload of the owner's, or words: exactly one of the three is set.

    Attributes:
        weight: What is near to a seed with a negative one is put lower.
    """

    track_id: TrackId | None
    upload_id: UploadId | None
    weight: float
    words: str | None = None

    def to_json(self) -> dict[str, Any]:  # any JSON
        """Return the seed as it is stored: without words, as it was before there were any."""
        stored = {"track_id": self.track_id, "upload_id": self.upload_id, "weight": self.weight}
        return stored | ({} if self.words is None else {"words": self.words})


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a playlist is made from, kept with it."""

    seeds: tuple[Seed, ...]
    length: int
    max_per_artist: int
    include_seed: bool
    min_similarity: float | None
    exclude_track_ids: tuple[TrackId, ...]
    rules: Rules = field(default_factory=Rules)

    @property
    def has_new_rules(self) -> bool:
        """Whether version 0.1.0 cannot follow it."""
        return self.rules != Rules() or any(seed.weight < 0 or seed.words is not None for seed in self.seeds)

    @property
    def upload_ids(self) -> list[UploadId]:
        """The uploads among the seeds."""
        return [seed.upload_id for seed in self.seeds if seed.upload_id is not None]

    @property
    def has_words(self) -> bool:
        """Whether words are among the seeds."""
        return any(seed.words is not None for seed in self.seeds)

    @property
    def track_ids(self) -> list[TrackId]:
        """The library's tracks among the seeds."""
        return [seed.track_id for seed in self.seeds if seed.track_id is not None]

    def base_to_json(self) -> dict[str, Any]:  # any JSON
        """Return what version 0.1.0 knows of the recipe, as it is stored."""
        stored = asdict(self)
        del stored["rules"]
        return stored | {"seeds": tuple(seed.to_json() for seed in self.seeds)}

    def to_json(self) -> dict[str, Any]:  # any JSON
        """Return the recipe as it is stored."""
        return self.base_to_json() | ({"rules": self.rules.to_json()} if self.rules != Rules() else {})

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Recipe":  # any JSON
        """Read a recipe that was stored."""
        seeds = tuple(
            Seed(seed["track_id"], seed["upload_id"], seed["weight"], seed.get("words")) for seed in stored["seeds"]
        )
        excluded = tuple(stored["exclude_track_ids"])
        rules = Rules.from_json(stored.get("rules", {}))
        return cls(**{**stored, "seeds": seeds, "exclude_track_ids": excluded, "rules": rules})

    def drawn(self, draw: int) -> "Recipe":
        """Return the recipe with this random seed, unless it needs none or has its own; 0 to 2^64 − 1."""
        return replace(self, rules=self.rules.drawn(draw))


def check_seed(track_id: str, upload_id: str, weight: float, field: str, words: str | None = None) -> Seed:
    """Check one seed.

    Args:
        track_id: Empty where something else is meant.
        upload_id: Empty where something else is meant.
        weight: −10 to 10; 0 means 1.
        field: Its path, for example "recipe.seeds[0]".
        words: None where something else is meant.

    Raises:
        Missing, Malformed, OutOfRange: With the field.
    """
    if words is not None:
        words = fields.line(words, f"{field}.words", longest=LONGEST_WORDS, is_required=True)
    elif not track_id and not upload_id:
        raise Missing(f"{field}.track_id")
    for name, value in (("track_id", track_id), ("upload_id", upload_id)):
        if value and not is_id(value):
            raise Malformed(f"{field}.{name}", value, "a UUID")
    fields.number(weight, f"{field}.weight", -HEAVIEST_SEED, HEAVIEST_SEED)
    return Seed(
        TrackId(track_id) if track_id else None, UploadId(upload_id) if upload_id else None, weight or 1.0, words
    )


def check_recipe(
    seeds: list[Seed],
    length: int | None,
    max_per_artist: int | None,
    include_seed: bool | None,
    min_similarity: float | None,
    exclude_track_ids: list[str],
    rules: Rules | None = None,
) -> Recipe:
    """Check a recipe and fill in what it leaves open.

    Raises:
        Missing, Malformed, OutOfRange: With the field.
    """
    if not seeds:
        raise Missing("recipe.seeds")
    fields.count(len(seeds), "recipe.seeds", MOST_SEEDS)
    fields.count(len(exclude_track_ids), "recipe.exclude_track_ids", MOST_EXCLUDED)
    for index, track_id in enumerate(exclude_track_ids):
        if not is_id(track_id):
            raise Malformed(f"recipe.exclude_track_ids[{index}]", track_id, "a UUID")
    if min_similarity is not None:
        fields.number(min_similarity, "recipe.min_similarity", -1, 1)
    if all(seed.weight < 0 for seed in seeds):
        raise OutOfRange("recipe.seeds[0].weight", f"{seeds[0].weight:g}", "0 or more for one seed at least")
    recipe = Recipe(
        tuple(seeds),
        DEFAULT_LENGTH if length is None else fields.integer(length, "recipe.length", 1, LONGEST_PLAYLIST),
        DEFAULT_MAX_PER_ARTIST
        if max_per_artist is None
        else fields.integer(max_per_artist, "recipe.max_per_artist", 1, LONGEST_PLAYLIST),
        True if include_seed is None else include_seed,
        min_similarity,
        tuple(TrackId(track_id) for track_id in exclude_track_ids),
        check_rules(rules or Rules()),
    )
    if recipe.rules.path_to is not None:
        _check_path(recipe)
    return recipe


def _check_path(recipe: Recipe) -> None:
    fields.count(len(recipe.seeds), "recipe.seeds", 1)
    seed = recipe.seeds[0]
    if seed.track_id is None:
        name = "upload_id" if seed.words is None else "words"
        raise Malformed(f"recipe.seeds[0].{name}", getattr(seed, name), "a track of the library, where a path begins")
    if seed.track_id == recipe.rules.path_to:
        raise Malformed("recipe.path.to_track_id", recipe.rules.path_to, "another track than the seed")
    fields.integer(recipe.length, "recipe.length", *PATH_LENGTH)
    fields.integer(recipe.max_per_artist, "recipe.max_per_artist", 1, MOST_OF_ARTIST_ON_PATH)
    for name, is_set in (
        ("include_seed", not recipe.include_seed),
        ("min_similarity", recipe.min_similarity is not None),
        ("exclude_track_ids", bool(recipe.exclude_track_ids)),
    ):
        if is_set:
            raise Malformed(f"recipe.{name}", getattr(recipe, name), "unset with a path")
    check_path(recipe.rules)
