"""Takes away what a person who left had. Each batch is a transaction; an attempt goes on where the last one stopped."""

from services.social import events
from services.social.domain.ids import UserId
from services.social.domain.jobs import Counted, Job, JobState
from services.social.store import accounts, leaving, outbox
from services.social.store.database import Database
from services.social.workers.kinds.progress import Progress

_BATCH_SIZE = 1_000


class AccountDeletion:
    """Deletes and anonymises what `privacy.NAMED` says, table by table.

    Args:
        database: The truth.
        batch_size: Rows a transaction.
    """

    def __init__(self, database: Database, batch_size: int = _BATCH_SIZE) -> None:
        self._database = database
        self._batch_size = batch_size

    async def run(self, job: Job, progress: Progress) -> None:
        """Take everything away; the index is told last, by when nothing is left to tell it of a taste.

        Raises:
            AttemptLost: The job is not this worker's any more.
        """
        for number, statement in enumerate(leaving.STEPS.values()):
            share = 0.05 + 0.9 * number / len(leaving.STEPS)
            await progress.enter(JobState.ARRANGING, share, Counted("tables", number, len(leaving.STEPS)))
            await self._exhaust(statement, job.user_id)
        async with self._database.transaction() as connection:
            await accounts.lock_anybody(connection, job.user_id)
            await outbox.add(connection, events.profile_deleted(job.user_id))
            await progress.succeed(connection)

    async def _exhaust(self, statement: str, user_id: UserId) -> None:
        # Rows that others change in that moment are passed over by a batch, and seen by the next one.
        empty = 0
        while empty < 2:
            async with self._database.transaction() as connection:
                taken = await leaving.take(connection, statement, user_id, self._batch_size)
            empty = 0 if taken else empty + 1
