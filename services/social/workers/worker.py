"""Works off jobs: any number of workers, a lease for each job, every end written once.

A worker that dies leaves a lease that runs out; the next one takes the job with a higher attempt, and what the first
still writes hits no row. Cancelling is a write like any other, and wins unless the job has ended.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from services.chassis import telemetry
from services.chassis.errors import DomainError, Internal
from services.chassis.telemetry import tracing
from services.social.domain.ids import JobId
from services.social.domain.jobs import MOST_LOST_WORKERS, Job, Kind, backoff_s, is_given_up, is_transient
from services.social.metrics import SocialMetrics
from services.social.store import accounts, job_timings, jobs
from services.social.store.database import Database
from services.social.workers.background import Bells, Nudge, raise_if_cancelled, repeat
from services.social.workers.kinds import AttemptLost, JobKind, Progress
from services.social.workers.kinds.progress import tell_end

logger = logging.getLogger(__name__)

_POLL_INTERVAL_S = 0.5
_SPANS = {kind: "generate" if kind is Kind.GENERATION else kind.lower() for kind in Kind}


@dataclass(frozen=True, slots=True)
class WorkerBounds:
    """How much a worker takes on.

    Attributes:
        concurrency: Jobs of one kind at a time: those that hang leave room for the other kinds.
        lease_s: How long a silent worker keeps a job from others; renewed three times within.
        give_up_s: Age at which a job that still fails for lack of something is ended.
        of_person: Jobs of one kind and one person at a time, of all processes together: those of others find room.
    """

    concurrency: int
    lease_s: float
    give_up_s: float
    of_person: int


class Worker:
    """Claims due jobs and attends to each until it has ended or is given back.

    Args:
        database: Where jobs are.
        kinds: Do what jobs ask for; read again whenever there is room, so that more may be added until then.
        bells: Rung with a job's id when it has ended.
        nudge: Rung when a job is due now, instead of looking every 0.5 s.
        bounds: How much to take on.
        clock: Time of day.
        metrics: Told of every end; None tells nobody.
    """

    def __init__(
        self,
        database: Database,
        kinds: Mapping[Kind, JobKind],
        bells: Bells,
        nudge: Nudge,
        bounds: WorkerBounds,
        clock: Callable[[], datetime],
        metrics: SocialMetrics | None = None,
    ) -> None:
        self._metrics = metrics or SocialMetrics()
        self._database = database
        self._kinds = kinds
        self._bells = bells
        self._nudge = nudge
        self._bounds = bounds
        self._clock = clock
        # By attempt: a lease that ran out while the database was away may be taken by this very process again.
        self._running: dict[tuple[JobId, int], asyncio.Task[None]] = {}
        self._attempts: dict[tuple[JobId, int], asyncio.Task[None]] = {}
        self._busy: Counter[Kind] = Counter()

    async def run(self) -> None:
        """Work for ever, until cancelled; then jobs at hand are given back at once."""
        try:
            await repeat("work", self._take, _POLL_INTERVAL_S, self._nudge)
        finally:
            tasks = list(self._running.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def drop(self, job_id: JobId) -> None:
        """Stop working on a job that was cancelled; elsewhere, the worker notices when it renews its lease."""
        for key, attempt in self._attempts.items():
            if key[0] == job_id:
                attempt.cancel()

    async def _take(self) -> None:
        while kinds := [kind for kind in self._kinds if self._busy[kind] < self._bounds.concurrency]:
            async with self._database.connection() as connection:
                job = await jobs.claim(connection, self._bounds.lease_s, kinds, self._bounds.of_person)
            if job is None:
                return
            self._busy[job.kind] += 1
            self._running[job.job_id, job.attempt] = asyncio.create_task(self._attend(job))

    async def _attend(self, job: Job) -> None:
        """Keep a job's lease while an attempt runs."""
        telemetry.begin_request(job.request_id or None)
        key = (job.job_id, job.attempt)
        attempt = self._attempts[key] = asyncio.create_task(self._attempt(job))
        try:
            while not (await asyncio.wait({attempt}, timeout=self._bounds.lease_s / 3))[0]:
                if not await self._renew(job):
                    attempt.cancel()
                raise_if_cancelled()
        except asyncio.CancelledError:
            attempt.cancel()
            await asyncio.wait({attempt})
            await self._give_back(job, 0.0)
            raise
        finally:
            del self._running[key], self._attempts[key]
            self._busy[job.kind] -= 1
            self._nudge.ring()

    async def _renew(self, job: Job) -> bool:
        try:
            async with self._database.connection() as connection:
                return await jobs.renew(connection, job, self._bounds.lease_s)
        except DomainError as error:
            # Not known to be lost: what this attempt writes is guarded by its number.
            logger.warning("lease_not_renewed", extra={"job_id": job.job_id, "reason": error.reason})
            return True

    async def _attempt(self, job: Job) -> None:
        with tracing.within_header(job.trace_parent), tracing.span(_SPANS[job.kind], museed__attempt=job.attempt):
            await self._try(job)

    async def _try(self, job: Job) -> None:
        try:
            if job.lost_workers >= MOST_LOST_WORKERS:
                await self._fail(job, "JOB_ABANDONED", f"{job.lost_workers} workers died with this job")
            else:
                await self._work(job)
        except AttemptLost:
            logger.info("attempt_lost", extra={"job_id": job.job_id, "attempt": job.attempt})
        except DomainError as error:
            await self._refuse(job, error)
        except Exception:  # the border of this process: a fault of ours must not lose the job
            logger.exception("attempt_failed", extra={"job_id": job.job_id})
            await self._refuse(job, Internal("internal error"))

    async def _work(self, job: Job) -> None:
        progress = Progress(self._database, job, self._clock, time.monotonic)
        await self._kinds[job.kind].run(job, progress)
        if not progress.has_succeeded:
            raise Internal(f"{job.kind} left its job without an end")
        self._tell_end(job, "succeeded")
        try:
            async with self._database.connection() as connection:
                await job_timings.add_timings(connection, job.kind, progress.stopwatch.timings_ms)
        except DomainError as away:
            logger.warning("job_not_timed", extra={"job_id": job.job_id, "reason": away.reason})

    async def _refuse(self, job: Job, error: DomainError) -> None:
        """Give a job back where trying again can help, else end it; where that fails, its lease runs out."""
        fields = {"job_id": job.job_id, "attempt": job.attempt, "reason": error.reason, "detail": error.message}
        if is_transient(error) and not is_given_up(self._age_s(job), job.releases, self._bounds.give_up_s):
            logger.info("job_waits", extra=fields)
            self._metrics.job_waits(job.kind, error.reason)
            await self._give_back(job, backoff_s(job.releases))
            return
        logger.info("job_failed", extra=fields)
        try:
            await self._fail(job, error.reason, error.message)
        except DomainError as away:
            logger.warning("job_end_not_written", extra={"job_id": job.job_id, "reason": away.reason})

    async def _give_back(self, job: Job, rest_s: float) -> None:
        try:
            async with self._database.connection() as connection:
                await jobs.release(connection, job, rest_s)
        except DomainError as away:
            logger.warning("job_not_given_back", extra={"job_id": job.job_id, "reason": away.reason})

    async def _fail(self, job: Job, reason: str, message: str) -> None:
        async with self._database.transaction() as connection:
            await accounts.lock_anybody(connection, job.user_id)
            ended = await jobs.fail(connection, job, reason, message, self._clock())
            if ended is not None:
                await tell_end(connection, ended, self._clock())
        self._tell_end(job, "failed", reason)

    def _tell_end(self, job: Job, outcome: str, reason: str = "") -> None:
        self._bells.ring(job.job_id)
        self._metrics.job_ended(job.kind, outcome, reason, self._age_s(job))
        fields = {"job_id": job.job_id, "kind": job.kind, "outcome": outcome}
        logger.info("job_ended", extra=fields | ({"reason": reason} if reason else {}))

    def _age_s(self, job: Job) -> float:
        return (self._clock() - job.created_at).total_seconds()
