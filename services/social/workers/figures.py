"""Looks now and then what waits in the tables and in NATS, and tells the metrics of it."""

from services.chassis.errors import Unavailable
from services.social.metrics import Figures, SocialMetrics
from services.social.store import figures
from services.social.store.database import Database
from services.social.streams import BusDoor, list_streams
from services.social.workers.background import repeat

_INTERVAL_S = 10.0


class FiguresKeeper:
    """Looks every ten seconds.

    Args:
        database: The truth.
        door: To NATS; while that is away, nothing is told of it.
        metrics: Told.
    """

    def __init__(self, database: Database, door: BusDoor, metrics: SocialMetrics) -> None:
        self._database = database
        self._door = door
        self._metrics = metrics

    async def run(self) -> None:
        """Look for ever."""
        await repeat("figures", self.look, _INTERVAL_S)

    async def look(self) -> None:
        """Look once.

        Raises:
            DatabaseUnavailable: What was told before grows old.
        """
        async with self._database.connection() as connection:
            outbox = await figures.outbox(connection)
            jobs = await figures.jobs(connection)
            work = await figures.work(connection)
        try:
            found = await list_streams(self._door.opened())
        except Unavailable:
            self._metrics.looked(Figures(outbox, jobs, work))
            return
        streams = {one.name: (one.messages, one.size_bytes) for one in found}
        consumers = {
            (one.name, each.name): (each.waiting, each.in_hand, each.repeated)
            for one in found
            for each in one.consumers
        }
        self._metrics.looked(Figures(outbox, jobs, work, streams, consumers))
