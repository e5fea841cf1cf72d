"""Jobs: their kinds, the stages on the way, and when a failure is the end."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from services.chassis.errors import Code, DomainError
from services.social.domain.ids import JobId, PlaylistId, UserId
from services.social.domain.playlists import LONGEST_TITLE, Visibility
from services.social.domain.recipe import Recipe

LONGEST_WAIT_MS = 5_000

# Workers that may die with a job before it is given up as the one that kills them.
MOST_LOST_WORKERS = 5
_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 15.0
# Before a job that lacks something is ended; and so many times that it was given back are longer than that.
_LEAST_REST_S = 60.0
_MOST_COUNTED = 20


class Kind(StrEnum):
    """What a job does."""

    GENERATION = "GENERATION"
    EXTENSION = "EXTENSION"
    REGENERATION = "REGENERATION"
    ENCODER_SWITCH = "ENCODER_SWITCH"
    ACCOUNT_EXPORT = "ACCOUNT_EXPORT"
    ACCOUNT_DELETION = "ACCOUNT_DELETION"
    HEARING = "HEARING"


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
class Counted:
    """What a stage counts, for example 2 of 5 seeds; an empty unit counts nothing."""

    unit: str = ""
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A checked request. An empty title is named after the seeds."""

    recipe: Recipe
    title: str
    visibility: Visibility

    def to_json(self) -> dict[str, Any]:  # any JSON
        """Return the request as it is stored: what an older release cannot read stands beside what it can."""
        said = {"recipe": self.recipe.base_to_json(), "title": self.title, "visibility": self.visibility.value}
        return said | ({"rules": self.recipe.rules.to_json()} if self.recipe.has_new_rules else {})

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "GenerationRequest":  # any JSON
        """Read a request that was stored."""
        recipe = Recipe.from_json(stored["recipe"] | {"rules": stored.get("rules", {})})
        return cls(recipe, stored["title"], Visibility(stored["visibility"]))

    def digest(self) -> bytes:
        """Return a digest, 32 bytes, that is the same for the same request."""
        return digest_of(self.to_json())


def digest_of(said: dict[str, Any]) -> bytes:  # any JSON
    """Return a digest, 32 bytes, of what was asked for."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).digest()


def can_older_release(kind: Kind, request: dict[str, Any]) -> bool:  # any JSON
    """Say whether version 0.1.0 can do a job: a generation by the rules that it knows."""
    return kind is Kind.GENERATION and "rules" not in request


@dataclass(frozen=True, slots=True)
class Job:
    """A job under way or ended.

    Attributes:
        request: What to do, by kind; JSON.
        playlist_id: What came out; of an extension, what is extended.
        eta_seconds: Time left when `stage_at` was; None where that is not known.
        counted: What its stage counts.
        stage_at: When it last told how far it is.
    """

    job_id: JobId
    kind: Kind
    user_id: UserId
    request: dict[str, Any]  # any JSON
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
    eta_seconds: float | None
    stage_at: datetime | None
    counted: Counted

    @property
    def lost_workers(self) -> int:
        """How many workers died with this job, not counting the one that has it."""
        return self.attempt - self.releases - 1

    def seconds_left(self, now: datetime) -> float | None:
        """Return how long it may still take, None where that is not known or it has ended."""
        if self.eta_seconds is None or self.stage_at is None or self.state.is_final:
            return None
        return max(0.0, self.eta_seconds - (now - self.stage_at).total_seconds())


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


def is_given_up(age_s: float, releases: int, give_up_s: float) -> bool:
    """Say whether a job that lacks something is ended, not given back once more.

    Not while it has rested for less than a minute between its attempts: after a night in which nothing ran, what it
    needs may come a moment later than its worker.

    Args:
        age_s: Since it was asked for.
        releases: Times that it was given back.
        give_up_s: Age from which on it may be ended.
    """
    rested_s = sum(backoff_s(number) for number in range(min(releases, _MOST_COUNTED)))
    return age_s > give_up_s and rested_s >= min(give_up_s, _LEAST_REST_S)
