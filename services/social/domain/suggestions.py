"""Tracks that an extension proposes for a playlist, and what its owner thought of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.social.domain import fields
from services.social.domain.ids import TrackId, is_id
from services.social.errors import Malformed

MOST_SUGGESTIONS = 100
DEFAULT_SUGGESTIONS = 10
# What the retriever takes of tracks, and of judgements of each kind.
MOST_TRACKS = 500
MOST_JUDGED = 500


class SuggestionState(StrEnum):
    """What became of a suggestion."""

    PROPOSED = "PROPOSED"
    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A track that could be added; `similarity` is a cosine to the playlist as judgements moved it."""

    track_id: TrackId
    state: SuggestionState
    similarity: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Judgement:
    """Suggestions to add, in this order, and suggestions to refuse."""

    accepted: tuple[TrackId, ...]
    rejected: tuple[TrackId, ...]


def check_judgement(accepted: Sequence[str], rejected: Sequence[str]) -> Judgement:
    """Check judgements: each track once, in one of the lists.

    Raises:
        Malformed, OutOfRange: With the field.
    """
    seen: set[str] = set()
    for field, track_ids in (("accept_track_ids", accepted), ("reject_track_ids", rejected)):
        fields.count(len(track_ids), field, MOST_SUGGESTIONS)
        for index, track_id in enumerate(track_ids):
            if not is_id(track_id):
                raise Malformed(f"{field}[{index}]", track_id, "a UUID")
            if track_id in seen:
                raise Malformed(f"{field}[{index}]", track_id, "judged once")
            seen.add(track_id)
    return Judgement(tuple(TrackId(one) for one in accepted), tuple(TrackId(one) for one in rejected))
