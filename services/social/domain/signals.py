"""Names the small facts from which counts are made, and says how a score grows and fades."""

import math
from datetime import UTC, datetime, timedelta
from enum import StrEnum

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
# Below it nothing is left to fade.
_NOTHING = -math.inf


class SignalKind(StrEnum):
    """What was done, or undone where the amount is −1."""

    USER_COUNT = "user_count"
    TRACK_COUNT = "track_count"
    PLAYLIST_COUNT = "playlist_count"
    PUBLIC_PLAYLIST_COUNT = "public_playlist_count"
    PLAYLIST_CREATED = "playlist_created"
    LIKE = "like"
    SAVE = "save"
    COMMENT = "comment"
    FOLLOW = "follow"
    PLAY = "play"


# What lifts a playlist in the trends when somebody else than its owner does it, and by how much.
HEAT = {SignalKind.LIKE: 1.0, SignalKind.COMMENT: 2.0, SignalKind.SAVE: 3.0, SignalKind.PLAY: 0.25}
# After which half of that is left. No setting: scores are kept in half-lives since `_EPOCH`, and after a change what
# was written before would lie on top for a year, or be gone.
HEAT_HALF_LIFE = timedelta(hours=48)


def age(at: datetime, half_life: timedelta) -> float:
    """Return how many half-lives a moment comes after the beginning of 2026, UTC."""
    return (at - _EPOCH) / half_life


def added(score: float | None, weight: float, at: datetime, half_life: timedelta) -> float | None:
    """Add something to a score that halves with time, or take it away again.

    A score is kept as the binary logarithm of a sum in which what comes later weighs more (forward decay: Cormode and
    others, Forward decay, a practical time decay model for streaming systems, ICDE 2009). Order and ratios of scores
    are those of sums that fade, at any moment, and nothing needs to be written while nothing happens.

    Args:
        score: Before; None for nothing.
        weight: How much, negative for what is taken back.
        at: When that was, or when what is taken back had been.
        half_life: After which half of it is left.

    Returns:
        The score afterwards; None where nothing is left.
    """
    if weight == 0:
        return score
    step = math.log2(abs(weight)) + age(at, half_life)
    before = _NOTHING if score is None else score
    if weight > 0:
        low, high = sorted((before, step))
        return high + math.log1p(2.0 ** (low - high)) / math.log(2)
    # What is left of others is more than a millionth, or rounding is all that is left.
    rest = 1.0 - 2.0 ** min(0.0, step - before)
    return before + math.log2(rest) if rest > 1e-6 else None


def faded(score: float, now: datetime, half_life: timedelta) -> float:
    """Return what a score is worth now: the sum of its weights, each halved for each half-life that passed."""
    return float(2.0 ** (score - age(now, half_life)))
