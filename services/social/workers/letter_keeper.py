"""Keeps dead letters in the database as well: their stream is filled from there when NATS has lost it."""

import logging
from datetime import datetime, timedelta

from services.chassis.bus import DEAD_LETTERS, Bus, Delivery, WorkConsumer, headers_of_dead_letter
from services.social.store import dead_letters
from services.social.store.database import Database
from services.social.store.dead_letters import KeptLetter
from services.social.workers.sweeping import Sweep

logger = logging.getLogger(__name__)

_DURABLE = "social-letters"
_SUBJECT = "museed.dead_letters.*"
_BATCH_SIZE = 100
# As long as the stream keeps them.
_LIFE = timedelta(days=90)
_SWEEP_INTERVAL_S = 3_600.0


class LetterKeeper:
    """Copies each letter once, and publishes all of them again.

    Args:
        database: Where letters are kept.
        bus: Where they lie.
    """

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus

    def consumer(self) -> WorkConsumer:
        """Return the consumer to run."""
        return WorkConsumer(
            self._bus, stream=DEAD_LETTERS, durable=_DURABLE, subject=_SUBJECT, handler=self.handle, concurrency=1
        )

    async def handle(self, delivery: Delivery) -> None:
        """Keep one letter, unless it was replayed before or meanwhile.

        Raises:
            Unavailable: NATS or the database is away.
        """
        headers = await headers_of_dead_letter(self._bus, delivery.sequence)
        if headers is None:
            return
        async with self._database.connection() as connection:
            await dead_letters.keep(
                connection, KeptLetter(delivery.event_id, delivery.subject, delivery.payload, headers)
            )
            # Who replays takes the letter away first, then the row: one of both sees the other.
            if await headers_of_dead_letter(self._bus, delivery.sequence) is None:
                await dead_letters.forget(connection, delivery.event_id)

    async def publish_all_again(self) -> None:
        """Fill a stream that was made anew; safe to repeat, since every letter keeps its id.

        Raises:
            Unavailable: NATS or the database is away; the next call goes on.
        """
        count, last = 0, ""
        while True:
            async with self._database.connection() as connection:
                letters = await dead_letters.kept(connection, last, _BATCH_SIZE)
            for letter in letters:
                await self._bus.publish(letter.subject, letter.payload, letter.message_id, headers=letter.headers)
                last = letter.message_id
            count += len(letters)
            if len(letters) < _BATCH_SIZE:
                break
        if count:
            logger.warning("dead_letters_restored", extra={"count": count})


async def _sweep(database: Database, now: datetime) -> None:
    count = _BATCH_SIZE
    while count == _BATCH_SIZE:
        async with database.connection() as connection:
            count = await dead_letters.delete_old(connection, now - _LIFE, _BATCH_SIZE)


LETTER_SWEEP = Sweep("dead_letters", _sweep, _SWEEP_INTERVAL_S)
