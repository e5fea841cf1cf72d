"""Figures of what waits: exact, bounded, and kept while NATS is away."""

from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from services.chassis.bus import Bus
from services.chassis.errors import NotFound
from services.social.domain.ids import new_id
from services.social.domain.jobs import Kind
from services.social.metrics import Waiting
from services.social.prometheus import CountedSocial
from services.social.store import figures
from services.social.store.database import Database
from services.social.streams import BusDoor
from services.social.workers.figures import FiguresKeeper
from tests.integration.social.conftest import Sql
from tests.integration.social.test_tallier import make_person

EVENT = """INSERT INTO outbox (kind, key, event_id, subject, payload, created_at)
VALUES ('event', $1, $2, 's', '', now() - make_interval(secs => $3))"""


async def add_job(
    sql: Sql, user_id: str, kind: str, state: str, age_s: int, *, attempt: int = 0, rests: bool = False
) -> None:
    run_after = "now() + interval '1 hour'" if rests else "now()"
    finished = "now()" if state == "SUCCEEDED" else "NULL"
    await sql.execute(
        "INSERT INTO jobs (job_id, kind, user_id, request, state, run_after, due_at, created_at, attempt, finished_at)"
        f" VALUES ($1, $2, $3, '{{}}', $4, 'infinity', {run_after}, now() - make_interval(secs => $5), $6, {finished})",
        new_id(),
        kind,
        user_id,
        state,
        age_s,
        attempt,
    )


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"museed_social_{name}", labels)


async def test_figures_tell_what_waits_and_for_how_long(
    database: Database, sql: Sql, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "MOST_COUNTED", 30)
    user_id = await make_person(sql, "ann")
    # Over all lanes, of which the oldest is only one.
    for number in range(40):
        await sql.execute(EVENT, f"key-{number}", new_id(), 100 + number)
    await add_job(sql, user_id, "EXTENSION", "QUEUED", 50)
    await add_job(sql, user_id, "EXTENSION", "QUEUED", 70)
    await add_job(sql, user_id, "EXTENSION", "SEARCHING", 90, attempt=2, rests=True)
    await add_job(sql, user_id, "EXTENSION", "QUEUED", 1000, rests=True)  # is not due
    await add_job(sql, user_id, "EXTENSION", "SUCCEEDED", 2000)
    await bus.publish("museed.social.v1.job_progressed", b"", "event-1")
    registry = CollectorRegistry()
    metrics = CountedSocial(registry)
    metrics.watch({"background": database})
    door = BusDoor()
    keeper = FiguresKeeper(database, door, metrics)
    await keeper.look()
    assert value(registry, "nats_answers") == 0
    assert value(registry, "stream_messages", stream="SOCIAL_EVENTS") is None
    door.bus = bus
    await keeper.look()
    assert value(registry, "nats_answers") == 1
    assert value(registry, "stream_messages", stream="SOCIAL_EVENTS") == 1
    assert value(registry, "stream_messages", stream="DEAD_LETTERS") == 0
    assert value(registry, "outbox_rows", kind="event") == 30
    assert value(registry, "outbox_oldest_seconds", kind="event") == pytest.approx(139, abs=60)
    assert value(registry, "outbox_oldest_seconds", kind="event") >= 139  # type: ignore[operator]  # it is there
    assert [value(registry, f"outbox_{name}", kind="work") for name in ("rows", "oldest_seconds")] == [0, 0]
    assert value(registry, "jobs_open", kind="EXTENSION", state="QUEUED") == 2
    assert 70 <= (value(registry, "jobs_oldest_seconds", kind="EXTENSION", state="QUEUED") or 0) < 130
    assert value(registry, "jobs_open", kind="EXTENSION", state="SEARCHING") == 1
    assert value(registry, "jobs_open", kind="GENERATION", state="QUEUED") == 0
    assert value(registry, "work_unanswered") == 0
    assert value(registry, "pool_connections_in_use", pool="background") == 0
    assert (value(registry, "figures_age_seconds") or 60) < 60


async def test_work_is_counted_with_the_age_of_the_oldest(database: Database, sql: Sql) -> None:
    async with database.connection() as connection:
        assert await figures.work(connection) == Waiting(0, 0.0)


async def test_every_loan_of_a_connection_tells_how_long_it_was_waited_for(database_url: str) -> None:
    waits: list[float] = []
    pool = await Database.connect(database_url, size=2, statement_timeout_ms=5_000, on_acquired=waits.append)
    try:
        async with pool.connection(), pool.reading():
            assert (pool.connections_in_use, pool.most_connections) == (2, 2)
        with pytest.raises(NotFound):
            async with pool.transaction():
                raise NotFound("no", reason="TRACK_NOT_FOUND")
        assert pool.connections_in_use == 0
    finally:
        await pool.close()
    assert len(waits) == 3
    assert min(waits) >= 0


def test_ends_of_jobs_are_counted_by_kind_outcome_and_reason() -> None:
    registry = CollectorRegistry()
    metrics = CountedSocial(registry)
    metrics.job_ended(Kind.GENERATION, "succeeded", "", 0.2)
    metrics.job_ended(Kind.GENERATION, "failed", "TRACK_NOT_FOUND", timedelta(minutes=2).total_seconds())
    metrics.job_waits(Kind.HEARING, "EMBEDDER_BUSY")
    assert value(registry, "jobs_ended_total", kind="GENERATION", outcome="succeeded", reason="") == 1
    assert value(registry, "jobs_ended_total", kind="GENERATION", outcome="failed", reason="TRACK_NOT_FOUND") == 1
    assert value(registry, "job_seconds_sum", kind="GENERATION") == pytest.approx(120.2)
    assert value(registry, "job_waits_total", kind="HEARING", reason="EMBEDDER_BUSY") == 1
