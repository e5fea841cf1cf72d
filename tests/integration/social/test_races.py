"""Two transactions at once whose rows are others: what each counts, takes away or promises holds beside the other."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from services.social.domain.ids import PlaylistId, UserId, new_id
from services.social.domain.tokens import hash_refresh_token
from services.social.store import accounts, jobs, leaving, playlists
from services.social.store.database import Connection, Database
from services.social.wiring.parts import now
from services.social.workers.kinds.account_deletion import AccountDeletion
from services.social.workers.kinds.progress import Progress
from tests.integration.social.conftest import Sql, until
from tests.integration.social.hands import is_waiting
from tests.integration.social.old_release import NOW, add_playlist
from tests.integration.social.test_privacy import add_person


async def liked_list(sql: Sql) -> tuple[str, str, str]:
    """Make a list that somebody likes and comments; returns its owner, that person and the list."""
    owner, other = [await add_person(sql, name) for name in ("owner", "other")]
    playlist_id = await add_playlist(sql, owner, visibility="PUBLIC")
    await sql.execute("INSERT INTO likes VALUES ($1, $2, $3)", other, playlist_id, NOW)
    await sql.execute("INSERT INTO saves VALUES ($1, $2, uuidv7(), $3)", other, playlist_id, NOW)
    await sql.execute("INSERT INTO comments VALUES (uuidv7(), $1, $2, 'Well made', $3)", playlist_id, other, NOW)
    return owner, other, playlist_id


async def counted_off(sql: Sql, kind: str, column: str, person: str) -> int:
    statement = f"SELECT coalesce(sum(amount), 0) FROM signals WHERE kind = $1 AND {column} = $2"
    return int(await sql.fetchval(statement, kind, person))


@pytest.mark.parametrize(
    ("step", "kind", "leaver", "column", "counted"),
    [
        ("likes", "like", 1, "user_id", 0),
        ("saves", "save", 1, "user_id", 0),
        ("likes of own lists", "like", 0, "actor_id", 1),
        ("comments on own lists", "comment", 0, "actor_id", 1),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
async def test_what_goes_with_its_giver_and_with_its_list_at_once_is_counted_off_once(
    database: Database, sql: Sql, step: str, kind: str, leaver: int, column: str, counted: int, is_first: bool
) -> None:
    owner, other, playlist_id = await liked_list(sql)

    async def leave(connection: Connection) -> None:
        await leaving.take(connection, leaving.STEPS[step], UserId((owner, other)[leaver]), 10)

    async def delete(connection: Connection) -> None:
        await playlists.delete_playlist(connection, PlaylistId(playlist_id), UserId(owner))

    async def at_once(does: Callable[[Connection], Awaitable[None]]) -> None:
        async with database.transaction() as connection:
            await does(connection)

    first, second = (leave, delete) if is_first else (delete, leave)
    async with database.transaction() as connection:
        await first(connection)
        later = asyncio.create_task(at_once(second))
        await until(lambda: is_waiting(sql, "playlists"))
    await later

    assert await sql.fetchval("SELECT count(*) FROM playlists") == 0
    assert await counted_off(sql, kind, column, (owner, other)[counted]) == -1


async def test_what_is_changed_while_its_person_leaves_goes_too(database: Database, sql: Sql) -> None:
    _, other, _ = await liked_list(sql)
    await sql.execute(
        "INSERT INTO jobs (job_id, kind, user_id, request, state, run_after, due_at) "
        "VALUES (uuidv7(), 'ACCOUNT_DELETION', $1, '{}', 'QUEUED', 'infinity', $2)", other, NOW,
    )  # fmt: skip
    async with database.transaction() as connection:
        job = await jobs.claim(connection, 60.0)
    assert job is not None
    async with database.transaction() as connection:
        await connection.execute("UPDATE comments SET hidden_at = $1", NOW)
        progress = Progress(database, job, now, time.monotonic)
        deletion = asyncio.create_task(AccountDeletion(database).run(job, progress))
        await until(lambda: is_waiting(sql, "UPDATE comments"))
    await deletion

    assert [tuple(row) for row in await sql.fetch("SELECT user_id, hidden_at FROM comments")] == [(None, NOW)]


async def test_two_tokens_of_a_session_that_come_at_once_wait_in_turn(database: Database, sql: Sql) -> None:
    """One of two tabs comes with a token that was used a moment ago, and goes on to what it was traded for."""
    person = await add_person(sql, "jay")
    session_id, used, following = new_id(), hash_refresh_token("used"), hash_refresh_token("following")
    await sql.execute(
        "INSERT INTO sessions (session_id, user_id, created_at, refreshed_at, expires_at) VALUES ($1, $2, $3, $3, $3)",
        session_id, person, NOW,
    )  # fmt: skip
    for token in (used, following):
        await sql.execute("INSERT INTO refresh_tokens VALUES ($1, $2, $3, $3)", token, session_id, NOW)

    async def other_tab() -> None:
        async with database.transaction() as connection:
            await accounts.lock_refresh_token(connection, following)

    async with database.transaction() as connection:
        await accounts.lock_refresh_token(connection, used)
        tab = asyncio.create_task(other_tab())
        await until(lambda: is_waiting(sql, "sessions"))
        assert await accounts.lock_refresh_token(connection, following) is not None
    await tab
