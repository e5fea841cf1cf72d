"""How far an attempt at a job is: every step is written and told, unless the attempt is no longer the newest."""

from collections.abc import Callable
from datetime import datetime, timedelta

from services.social import events
from services.social.domain.ids import PlaylistId
from services.social.domain.jobs import LONGEST_WAIT_MS, Counted, Job, JobState, Kind
from services.social.domain.timings import Stopwatch, eta_s
from services.social.store import activities, job_timings, jobs, outbox
from services.social.store.database import Connection, Database

# Progress is stored as float32: what was read back is a little less or more than what was written.
_LEAST_STEP = 0.001


class AttemptLost(Exception):
    """The job has ended, or another worker has it: stop, and leave it alone."""


async def tell_end(connection: Connection, job: Job, now: datetime) -> None:
    """Tell that a job has ended; its person is notified of an end for which nobody can have waited.

    That is one which took longer than a call may wait, and a scheduled one that failed: playlists that were made again
    are seen as such.

    Args:
        connection: In the transaction that ends it, which has locked the person.
        job: As it ended.
        now: Time of day.
    """
    await outbox.add(connection, events.job_progressed(job))
    is_late = now - job.created_at > timedelta(milliseconds=LONGEST_WAIT_MS)
    is_unseen = is_late or (job.state is JobState.FAILED and bool(job.request.get("is_scheduled")))
    if job.kind is not Kind.ACCOUNT_DELETION and is_unseen:
        await activities.notify(
            connection, job.user_id, "JOB_ENDED", now, playlist_id=job.playlist_id, subject_id=job.job_id
        )


class Progress:
    """The way of one attempt.

    Args:
        database: Where jobs are.
        job: As it was claimed.
        clock: Time of day.
        monotonic: Seconds that only rise.
    """

    def __init__(
        self, database: Database, job: Job, clock: Callable[[], datetime], monotonic: Callable[[], float]
    ) -> None:
        self._database = database
        self._clock = clock
        self.job = job
        self.has_succeeded = False
        self.stopwatch = Stopwatch(monotonic)

    async def enter(self, state: JobState, progress: float, counted: Counted | None = None) -> None:
        """Move the job to a stage, or forward in it, unless it was farther in an attempt before.

        Args:
            state: EMBEDDING, SEARCHING or ARRANGING, in this order.
            progress: Share of the way, 0 to 1.
            counted: What the stage counts.

        Raises:
            AttemptLost: The job is not this worker's any more.
        """
        counts = counted or Counted()
        self.stopwatch.enter(state, counts)
        is_farther = state.is_after(self.job.state) or (
            state is self.job.state
            and (progress >= self.job.progress + _LEAST_STEP or counts.done > self._done(counts))
        )
        if not is_farther:
            return
        async with self._database.transaction() as connection:
            known = await job_timings.timings_of(connection, self.job.kind)
            eta = eta_s(known, state, counts)
            share = max(progress, self.job.progress)
            moved = await jobs.advance(connection, self.job, state, share, counts, eta, self._clock())
            if moved is None:
                raise AttemptLost
            await outbox.add(connection, events.job_progressed(moved))
        self.job = moved

    async def succeed(self, connection: Connection, playlist_id: PlaylistId | None = None) -> None:
        """End the job well: the last thing in the transaction that writes what came of it.

        Args:
            connection: In that transaction, which has locked the person before anything else.
            playlist_id: What came out; None leaves it as it is.

        Raises:
            AttemptLost: The job is not this worker's any more, and nothing of the transaction stays.
        """
        self.stopwatch.stop()
        ended = await jobs.succeed(connection, self.job, playlist_id, self._clock())
        if ended is None:
            raise AttemptLost
        await tell_end(connection, ended, self._clock())
        self.has_succeeded = True

    def _done(self, counts: Counted) -> int:
        return self.job.counted.done if self.job.counted.unit == counts.unit else 0
