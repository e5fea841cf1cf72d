"""Rows of people as admins hold them: roles, suspensions, and what ends with them."""

from collections.abc import Iterable
from datetime import datetime

import asyncpg

from services.social import events
from services.social.domain.accounts import Person, Role, folded
from services.social.domain.folding import like_start
from services.social.domain.ids import UserId
from services.social.domain.jobs import Job
from services.social.domain.moderation import Account
from services.social.store import jobs, outbox
from services.social.store.database import Connection

# Before people's rows: of the last two admins who leave at once, the second sees that the first is gone.
LOCK_MESH = "SELECT FROM mesh FOR NO KEY UPDATE"
LOCK_PEOPLE = "SELECT FROM users WHERE user_id = ANY ($1::uuid[]) ORDER BY user_id FOR NO KEY UPDATE"
_ACCOUNT = """
    user_id, username, nickname, email, role, created_at, email_verified_at, suspended_at,
    coalesce(suspended_because, '') AS suspended_because, deleted_at
"""
SELECT_ACCOUNT = f"SELECT {_ACCOUNT} FROM users WHERE user_id = $1"
COUNT_OTHER_ADMINS = """
SELECT count(*) FROM users WHERE role = 'admin' AND suspended_at IS NULL AND deleted_at IS NULL AND user_id <> $1
"""
SUSPEND = """
UPDATE users SET suspended_at = $2, suspended_because = $3, updated_at = $2 WHERE user_id = $1
"""
REINSTATE = "UPDATE users SET suspended_at = NULL, suspended_because = NULL, updated_at = $2 WHERE user_id = $1"
SET_ROLE = "UPDATE users SET role = $2, updated_at = $3 WHERE user_id = $1"
# A switch of encoders is the mesh's, whoever asked for it.
CANCEL_JOBS = f"""
UPDATE jobs SET state = 'CANCELLED', finished_at = $2, lease_until = NULL
WHERE user_id = $1 AND finished_at IS NULL AND kind <> 'ENCODER_SWITCH'
RETURNING {jobs.JOB}
"""
# Each branch has an index of its own. An empty beginning is everybody's.
SEARCH = f"""
SELECT {_ACCOUNT} FROM users
WHERE (username_key LIKE $1 OR email_key LIKE $1 OR lower(nickname) LIKE lower($2))
    AND ($3::text IS NULL OR username_key > $3) ORDER BY username_key LIMIT $4
"""
LIST = f"SELECT {_ACCOUNT} FROM users WHERE $1::text IS NULL OR username_key > $1 ORDER BY username_key LIMIT $2"


async def lock_people(connection: Connection, user_ids: Iterable[UserId]) -> None:
    """Let nobody else suspend, promote or act in the name of these people until the transaction ends."""
    await connection.execute(LOCK_MESH)
    await connection.execute(LOCK_PEOPLE, sorted(set(user_ids)))


async def find_account(connection: Connection, user_id: UserId) -> Account | None:
    """Return a person as admins see them, who left, too."""
    row = await connection.fetchrow(SELECT_ACCOUNT, user_id)
    return None if row is None else _account(row)


async def has_other_admin(connection: Connection, user_id: UserId) -> bool:
    """Say whether the mesh is kept by somebody else, too; in a transaction that has locked the person."""
    return bool(await connection.fetchval(COUNT_OTHER_ADMINS, user_id))


async def suspend(connection: Connection, user_id: UserId, because: str, now: datetime) -> None:
    """Put a person and what is theirs out of sight."""
    await connection.execute(SUSPEND, user_id, now, because)


async def reinstate(connection: Connection, user_id: UserId, now: datetime) -> None:
    """End a suspension."""
    await connection.execute(REINSTATE, user_id, now)


async def set_role(connection: Connection, user_id: UserId, role: Role, now: datetime) -> None:
    """Give a person another role."""
    await connection.execute(SET_ROLE, user_id, role.value, now)


async def cancel_jobs(connection: Connection, user_id: UserId, now: datetime) -> list[Job]:
    """Call off every open job of a person's; a worker that has one notices when it next writes."""
    cancelled = [jobs.to_job(row) for row in await connection.fetch(CANCEL_JOBS, user_id, now)]
    await outbox.add(connection, *(events.job_progressed(job) for job in cancelled))
    return cancelled


async def search(connection: Connection, query: str, after: str | None, limit: int) -> list[Account]:
    """Return people whose username, address or nickname begins so, by username, those after `after`."""
    if not query:
        return [_account(row) for row in await connection.fetch(LIST, after, limit)]
    keys, shown = like_start(folded(query)), like_start(query)
    return [_account(row) for row in await connection.fetch(SEARCH, keys, shown, after, limit)]


def key_of(account: Account) -> str:
    """Return what a list of people is ordered by."""
    return folded(account.person.username)


def _account(row: asyncpg.Record) -> Account:
    person = Person(
        UserId(row["user_id"]), row["username"], row["nickname"], row["email"], Role(row["role"]), row["created_at"]
    )
    return Account(person, row["email_verified_at"], row["suspended_at"], row["suspended_because"], row["deleted_at"])
