"""Looks at people who did something, or to whom it was done: tells the index of their taste, and gives badges."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from services.social.domain.badges import earned
from services.social.domain.ids import TrackId, UserId
from services.social.events import MOST_PROFILE_TRACKS, profile_deleted, profile_weights
from services.social.events.listening import badge_earned
from services.social.store import activities, badges, outbox, tastes
from services.social.store.database import Connection, Database
from services.social.workers.background import repeat

logger = logging.getLogger(__name__)

_INTERVAL_S = 1.0
_BATCH_SIZE = 100
# Whose look failed rests so long, and is in nobody's way meanwhile.
_PENALTY = timedelta(minutes=1)
# A taste of fewer tracks is nearly the sound of one of them: what somebody hears could be told from it.
LEAST_LISTED_TRACKS = 5
_BADGE = "BADGE"


class TasteWorker:
    """One of any number: a person is looked at by whoever locks them first.

    Args:
        database: The truth.
        delay_s: How long a person rests after they were touched, so that who hears much is told of once in a while.
        clock: Time of day.
    """

    def __init__(self, database: Database, delay_s: float, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._delay = timedelta(seconds=delay_s)
        self._clock = clock

    async def run(self) -> None:
        """Look at people for ever, until cancelled."""
        await repeat("tastes", self.catch_up, _INTERVAL_S)

    async def catch_up(self) -> int:
        """Look at everybody who is due and whom nobody else has in hand; return how many that were."""
        total = 0
        while True:
            async with self._database.connection() as connection:
                due = await tastes.touched(connection, self._clock() - self._delay, _BATCH_SIZE)
            looked_at = 0
            for user_id in due:
                looked_at += await self._try_to_look_at(user_id)
            total += looked_at
            if len(due) < _BATCH_SIZE or not looked_at:
                return total

    async def _try_to_look_at(self, user_id: UserId) -> bool:
        try:
            return await self._look_at(user_id)
        except Exception:  # the border of one person's affairs: whatever is wrong with them must not stop the others
            logger.exception("look_failed", extra={"user_id": user_id})
        async with self._database.connection() as connection:
            await tastes.put_off(connection, user_id, self._clock() + _PENALTY)
        return False

    async def _look_at(self, user_id: UserId) -> bool:
        async with self._database.transaction() as connection:
            person = await tastes.take_touched(connection, user_id)
            if person is None:
                return False
            now = self._clock()
            await publish_taste(connection, user_id, person, now)
            if not person.is_gone:
                await give_badges(connection, user_id, now)
        return True


async def publish_taste(connection: Connection, user_id: UserId, person: tastes.TouchedPerson, now: datetime) -> None:
    """Tell the index what somebody listens to, where that, or whether they may be found, is not what it was told.

    Args:
        connection: In a transaction that has locked the person.
        user_id: The person.
        person: Whether they may be found by others, or have left.
        now: Time of day.
    """
    known = await tastes.taste_of(connection, user_id)
    if known is None:
        return
    heaviest = [] if person.is_gone else await tastes.heaviest(connection, user_id, MOST_PROFILE_TRACKS)
    is_listed = person.is_listed and len(heaviest) >= LEAST_LISTED_TRACKS
    if known.is_published and known.is_listed == is_listed and not person.is_gone:
        return
    version = known.version + 1
    if heaviest:
        await outbox.add(connection, profile_weights(user_id, version, weights_of(heaviest), is_listed=is_listed))
    else:
        await outbox.add(connection, profile_deleted(user_id))
    await tastes.mark_published(connection, user_id, version, now, is_listed=is_listed)


def weights_of(heaviest: Sequence[tuple[TrackId, float]]) -> dict[TrackId, float]:
    """Return weights, 1 for the heaviest, of scores that are binary logarithms, highest first."""
    highest = heaviest[0][1]
    return {track_id: 2.0 ** (score - highest) for track_id, score in heaviest}


async def give_badges(connection: Connection, user_id: UserId, now: datetime) -> None:
    """Give somebody what they have come far enough for; each tier once, and it is never taken back.

    Args:
        connection: In a transaction that has locked the person.
        user_id: The person.
        now: Time of day.
    """
    due = earned(await badges.metrics_of(connection, user_id))
    given = await badges.award(connection, user_id, due, now)
    for badge, tier in given:
        await activities.notify(connection, user_id, _BADGE, now, badge=f"{badge}.{tier}")
        await outbox.add(connection, badge_earned(user_id, badge, tier, now))
