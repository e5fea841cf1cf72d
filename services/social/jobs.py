"""Generation jobs: what may be asked for, the stages on the way, and when a failure is the end."""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from services.chassis.errors import Code, DomainError
from services.social import fields
from services.social.errors import Malformed, Missing
from services.social.ids import JobId, PlaylistId, TrackId, UploadId, UserId, is_id
from services.social.playlists import LONGEST_TITLE, Visibility

DEFAULT_LENGTH = 25
DEFAULT_MAX_PER_ARTIST = 3
LONGEST_PLAYLIST = 500
MOST_SEEDS = 20
MOST_EXCLUDED = 1_000
HEAVIEST_SEED = 10.0
LONGEST_KEY = 200
LONGEST_WAIT_MS = 5_000
IDEMPOTENCY_LIFE = timedelta(hours=24)

# Workers that may die with a job before it is given up as the one that kills them.
MOST_LOST_WORKERS = 5
_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 15.0


class JobState(StrEnum):
    """Where a job stands; declared in the order that a job passes."""

    QUEUED = "QUEUED"
    EMBEDDING = "EMBEDDING"
    SEARCHING = "SEARCHING"
    ARRANGING = "ARRANGING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """Whether a job stays as it is."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)

    def is_after(self, other: "JobState") -> bool:
        """Say whether a job passes this state later than another; a retry never goes back."""
        order = list(JobState)
        return order.index(self) > order.index(other)


# Share of the way that lies behind a job that enters a stage.
PROGRESS = {
    JobState.QUEUED: 0.0,
    JobState.EMBEDDING: 0.1,
    JobState.SEARCHING: 0.6,
    JobState.ARRANGING: 0.9,
    JobState.SUCCEEDED: 1.0,
}


@dataclass(frozen=True, slots=True)
class Seed:
    """A track of the library or an upload of the owner's: exactly one of the two ids is set."""

    track_id: TrackId | None
    upload_id: UploadId | None
    weight: float


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a playlist is made from, kept with it."""

    seeds: tuple[Seed, ...]
    length: int
    max_per_artist: int
    include_seed: bool
    min_similarity: float | None
    exclude_track_ids: tuple[TrackId, ...]

    @property
    def upload_ids(self) -> list[UploadId]:
        """The uploads among the seeds."""
        return [seed.upload_id for seed in self.seeds if seed.upload_id is not None]

    @property
    def track_ids(self) -> list[TrackId]:
        """The library's tracks among the seeds."""
        return [seed.track_id for seed in self.seeds if seed.track_id is not None]

    def to_json(self) -> dict[str, Any]:  # any JSON
        """Return the recipe as it is stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Recipe":  # any JSON
        """Read a recipe that was stored."""
        seeds = tuple(Seed(seed["track_id"], seed["upload_id"], seed["weight"]) for seed in stored["seeds"])
        excluded = tuple(stored["exclude_track_ids"])
        return cls(**{**stored, "seeds": seeds, "exclude_track_ids": excluded})


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A checked request. An empty title is named after the seeds."""

    recipe: Recipe
    title: str
    visibility: Visibility

    def digest(self) -> bytes:
        """Return a digest, 32 bytes, that is the same for the same request."""
        said = {"recipe": self.recipe.to_json(), "title": self.title, "visibility": self.visibility.value}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).digest()


@dataclass(frozen=True, slots=True)
class Job:
    """A generation under way or ended."""

    job_id: JobId
    user_id: UserId
    request: GenerationRequest
    state: JobState
    progress: float
    playlist_id: PlaylistId | None
    failure_reason: str
    failure_message: str
    attempt: int
    releases: int
    request_id: str
    trace_parent: str
    created_at: datetime
    finished_at: datetime | None

    @property
    def lost_workers(self) -> int:
        """How many workers died with this job, not counting the one that has it."""
        return self.attempt - self.releases - 1


def check_seed(track_id: str, upload_id: str, weight: float, field: str) -> Seed:
    """Check one seed.

    Args:
        track_id: Empty where an upload is meant.
        upload_id: Empty where a track is meant.
        weight: 0 means 1.
        field: Its path, for example "recipe.seeds[0]".

    Raises:
        Missing, Malformed, OutOfRange: With the field.
    """
    if not track_id and not upload_id:
        raise Missing(f"{field}.track_id")
    for name, value in (("track_id", track_id), ("upload_id", upload_id)):
        if value and not is_id(value):
            raise Malformed(f"{field}.{name}", value, "a UUID")
    fields.number(weight, f"{field}.weight", 0, HEAVIEST_SEED)
    return Seed(TrackId(track_id) if track_id else None, UploadId(upload_id) if upload_id else None, weight or 1.0)


def check_recipe(
    seeds: list[Seed],
    length: int | None,
    max_per_artist: int | None,
    include_seed: bool | None,
    min_similarity: float | None,
    exclude_track_ids: list[str],
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
    return Recipe(
        tuple(seeds),
        DEFAULT_LENGTH if length is None else fields.integer(length, "recipe.length", 1, LONGEST_PLAYLIST),
        DEFAULT_MAX_PER_ARTIST
        if max_per_artist is None
        else fields.integer(max_per_artist, "recipe.max_per_artist", 1, LONGEST_PLAYLIST),
        True if include_seed is None else include_seed,
        min_similarity,
        tuple(TrackId(track_id) for track_id in exclude_track_ids),
    )


def check_key(key: str) -> str:
    """Check an idempotency key.

    Raises:
        Missing, OutOfRange: Empty or longer than 200 characters.
    """
    return fields.line(key, "idempotency_key", longest=LONGEST_KEY, is_required=True)


def title_after(names: list[tuple[str, str]]) -> str:
    """Name a playlist after its seeds.

    Args:
        names: Title and artist of each seed; an empty artist is nobody.
    """
    title, artist = names[0]
    others = len(names) - 1
    more = f" and {others} more" if others else ""
    by = f" by {artist}" if artist and not others else ""
    room = LONGEST_TITLE - len("Like “”") - len(more)
    if len(title) + len(by) > room:
        by = ""
    shown = title if len(title) <= room else title[: room - 1] + "…"
    return f"Like “{shown}”{by}{more}"


def is_transient(error: DomainError) -> bool:
    """Say whether trying again can help: something was away or busy, rather than the request wrong."""
    if error.code is Code.RESOURCE_EXHAUSTED:
        return error.retry_after_ms is not None
    return error.code in (
        Code.UNAVAILABLE,
        Code.DEADLINE_EXCEEDED,
        Code.ABORTED,
        Code.INTERNAL,
        Code.UNAUTHENTICATED,
    )


def backoff_s(releases: int) -> float:
    """Return how long a job rests after it was given back that many times before."""
    return min(_FIRST_BACKOFF_S * 2.0 ** min(releases, 10), _LONGEST_BACKOFF_S)
