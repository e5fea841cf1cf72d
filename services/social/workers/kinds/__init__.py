"""What jobs do: a module for each kind, which a part of the service registers by `Wired(job_kinds=…)`.

A kind writes what came of it in the transaction in which it ends, so that both are there or neither:

    async def run(self, job: Job, progress: Progress) -> None:
        await progress.enter(JobState.SEARCHING, 0.5, Counted("tracks", 0, 100))
        ...
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, job.user_id)
            ...  # what came of it, in the order of locks
            await progress.succeed(connection, playlist_id)
"""

from typing import Protocol

from services.social.domain.jobs import Job
from services.social.workers.kinds.progress import AttemptLost, Progress

__all__ = ["AttemptLost", "JobKind", "Progress"]


class JobKind(Protocol):
    """Does the jobs of one kind. Several attempts at one job may follow each other, and two may run at once.

    What an attempt does before its end must be harmless when it is done again. A job whose attempts end by a passing
    failure is taken again with rests between; one that ends by any other failure has FAILED, with its reason.
    """

    async def run(self, job: Job, progress: Progress) -> None:
        """Take a job to its end, which is `progress.succeed`.

        Args:
            job: As it was claimed; `job.request` is what the kind was asked for.
            progress: Tells how far this attempt is.

        Raises:
            AttemptLost: The job is not this worker's any more.
            DomainError: It did not work; `jobs.is_transient` says whether trying again can help.
        """
