"""Makes the jobs of schedules: each time once, whichever process comes first."""

import logging
from collections.abc import Callable
from datetime import datetime

from services.social import events
from services.social.domain.ids import JobId, PlaylistId, UserId, new_id
from services.social.domain.jobs import Kind
from services.social.domain.schedules import next_after
from services.social.events.playlist_jobs import schedule_ran
from services.social.store import accounts, jobs, outbox, schedules
from services.social.store.database import Database
from services.social.workers.background import Nudge, repeat
from services.social.workers.kinds.regeneration import regeneration_request

logger = logging.getLogger(__name__)

_INTERVAL_S = 5.0
_BATCH_SIZE = 500


class Scheduler:
    """Looks which playlists are due.

    Args:
        database: The truth.
        due: Rung when a job is due.
        clock: Time of day.
        batch_size: Schedules that are read at a time.
    """

    def __init__(
        self, database: Database, due: Nudge, clock: Callable[[], datetime], batch_size: int = _BATCH_SIZE
    ) -> None:
        self._database = database
        self._due = due
        self._clock = clock
        self._batch_size = batch_size

    async def run(self) -> None:
        """Look every 5 s, for ever."""
        await repeat("schedules", self.step, _INTERVAL_S)

    async def step(self) -> None:
        """Make the jobs of everything that is due: one that fails keeps no other from its turn.

        Raises:
            DatabaseUnavailable: The next call goes on.
        """
        now, last = self._clock(), None
        is_more = True
        while is_more:
            # Behind the last one, and not from the beginning: those that fail stay due.
            async with self._database.connection() as connection:
                found = await schedules.due(connection, now, last, self._batch_size)
            for one in found:
                try:
                    await self._make(one.playlist_id, one.user_id, now)
                except Exception:  # the border of this step: what is wrong with one must not hold up the others
                    logger.exception("schedule_failed", extra={"playlist_id": one.playlist_id})
                last = one
            is_more = len(found) == self._batch_size

    async def _make(self, playlist_id: PlaylistId, user_id: UserId, now: datetime) -> None:
        job_id = JobId(new_id())
        async with self._database.transaction() as connection:
            await accounts.lock_anybody(connection, user_id)
            locked = await schedules.lock_due(connection, playlist_id, now)
            if locked is None:
                return
            schedule, is_wanted = locked
            next_at = next_after(schedule.first_at, schedule.every, now)
            await schedules.advance(connection, playlist_id, next_at, job_id if is_wanted else None)
            if not is_wanted:
                return
            request = regeneration_request(playlist_id, replace=True, is_scheduled=True)
            job = await jobs.insert_job(connection, job_id, Kind.REGENERATION, user_id, request, "")
            await outbox.add(connection, schedule_ran(playlist_id, user_id, job_id, now), events.job_progressed(job))
        self._due.ring()
