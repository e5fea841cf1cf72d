import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from services.social.domain.ids import PlaylistId, UserId, new_id
from services.social.domain.signals import SignalKind, faded
from services.social.store import counts, signals
from services.social.store.database import Connection, Database
from services.social.workers.tallier import STANDARD_FOLDS, Tallier
from tests.integration.social.conftest import Sql

HALF_LIFE = timedelta(hours=48)
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


async def make_person(sql: Sql, name: str) -> UserId:
    user_id = UserId(new_id())
    await sql.execute(
        "INSERT INTO users (user_id, username, username_key, nickname, email, email_key, role, password_hash,"
        " created_at, updated_at) VALUES ($1, $2, $2, $2, $3, $3, 'user', '', now(), now())",
        user_id,
        name,
        f"{name}@example.org",
    )
    return user_id


async def make_playlist(sql: Sql, owner_id: UserId) -> PlaylistId:
    playlist_id = PlaylistId(new_id())
    await sql.execute(
        "INSERT INTO playlists (playlist_id, owner_id, title, visibility) VALUES ($1, $2, 'A list', 'PRIVATE')",
        playlist_id,
        owner_id,
    )
    return playlist_id


def tallier(database: Database) -> Tallier:
    return Tallier(database, STANDARD_FOLDS)


async def like(
    connection: Connection, actor_id: UserId, playlist_id: PlaylistId, owner_id: UserId, amount: int = 1
) -> None:
    await signals.add(
        connection, SignalKind.LIKE, NOW, actor_id=actor_id, playlist_id=playlist_id, user_id=owner_id, amount=amount
    )


async def test_everything_is_counted_once_whoever_counts_and_however_late_it_commits(
    database: Database, sql: Sql
) -> None:
    owner, fan = await make_person(sql, "owner"), await make_person(sql, "fan")
    lists = [await make_playlist(sql, owner) for _ in range(3)]
    done = Counter[PlaylistId]()

    async def write(number: int) -> None:
        chance = random.Random(number)
        for _ in range(20):
            playlist_id = chance.choice(lists)
            try:
                async with database.transaction() as connection:
                    await like(connection, fan, playlist_id, owner)
                    await asyncio.sleep(chance.random() * 0.02)
                    if chance.random() < 0.2:
                        raise LookupError
            except LookupError:
                continue
            done[playlist_id] += 1

    async def count(until: asyncio.Event) -> None:
        while not until.is_set():
            await tallier(database).catch_up()
            await asyncio.sleep(0.003)

    finished = asyncio.Event()
    counting = [asyncio.create_task(count(finished)) for _ in range(3)]
    await asyncio.gather(*(write(number) for number in range(6)))
    finished.set()
    await asyncio.gather(*counting)
    await tallier(database).catch_up()
    rows = await sql.fetch("SELECT playlist_id, likes FROM playlist_counts")
    assert {str(row["playlist_id"]): row["likes"] for row in rows} == dict(done)
    person = await sql.fetchrow("SELECT likes_given FROM person_counts WHERE user_id = $1", fan)
    assert person is not None
    assert person["likes_given"] == done.total()
    assert await sql.fetchval("SELECT likes_received FROM person_counts WHERE user_id = $1", owner) == done.total()
    assert await sql.fetchval("SELECT count(*) FROM signals") == 0


async def test_what_is_not_counted_yet_can_be_added_by_who_reads_one_thing(database: Database, sql: Sql) -> None:
    owner, fan = await make_person(sql, "owner"), await make_person(sql, "fan")
    playlist_id = await make_playlist(sql, owner)
    await tallier(database).catch_up()
    async with database.transaction() as connection:
        await like(connection, fan, playlist_id, owner)
    async with database.connection() as connection:
        pending = await signals.pending_of_playlist(connection, playlist_id)
        assert pending == {SignalKind.LIKE: 1}
        assert await signals.pending_of_person(connection, owner) == {SignalKind.LIKE: 1}
        await tallier(database).catch_up()
        assert await signals.pending_of_playlist(connection, playlist_id) == {}


async def test_a_like_that_is_taken_back_leaves_no_trace(database: Database, sql: Sql) -> None:
    owner, fan = await make_person(sql, "owner"), await make_person(sql, "fan")
    playlist_id = await make_playlist(sql, owner)
    async with database.transaction() as connection:
        await like(connection, fan, playlist_id, owner)
    await tallier(database).catch_up()
    score = await sql.fetchval("SELECT score FROM playlist_heat WHERE playlist_id = $1", playlist_id)
    assert faded(score, NOW, HALF_LIFE) == pytest.approx(1.0)
    async with database.transaction() as connection:
        await like(connection, fan, playlist_id, owner, amount=-1)
    await tallier(database).catch_up()
    assert await sql.fetchval("SELECT likes FROM playlist_counts WHERE playlist_id = $1", playlist_id) == 0
    assert await sql.fetchval("SELECT count(*) FROM playlist_heat") == 0


async def test_signals_of_what_is_gone_meanwhile_are_dropped(database: Database, sql: Sql) -> None:
    owner, fan = await make_person(sql, "owner"), await make_person(sql, "fan")
    playlist_id = await make_playlist(sql, owner)
    async with database.transaction() as connection:
        await like(connection, fan, playlist_id, owner)
    await sql.execute("DELETE FROM playlists WHERE playlist_id = $1", playlist_id)
    assert await tallier(database).catch_up() > 0
    assert await sql.fetchval("SELECT count(*) FROM playlist_counts") == 0
    assert await sql.fetchval("SELECT count(*) FROM signals") == 0


async def test_a_fold_that_fails_leaves_the_signals_for_the_next_time(database: Database, sql: Sql) -> None:
    owner, fan = await make_person(sql, "owner"), await make_person(sql, "fan")
    playlist_id = await make_playlist(sql, owner)
    await tallier(database).catch_up()
    async with database.transaction() as connection:
        await like(connection, fan, playlist_id, owner)

    async def broken(connection: Connection, batch: object) -> None:
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        await Tallier(database, [counts.add_to_playlists, broken]).catch_up()
    assert await sql.fetchval("SELECT count(*) FROM signals") == 1
    assert await sql.fetchval("SELECT count(*) FROM playlist_counts") == 0


async def test_the_whole_is_counted_whoever_adds_to_it(database: Database, sql: Sql) -> None:
    owner = await make_person(sql, "owner")
    await make_person(sql, "other")
    playlist_id = await make_playlist(sql, owner)
    await tallier(database).catch_up()
    async with database.connection() as connection:
        assert await counts.counters(connection) == {"users": 2, "playlists": 1, "tracks": 0, "plays": 0}
    assert await sql.fetchval("SELECT playlists FROM person_counts WHERE user_id = $1", owner) == 1
    await sql.execute("DELETE FROM playlists WHERE playlist_id = $1", playlist_id)
    await tallier(database).catch_up()
    async with database.connection() as connection:
        assert (await counts.counters(connection))["playlists"] == 0
    assert await sql.fetchval("SELECT playlists FROM person_counts WHERE user_id = $1", owner) == 0
