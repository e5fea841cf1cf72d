"""Blends what sounds like a person's taste with what others hear who hear the same, by ranks alone."""

import hashlib
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from services.social.domain.ids import TrackId, UserId

# Of Cormack, Clarke and Büttcher, Reciprocal rank fusion outperforms Condorcet and individual rank learning methods,
# SIGIR 2009: how little the first ranks stand out.
_RANK_OFFSET = 60
# So many tracks heard, and behaviour counts as much as sound; never more: whichever has the greater part fills the
# first places nearly alone. On simulated people (benchmarks/recommender.py) a part of 0.75 halved recall@20 where sound
# tells all there is to tell (0.158 to 0.082), and won little where it tells nothing (0.066 to 0.084).
_EVEN_AT = 10
MOST_RECOMMENDED = 200
MIX_LENGTH = 50
_MIX_POOL = 200
_MIX_MOST_PER_ARTIST = 3


class Source(StrEnum):
    """How a recommendation came about."""

    SOUND = "SOUND"
    BEHAVIOUR = "BEHAVIOUR"
    BOTH = "BOTH"
    POPULAR = "POPULAR"


@dataclass(frozen=True, slots=True)
class Recommended:
    """A track that might please.

    Attributes:
        similarity: Cosine to the person's taste; None where sound did not find it.
        because: Track of theirs that others hear together with it; None where behaviour did not find it.
        score: Of the fusion; only its order means something.
    """

    track_id: TrackId
    source: Source
    similarity: float | None
    because: TrackId | None
    score: float


def natural_blend(heard_tracks: int) -> float:
    """Return the part of behaviour for somebody who heard that many tracks: n / (n + 10), at most one half."""
    return min(0.5, heard_tracks / (heard_tracks + _EVEN_AT))


def fuse(
    sound: Sequence[tuple[TrackId, float]], behaviour: Sequence[tuple[TrackId, TrackId]], blend: float
) -> list[Recommended]:
    """Blend two rankings by weighted reciprocal ranks: their scores need no common scale.

    Args:
        sound: Tracks with their cosines, best first, each once.
        behaviour: Tracks, each with the one because of which it is there, best first, each once.
        blend: Part of behaviour, 0 to 1; what weighs nothing recommends nothing.

    Returns:
        Best first; ties by id.
    """
    scores = Counter[TrackId]()
    for weight, ranking in ((1.0 - blend, [one[0] for one in sound]), (blend, [one[0] for one in behaviour])):
        for rank, track_id in enumerate(ranking, start=1):
            if weight > 0:
                scores[track_id] += weight / (_RANK_OFFSET + rank)  # type: ignore[assignment]  # floats add as well
    similarities = dict(sound) if blend < 1 else {}
    reasons = dict(behaviour) if blend > 0 else {}
    found = [
        Recommended(
            track_id,
            _source(track_id in similarities, track_id in reasons),
            similarities.get(track_id),
            reasons.get(track_id),
            score,
        )
        for track_id, score in scores.items()
    ]
    return sorted(found, key=lambda one: (-one.score, one.track_id))


def popular(track_ids: Sequence[TrackId]) -> list[Recommended]:
    """Return what is heard a lot as recommendations, most heard first."""
    return [
        Recommended(track_id, Source.POPULAR, None, None, 1.0 / (_RANK_OFFSET + rank))
        for rank, track_id in enumerate(track_ids, start=1)
    ]


def mix_of_day(
    found: Sequence[Recommended], artists: Mapping[TrackId, str], user_id: UserId, day: date
) -> list[Recommended]:
    """Draw a mix: other tracks each day, better ones more often, the same whenever it is drawn for this day.

    Args:
        found: Recommendations, best first; the first 200 take part.
        artists: Of them, where known; a track without one is its own artist.
        user_id: For whom.
        day: Of which day.

    Returns:
        At most 50, at most three of one artist, and one artist twice in a row only where no other is left.
    """
    seed = hashlib.sha256(f"{user_id} {day.isoformat()}".encode()).digest()
    chance = random.Random(seed)
    # Weighted sampling without replacement: Efraimidis and Spirakis, Information Processing Letters 97, 2006.
    drawn = [(math.log(1.0 - chance.random()) / one.score, one) for one in found[:_MIX_POOL]]
    drawn.sort(key=lambda each: (-each[0], each[1].track_id))
    counts = Counter[str]()
    chosen: list[Recommended] = []
    for _, one in drawn:
        artist = artists.get(one.track_id, one.track_id)
        if counts[artist] < _MIX_MOST_PER_ARTIST and len(chosen) < MIX_LENGTH:
            counts[artist] += 1
            chosen.append(one)
    return _apart(chosen, artists)


def _apart(chosen: Sequence[Recommended], artists: Mapping[TrackId, str]) -> list[Recommended]:
    """Order tracks so that each comes next that is first among those by another artist than the one before."""
    left, ordered, last = list(chosen), list[Recommended](), ""
    while left:
        place = next((n for n, one in enumerate(left) if artists.get(one.track_id, one.track_id) != last), 0)
        one = left.pop(place)
        last = artists.get(one.track_id, one.track_id)
        ordered.append(one)
    return ordered


def _source(is_sound: bool, is_behaviour: bool) -> Source:
    if is_sound and is_behaviour:
        return Source.BOTH
    return Source.SOUND if is_sound else Source.BEHAVIOUR
