"""The outbox on a real PostgreSQL and a real NATS: published if and only if committed, once, in order within a key."""

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest

from services.chassis.bus import SOCIAL_EVENTS, VECTORS, Bus, PublishAck, vector_subject
from services.social.domain.ids import EncoderId, TrackId, new_id
from services.social.errors import DatabaseUnavailable
from services.social.events import Event
from services.social.publisher import Publisher
from services.social.store import embeddings, outbox
from services.social.store.database import Connection, Database
from services.social.store.locks import LaneLocks
from services.social.store.outbox import Kind, Lane
from services.social.workers.background import Nudge
from tests.integration.social.conftest import Client, Mesh, Sql, make_library, until
from tests.integration.social.fakes import ENCODER_ID

SUBJECT = "museed.social.v1.job_progressed"
KEYS = [f"key {number}" for number in range(24)]


class Abandon(Exception):
    """A transaction that does not commit."""


async def published(bus: Bus) -> list[str]:
    """Read everything on SOCIAL_EVENTS, in order."""
    info = await bus.jetstream.stream_info(SOCIAL_EVENTS)
    found = []
    for sequence in range(max(1, info.state.first_seq), info.state.last_seq + 1):
        message = await bus.jetstream.get_msg(SOCIAL_EVENTS, sequence)
        found.append((message.data or b"").decode())
    return found


def event(key: str, text: str) -> Event:
    return Event(new_id(), key, SUBJECT, text.encode())


async def write(database: Database, *texts: str, key: str = "key") -> None:
    async with database.transaction() as connection:
        await outbox.add(connection, *(event(key, text) for text in texts))


@contextlib.asynccontextmanager
async def publishing(url: str, bus: Bus) -> AsyncIterator[None]:
    task = asyncio.create_task(Publisher(LaneLocks(url), bus, Nudge()).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def is_drained(sql: Sql) -> bool:
    return bool(await sql.fetchval("SELECT count(*) = 0 FROM outbox"))


async def test_published_is_what_was_committed_in_order_with_four_publishers_that_die(
    database: Database, database_url: str, bus: Bus, sql: Sql
) -> None:
    """Writers hold their key's row, commit after random delays or not at all; publishers come and go meanwhile."""
    dice = random.Random(7)
    await sql.execute("CREATE TABLE aggregates (key text PRIMARY KEY)")
    await sql.executemany("INSERT INTO aggregates VALUES ($1)", [(key,) for key in KEYS])
    committed: defaultdict[str, list[str]] = defaultdict(list)
    is_writing = True

    async def write_some(writer: int) -> None:
        for number in range(40):
            key = dice.choice(KEYS)
            texts = [f"{key}/{writer}-{number}-{part}" for part in range(dice.randint(1, 3))]
            with contextlib.suppress(Abandon):
                async with database.transaction() as connection:
                    await connection.execute("SELECT FROM aggregates WHERE key = $1 FOR UPDATE", key)
                    await outbox.add(connection, *(event(key, text) for text in texts))
                    await asyncio.sleep(dice.random() * 0.02)
                    if dice.random() < 0.2:
                        raise Abandon
                    # The row is still locked: nobody else of this key commits before.
                    committed[key] += texts

    async def publish_and_die() -> None:
        while is_writing:
            async with publishing(database_url, bus):
                await asyncio.sleep(0.05 + dice.random() * 0.2)

    dying = [asyncio.create_task(publish_and_die()) for _ in range(4)]
    await asyncio.gather(*(write_some(writer) for writer in range(6)))
    is_writing = False
    await asyncio.gather(*dying)
    async with publishing(database_url, bus):
        await until(lambda: is_drained(sql), timeout_s=60)
    found: defaultdict[str, list[str]] = defaultdict(list)
    for text in await published(bus):
        found[text.split("/")[0]].append(text)
    assert found == committed
    assert sum(len(texts) for texts in committed.values()) > 200


class DyingBus:
    """A bus whose process dies right after NATS stored a message."""

    is_connected = True

    def __init__(self, bus: Bus, after: int) -> None:
        self._bus = bus
        self._left = after

    async def publish(self, subject: str, payload: bytes, event_id: str) -> PublishAck:
        ack = await self._bus.publish(subject, payload, event_id)
        self._left -= 1
        if self._left == 0:
            raise asyncio.CancelledError
        return ack


async def test_message_whose_publisher_died_before_deleting_it_is_stored_once(
    database: Database, database_url: str, bus: Bus, sql: Sql
) -> None:
    await write(database, *(f"text {number}" for number in range(5)))
    dying = Publisher(LaneLocks(database_url), DyingBus(bus, after=3), Nudge())  # type: ignore[arg-type]
    task = asyncio.create_task(dying.run())
    await until(lambda: _count(bus, 3))
    task.cancel()
    await asyncio.wait({task})
    left = [row["payload"].decode() for row in await sql.fetch("SELECT payload FROM outbox ORDER BY id")]
    assert left[-3:] == ["text 2", "text 3", "text 4"]
    async with publishing(database_url, bus):
        await until(lambda: is_drained(sql))
    assert await published(bus) == [f"text {number}" for number in range(5)]


async def _count(bus: Bus, count: int) -> bool:
    return bool((await bus.jetstream.stream_info(SOCIAL_EVENTS)).state.messages == count)


async def test_lane_belongs_to_one_publisher_until_it_lets_go(database_url: str, database: Database) -> None:
    lane = Lane(Kind.EVENT, 3)
    first, second = LaneLocks(database_url), LaneLocks(database_url)
    other = Lane(Kind.WORK, 3)
    assert await first.acquire([lane]) == [lane]
    assert await first.acquire([lane]) == []
    assert await second.acquire([lane, other]) == [other]
    await first.release([lane, other])
    assert (first.holds(lane), await second.acquire([lane]), second.holds(lane)) == (False, [lane], True)
    assert await first.acquire([other]) == []
    await second.close()
    assert second.holds(lane) is False
    assert await first.acquire([lane]) == [lane]
    await first.close()


async def test_lost_connection_loses_the_lanes_and_the_next_look_takes_them_again(
    database_url: str, database: Database, sql: Sql
) -> None:
    lane, locks = Lane(Kind.EVENT, 0), LaneLocks(database_url)
    assert await locks.acquire([lane])
    await sql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'museed-social-publisher'"
        " AND datname = current_database()"
    )
    await until(lambda: not locks.holds(lane))
    await locks.release([lane])
    assert await locks.acquire([lane])
    await locks.close()


async def test_what_was_read_too_long_ago_is_left_to_others(
    database: Database, database_url: str, bus: Bus, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then NATS may not know again what somebody else has published meanwhile."""
    await write(database, "text")
    monkeypatch.setattr("services.social.publisher._STALE_AFTER_S", -1.0)
    async with publishing(database_url, bus):
        await asyncio.sleep(1.0)
    assert (await published(bus), await is_drained(sql)) == ([], False)

    monkeypatch.undo()
    async with publishing(database_url, bus):
        await until(lambda: is_drained(sql))
    assert await published(bus) == ["text"]


async def test_refused_message_holds_up_its_own_key_only(
    database: Database, database_url: str, bus: Bus, sql: Sql
) -> None:
    async with database.transaction() as connection:
        await outbox.add(
            connection, Event(new_id(), "stuck", "museed.social.v1.nobody_listens", b"refused"), event("stuck", "after")
        )
        await outbox.add(connection, *(event(f"key {number}", f"text {number}") for number in range(20)))
    async with publishing(database_url, bus):

        async def are_others_out() -> bool:
            return bool(await sql.fetchval("SELECT count(*) = 2 FROM outbox"))

        await until(are_others_out, timeout_s=60)
    assert set(await published(bus)) == {f"text {number}" for number in range(20)}


async def test_what_is_confirmed_leaves_while_another_message_waits_for_its_confirmation(
    database: Database, database_url: str, bus: Bus, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, goes_on = bus.publish, asyncio.Event()

    async def slow(subject: str, payload: bytes, event_id: str) -> PublishAck:
        if payload == b"waits":
            await goes_on.wait()
        return await publish(subject, payload, event_id)

    monkeypatch.setattr(bus, "publish", slow)
    await write(database, "first", "waits", key="slow")
    await write(database, "other", key="quick")
    async with publishing(database_url, bus):
        await until(lambda: sql.fetchval("SELECT count(*) = 1 FROM outbox"))
        assert await sql.fetchval("SELECT convert_from(payload, 'UTF8') FROM outbox") == "waits"
        goes_on.set()
        await until(lambda: is_drained(sql))
    assert set(await published(bus)) == {"first", "other", "waits"}


async def test_database_that_is_away_when_rows_are_to_leave_is_told_with_its_reason_and_all_leave_later(
    database: Database,
    database_url: str,
    bus: Bus,
    sql: Sql,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    delete, failures = outbox.delete, [DatabaseUnavailable("it is paused")]

    async def failing(connection: Connection, row_ids: Sequence[int]) -> None:
        if failures:
            raise failures.pop()
        await delete(connection, row_ids)

    monkeypatch.setattr(outbox, "delete", failing)
    await write(database, "first", "second")
    await write(database, "other", key="other")
    async with publishing(database_url, bus):
        await until(lambda: is_drained(sql))
    told = [record for record in caplog.records if record.getMessage() == "drain_failed"]
    assert [(record.levelname, vars(record)["reason"]) for record in told] == [("WARNING", "DATABASE_UNAVAILABLE")]
    assert sorted(await published(bus)) == ["first", "other", "second"]


async def test_more_refused_messages_than_a_batch_holds_do_not_hold_up_their_lane(
    database: Database, database_url: str, bus: Bus, sql: Sql
) -> None:
    same_lane = """
        SELECT 'key ' || n FROM generate_series(1, 1000) AS n
        WHERE (hashtextextended('key ' || n, 0) & 15) = (hashtextextended('stuck', 0) & 15) LIMIT 1
    """
    async with database.transaction() as connection:
        stuck = [Event(new_id(), "stuck", "museed.social.v1.nobody_listens", b"refused") for _ in range(600)]
        await outbox.add(connection, *stuck)
    await write(database, "told", key=await sql.fetchval(same_lane))
    async with publishing(database_url, bus):
        await until(lambda: sql.fetchval("SELECT count(*) = 600 FROM outbox"))
    assert await published(bus) == ["told"]


@pytest.mark.parametrize("count", [1, 700])
async def test_outbox_is_published_in_order_also_beyond_one_batch(
    database: Database, database_url: str, bus: Bus, sql: Sql, count: int
) -> None:
    texts = [f"{number}" for number in range(count)]
    await write(database, *texts)
    async with publishing(database_url, bus):
        await until(lambda: is_drained(sql), timeout_s=60)
    assert await published(bus) == texts


class InterferingBus:
    """A bus during whose publishing a track changes."""

    def __init__(self, bus: Bus, database: Database) -> None:
        self._bus = bus
        self._database = database
        self.is_connected = True
        self.stream_created_at = bus.stream_created_at

    async def publish(self, subject: str, payload: bytes, event_id: str) -> PublishAck:
        ack = await self._bus.publish(subject, payload, event_id)
        async with self._database.connection() as connection:
            await connection.execute("UPDATE track_embeddings SET version = version + 1")
        return ack


async def states(sql: Sql) -> list[tuple[str, int, int]]:
    rows = await sql.fetch("SELECT state, version, published_version FROM track_embeddings")
    return [tuple(row) for row in rows]


async def publish_all(url: str, bus: object, sql: Sql) -> None:
    task = asyncio.create_task(
        Publisher(LaneLocks(url), bus, Nudge()).run()  # type: ignore[arg-type]  # a bus in disguise
    )
    await until(lambda: is_drained(sql))
    task.cancel()
    await asyncio.wait({task})


async def stopped_with_a_track(mesh: Mesh, social: Client, sql: Sql) -> Bus:
    """Leave a library of one track that nobody publishes any more; returns social's connection to NATS."""
    await make_library(mesh, social, count=1)
    await mesh.stack.aclose()
    await sql.execute("DELETE FROM outbox")  # work that nobody needs, which a busy machine has not published yet
    return await mesh.bus("social")


PROMISE_AGAIN = """
INSERT INTO outbox (kind, key, event_id, encoder_id, version)
SELECT 'vector', track_id::text, uuidv7(), encoder_id, version FROM track_embeddings
"""


async def test_track_that_changes_while_it_is_published_is_not_indexed_yet(
    mesh: Mesh, social: Client, database: Database, database_url: str, sql: Sql
) -> None:
    bus = await stopped_with_a_track(mesh, social, sql)
    assert await states(sql) == [("INDEXED", 2, 2)]
    await sql.execute("UPDATE track_embeddings SET state = 'EMBEDDED', version = 3")
    await sql.execute(PROMISE_AGAIN)
    await publish_all(database_url, InterferingBus(bus, database), sql)
    assert await states(sql) == [("EMBEDDED", 4, 3)]
    await sql.execute(PROMISE_AGAIN)
    await publish_all(database_url, bus, sql)
    assert await states(sql) == [("INDEXED", 4, 4)]


async def test_message_that_was_stored_before_counts_for_what_it_held_then(
    mesh: Mesh, social: Client, database: Database, database_url: str, sql: Sql
) -> None:
    """A publisher dies after NATS stored version 3; by when its row is published again, the track is at version 4."""
    bus = await stopped_with_a_track(mesh, social, sql)
    await sql.execute("UPDATE track_embeddings SET state = 'EMBEDDED', version = 3")
    await sql.execute(PROMISE_AGAIN)
    row = await sql.fetchrow("SELECT key, event_id FROM outbox")
    assert row is not None
    await bus.publish(f"museed.vectors.{ENCODER_ID}.{row['key']}", b"version 3", str(row["event_id"]))
    await sql.execute("UPDATE track_embeddings SET version = 4")
    await publish_all(database_url, bus, sql)
    assert await states(sql) == [("EMBEDDED", 4, 3)]


class ReplacingBus(InterferingBus):
    """A bus during whose first call the file of every track becomes one that no encoder can hear."""

    def __init__(self, bus: Bus, database: Database) -> None:
        super().__init__(bus, database)
        self._has_replaced = False

    async def publish(self, subject: str, payload: bytes, event_id: str) -> PublishAck:
        ack = await self._bus.publish(subject, payload, event_id)
        if not self._has_replaced:
            self._has_replaced = True
            async with self._database.transaction() as connection:
                found = await connection.fetch("UPDATE tracks SET audio_hash = sha256('noise') RETURNING track_id")
                await embeddings.want(connection, EncoderId(ENCODER_ID), [TrackId(row["track_id"]) for row in found])
        return ack


async def test_vector_that_is_published_while_its_track_is_replaced_does_not_stay(
    mesh: Mesh, social: Client, database: Database, database_url: str, sql: Sql
) -> None:
    """The first vector of a track: nothing is noted of it yet when its file becomes another one."""
    bus = await stopped_with_a_track(mesh, social, sql)
    await sql.execute("UPDATE track_embeddings SET state = 'EMBEDDED', published_version = NULL, sequence = NULL")
    await sql.execute(
        "INSERT INTO embedding_failures (encoder_id, audio_hash, reason, message) "
        "VALUES ($1, sha256('noise'), 'AUDIO_CORRUPT', 'noise')", ENCODER_ID,
    )  # fmt: skip
    await sql.execute(PROMISE_AGAIN)
    await publish_all(database_url, ReplacingBus(bus, database), sql)
    assert await states(sql) == [("FAILED", 3, 3)]
    track_id = await sql.fetchval("SELECT track_id::text FROM tracks")
    assert not (await bus.jetstream.get_last_msg(VECTORS, vector_subject(ENCODER_ID, track_id))).data


async def test_connection_of_which_nobody_knows_whether_its_transaction_ended_is_not_used_again(
    database_url: str, database: Database
) -> None:
    """A BEGIN that nobody answered in time: what is written later would be part of a transaction without an end."""
    locks = LaneLocks(database_url)
    with contextlib.suppress(DatabaseUnavailable):
        async with locks.connection() as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            await connection.execute("BEGIN")
            raise TimeoutError
    async with locks.connection() as connection, connection.transaction():
        assert await connection.fetchval("SELECT pg_backend_pid()") != pid
    await locks.close()


async def test_connection_that_answered_with_an_error_keeps_its_lanes(database_url: str, database: Database) -> None:
    locks, lane = LaneLocks(database_url), Lane(Kind.EVENT, 3)
    assert await locks.acquire([lane]) == [lane]
    with pytest.raises(asyncpg.UndefinedTableError):
        async with locks.connection() as connection:
            await connection.execute("SELECT FROM nowhere")
    assert locks.holds(lane)
    await locks.close()
