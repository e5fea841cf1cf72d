"""Recordings that somebody searches by, and what was found."""

from dataclasses import dataclass

from services.social.domain.ids import TrackId

MOST_MATCHES, DEFAULT_MATCHES = 200, 20
MOST_SEGMENTS, DEFAULT_SEGMENTS = 20, 3
# As many as the index knows of each track.
MOST_TAGS = 10


@dataclass(frozen=True, slots=True)
class Heard:
    """What an encoder heard in a recording.

    Attributes:
        vector: Of the whole, as it travels.
        duration_seconds: Length.
        windows_digest: Blob of its windows, 32 bytes; empty where none is kept.
        tags: Name and score, best first.
    """

    vector: bytes
    duration_seconds: float
    windows_digest: bytes
    tags: list[tuple[str, float]]

    @property
    def tag_names(self) -> list[str]:
        """The tags that count as heard: the model has a score for every tag that it knows."""
        return [name for name, _ in self.tags[:MOST_TAGS]]


@dataclass(frozen=True, slots=True)
class Stretch:
    """From and to, in seconds."""

    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class MatchedSegment:
    """A stretch of the recording and one of the track with their cosine; where in the track may be unknown."""

    reference: Stretch
    track: Stretch | None
    similarity: float


@dataclass(frozen=True, slots=True)
class Match:
    """A track that was found, and why; `score` and `quantile` are None where they are not known."""

    track_id: TrackId
    similarity: float
    score: float | None
    quantile: float | None
    shared_tags: list[str]
    segments: list[MatchedSegment]


@dataclass(frozen=True, slots=True)
class Matches:
    """The best tracks, how many were compared, and how many of these had no windows to compare."""

    tracks: list[Match]
    candidate_count: int
    without_windows_count: int
