"""What social tells of its work, in words of the work. Counts nothing: `prometheus.py` does, where it is asked.

No label holds an id of a person, a track or a job: pools, kinds, states, streams and reasons are tables of the code.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from services.social.store.database import Database


@dataclass(frozen=True, slots=True)
class Waiting:
    """Things that wait: how many, and for how long the first of them has; 0 where there is none."""

    count: int = 0
    oldest_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What was found when somebody last looked.

    Attributes:
        outbox: Messages that are promised and not published, by kind.
        jobs: Jobs that are due and have not ended, by kind and state.
        work: Sounds whose embedding was asked for and not answered.
        streams: Messages and bytes of each stream; None where NATS was away.
        consumers: Messages not yet given out, in hand, and given out again of these, by stream and consumer.
    """

    outbox: Mapping[str, Waiting]
    jobs: Mapping[tuple[str, str], Waiting]
    work: Waiting
    streams: Mapping[str, tuple[int, int]] | None = None
    consumers: Mapping[tuple[str, str], tuple[int, int, int]] = field(default_factory=dict)


class SocialMetrics:
    """Takes notice of everything and does nothing with it: the default, and what tests get."""

    def waited(self, pool: str, seconds: float) -> None:
        """Say how long somebody waited for a connection to the database."""

    def job_ended(self, kind: str, outcome: str, reason: str, seconds: float) -> None:
        """Say that a job of some age "succeeded" or "failed"; why, where it failed."""

    def job_waits(self, kind: str, reason: str) -> None:
        """Say that a job was given back, for lack of something."""

    def looked(self, figures: Figures) -> None:
        """Say what was found."""

    def watch(self, pools: "Mapping[str, Database]") -> None:
        """Take note of pools, to be looked at whenever somebody asks."""


def social_metrics(registry: "CollectorRegistry | None") -> SocialMetrics:
    """Return what counts into a registry; without one, what counts nothing."""
    if registry is None:
        return SocialMetrics()
    from services.social.prometheus import CountedSocial  # nobody else needs the library

    return CountedSocial(registry)
