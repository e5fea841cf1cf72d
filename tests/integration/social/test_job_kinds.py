"""Kinds of jobs side by side: with an older release, with one that is poison, with those of others."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.chassis.errors import FailedPrecondition
from services.social.domain.ids import JobId, UserId, new_id
from services.social.domain.jobs import Counted, GenerationRequest, Job, JobState, Kind
from services.social.domain.playlists import Visibility
from services.social.domain.recipe import Recipe, Seed
from services.social.domain.rules import Rules
from services.social.store import job_timings, jobs
from services.social.store.database import Database
from services.social.workers.background import Bells, Nudge
from services.social.workers.kinds import JobKind, Progress
from services.social.workers.worker import Worker, WorkerBounds
from tests.integration.social.conftest import Sql, until

# What version 0.1.0 says, word for word.
OLD_JOB = """
    job_id, user_id, request, state, progress, playlist_id, failure_reason, failure_message, attempt, releases,
    request_id, created_at, finished_at
"""
OLD_CLAIM = f"""
UPDATE jobs SET attempt = attempt + 1, lease_until = now() + make_interval(secs => $1)
WHERE job_id = (
    SELECT job_id FROM jobs
    WHERE finished_at IS NULL AND run_after <= now() AND (lease_until IS NULL OR lease_until < now())
    ORDER BY run_after, job_id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING {OLD_JOB}
"""
OLD_RELEASE = """
UPDATE jobs SET lease_until = NULL, releases = releases + 1, run_after = now() + make_interval(secs => $3)
WHERE job_id = $1 AND attempt = $2 AND finished_at IS NULL
"""
OLD_INSERT = """
INSERT INTO jobs (job_id, kind, user_id, request, state, request_id) VALUES ($1, 'GENERATION', $2, $3, 'QUEUED', $4)
"""
OLD_RECIPE = {"seeds", "length", "max_per_artist", "include_seed", "min_similarity", "exclude_track_ids"}

PLAIN = Recipe((Seed(None, None, 1.0),), 25, 3, True, None, ())


def generation(recipe: Recipe) -> dict[str, Any]:
    return GenerationRequest(recipe, "Title", Visibility.PRIVATE).to_json()


NEW: list[tuple[Kind, dict[str, Any]]] = [
    (Kind.GENERATION, generation(replace(PLAIN, rules=Rules(diversity=0.5)))),
    (Kind.GENERATION, generation(replace(PLAIN, seeds=(Seed(None, None, 1.0), Seed(None, None, -1.0))))),
    (Kind.EXTENSION, {"target": new_id(), "count": 3, "filter": {}}),
    (Kind.REGENERATION, {"target": new_id(), "replace": True}),
    (Kind.ENCODER_SWITCH, {"encoder_id": "other", "done": 0}),
    (Kind.ACCOUNT_EXPORT, {}),
    (Kind.ACCOUNT_DELETION, {}),
    (Kind.HEARING, {"upload": new_id()}),
]


@pytest.fixture
async def user_id(database: Database, sql: Sql) -> UserId:
    """Somebody, without a service."""
    made = UserId(new_id())
    await sql.execute(
        "INSERT INTO users (user_id, username, username_key, nickname, email, email_key, password_hash, role,"
        " created_at, updated_at)"
        " VALUES ($1, 'jay', 'jay', 'Jay', 'j@example.org', 'j@example.org', 'x', 'user', now(), now())",
        made,
    )
    return made


async def insert(database: Database, user_id: UserId, kind: Kind, request: dict[str, Any]) -> Job:
    async with database.transaction() as connection:
        return await jobs.insert_job(connection, JobId(new_id()), kind, user_id, request, "")


@pytest.mark.parametrize(("kind", "request_"), NEW)
async def test_older_release_never_gets_a_job_that_it_cannot_do(
    database: Database, user_id: UserId, sql: Sql, kind: Kind, request_: dict[str, Any]
) -> None:
    job = await insert(database, user_id, kind, request_)
    assert await sql.fetchrow(OLD_CLAIM, 15.0) is None
    async with database.connection() as connection:
        for attempt in (1, 2, 3):
            taken = await jobs.claim(connection, 15.0)
            assert taken is not None
            assert (taken.job_id, taken.attempt, taken.kind) == (job.job_id, attempt, kind)
            asked = json.loads(json.dumps(request_))
            assert {name: taken.request[name] for name in asked} == asked
            await jobs.release(connection, taken, 0.0)
            assert await sql.fetchrow(OLD_CLAIM, 15.0) is None
        taken = await jobs.claim(connection, 15.0)
        assert taken is not None
        await jobs.release(connection, taken, 60.0)
        assert await jobs.claim(connection, 15.0) is None
    # Whoever's it is may still read it there.
    row = await sql.fetchrow(f"SELECT {OLD_JOB} FROM jobs")
    assert row is not None
    stored = json.loads(row["request"])
    assert set(stored["recipe"]) == OLD_RECIPE
    assert (stored["title"], stored["visibility"]) in (("", "PRIVATE"), ("Title", "PRIVATE"))


async def test_both_releases_take_what_both_can_do(database: Database, user_id: UserId, sql: Sql) -> None:
    job = await insert(database, user_id, Kind.GENERATION, generation(PLAIN))
    row = await sql.fetchrow(OLD_CLAIM, 15.0)
    assert row is not None
    assert (str(row["job_id"]), row["attempt"]) == (job.job_id, 1)
    await sql.execute(OLD_RELEASE, job.job_id, 1, 0.0)
    async with database.connection() as connection:
        taken = await jobs.claim(connection, 15.0)
        assert taken is not None
        assert (taken.job_id, taken.attempt) == (job.job_id, 2)
        await jobs.release(connection, taken, 0.0)
    row = await sql.fetchrow(OLD_CLAIM, 15.0)
    assert row is not None
    assert str(row["job_id"]) == job.job_id
    older = new_id()
    await sql.execute(OLD_INSERT, older, user_id, json.dumps(generation(PLAIN)), "")
    async with database.connection() as connection:
        taken = await jobs.claim(connection, 15.0)
    assert taken is not None
    assert (taken.job_id, GenerationRequest.from_json(taken.request).recipe) == (older, PLAIN)


async def test_kind_that_nobody_here_does_is_left_to_others(database: Database, user_id: UserId) -> None:
    await insert(database, user_id, Kind.ACCOUNT_EXPORT, {})
    async with database.connection() as connection:
        assert await jobs.claim(connection, 15.0, [Kind.GENERATION, Kind.EXTENSION]) is None
        assert await jobs.claim(connection, 15.0, [Kind.ACCOUNT_EXPORT]) is not None


async def test_one_person_leaves_room_for_others(database: Database, user_id: UserId, sql: Sql) -> None:
    other = UserId(new_id())
    await sql.execute(
        "INSERT INTO users (user_id, username, username_key, nickname, email, email_key, password_hash, role,"
        " created_at, updated_at)"
        " VALUES ($1, 'kim', 'kim', 'Kim', 'k@example.org', 'k@example.org', 'x', 'user', now(), now())",
        other,
    )
    mine = [await insert(database, user_id, Kind.EXTENSION, {}) for _ in range(4)]
    export = await insert(database, user_id, Kind.ACCOUNT_EXPORT, {})
    theirs = await insert(database, other, Kind.EXTENSION, {})
    async with database.connection() as connection:

        async def taken() -> Job | None:
            return await jobs.claim(connection, 15.0, of_person=2)

        found = [await taken() for _ in range(5)]
        # The third of the same kind is passed over, of another kind not; then everybody has what they may.
        assert [None if job is None else job.job_id for job in found] == [
            mine[0].job_id,
            mine[1].job_id,
            export.job_id,
            theirs.job_id,
            None,
        ]
        # What a dead worker holds counts no longer than its lease; nor does what was given back.
        await sql.execute("UPDATE jobs SET lease_until = now() - interval '1 s' WHERE job_id = $1", mine[1].job_id)
        again = await taken()
        assert again is not None
        assert again.job_id == mine[1].job_id
        await jobs.release(connection, again, 60.0)
        third = await taken()
        assert third is not None
        assert third.job_id == mine[2].job_id


class Hanging:
    """A kind that never ends."""

    def __init__(self) -> None:
        self.count = 0

    async def run(self, job: Job, progress: Progress) -> None:
        self.count += 1
        await asyncio.Event().wait()


class Poison:
    """A kind whose code is at fault."""

    async def run(self, job: Job, progress: Progress) -> None:
        raise RuntimeError("poison")


class Refusing:
    """A kind that cannot do what it is asked for."""

    async def run(self, job: Job, progress: Progress) -> None:
        raise FailedPrecondition("no", reason="NOT_TODAY")


class Endless:
    """A kind that forgets to end its job."""

    async def run(self, job: Job, progress: Progress) -> None:
        await progress.enter(JobState.ARRANGING, 0.9)


class Working:
    """A kind that does its work in three steps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, job: Job, progress: Progress) -> None:
        await progress.enter(JobState.SEARCHING, 0.2, Counted("rows", 0, 2))
        await progress.enter(JobState.SEARCHING, 0.2, Counted("rows", 1, 2))
        async with self._database.transaction() as connection:
            await progress.succeed(connection)


async def test_poison_of_some_kinds_leaves_the_others_going(
    database: Database, user_id: UserId, sql: Sql, caplog: pytest.LogCaptureFixture
) -> None:
    hanging = Hanging()
    kinds: dict[Kind, JobKind] = {
        Kind.EXTENSION: hanging,
        Kind.REGENERATION: Poison(),
        Kind.ACCOUNT_DELETION: Refusing(),
        Kind.ACCOUNT_EXPORT: Endless(),
        Kind.GENERATION: Working(database),
    }
    for kind in kinds:
        for _ in range(3):
            await insert(database, user_id, kind, generation(PLAIN) if kind is Kind.GENERATION else {})
    bounds = WorkerBounds(concurrency=2, lease_s=15, give_up_s=600, of_person=2)
    worker = Worker(database, kinds, Bells(), Nudge(), bounds, lambda: datetime.now(UTC))
    running = asyncio.create_task(worker.run())

    async def states(kind: Kind) -> list[str]:
        rows = await sql.fetch("SELECT state, failure_reason FROM jobs WHERE kind = $1", kind.value)
        return [f"{row['state']} {row['failure_reason']}".strip() for row in rows]

    async def are(kind: Kind, wanted: str) -> bool:
        return await states(kind) == [wanted] * 3

    await until(lambda: are(Kind.GENERATION, "SUCCEEDED"))
    await until(lambda: are(Kind.ACCOUNT_DELETION, "FAILED NOT_TODAY"))
    # What is our fault is tried again, with rests, until it is too old.
    await until(lambda: sql.fetchval("SELECT count(*) = 3 FROM jobs WHERE kind = 'REGENERATION' AND releases > 0"))
    await until(lambda: sql.fetchval("SELECT count(*) = 3 FROM jobs WHERE kind = 'ACCOUNT_EXPORT' AND releases > 0"))
    await until(lambda: hanging.count == 2)
    await sql.execute(
        "UPDATE jobs SET created_at = created_at - interval '11 min', due_at = now(), releases = 8"
        " WHERE due_at IS NOT NULL"
    )
    await until(lambda: are(Kind.REGENERATION, "FAILED INTERNAL"))
    await until(lambda: are(Kind.ACCOUNT_EXPORT, "FAILED INTERNAL"))
    running.cancel()
    await asyncio.wait({running})
    assert await states(Kind.EXTENSION) == ["QUEUED"] * 3


async def test_time_left_is_told_when_twenty_such_jobs_were_timed(
    database: Database, user_id: UserId, sql: Sql
) -> None:
    now = datetime.now(UTC)
    async with database.connection() as connection:
        for _ in range(19):
            await job_timings.add_timings(connection, Kind.EXTENSION, {JobState.SEARCHING: 2_000.0})
        known = (await job_timings.timings_of(connection, Kind.EXTENSION))[JobState.SEARCHING]
        assert known.mean_ms == pytest.approx(2_000)
        assert known.count == 19
        job = await insert(database, user_id, Kind.EXTENSION, {})
        first = Progress(database, job, lambda: now, lambda: 0.0)
        await first.enter(JobState.SEARCHING, 0.1, Counted("tracks", 0, 3))
        assert first.job.seconds_left(now) is None
        await job_timings.add_timings(connection, Kind.EXTENSION, {JobState.SEARCHING: 2_000.0})
    await first.enter(JobState.SEARCHING, 0.5, Counted("tracks", 1, 3))
    assert first.job.counted == Counted("tracks", 1, 3)
    assert first.job.seconds_left(now) == pytest.approx(4)
    async with database.connection() as connection:
        # The newest counts a fifth.
        await job_timings.add_timings(connection, Kind.EXTENSION, {JobState.SEARCHING: 7_000.0})
        known = (await job_timings.timings_of(connection, Kind.EXTENSION))[JobState.SEARCHING]
    assert known.mean_ms == pytest.approx(3_000)
    assert await sql.fetchval("SELECT count(*) FROM outbox") == 2


async def test_worker_times_the_stages_of_what_succeeds(database: Database, user_id: UserId, sql: Sql) -> None:
    kinds: dict[Kind, JobKind] = {Kind.GENERATION: Working(database)}
    for _ in range(2):
        await insert(database, user_id, Kind.GENERATION, generation(PLAIN))
    bounds = WorkerBounds(concurrency=1, lease_s=15, give_up_s=600, of_person=1)
    running = asyncio.create_task(Worker(database, kinds, Bells(), Nudge(), bounds, lambda: datetime.now(UTC)).run())
    await until(lambda: sql.fetchval("SELECT coalesce(sum(count), 0) = 2 FROM job_timings"))
    running.cancel()
    await asyncio.wait({running})
    row = await sql.fetchrow("SELECT kind, stage FROM job_timings")
    assert row is not None
    assert tuple(row) == ("GENERATION", "SEARCHING")
