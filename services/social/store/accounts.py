"""Rows of people, sessions, refresh tokens and signing keys."""

from datetime import datetime

import asyncpg

from services.social.domain.accounts import Login, NewAccount, Person, Role, ShownRefreshToken
from services.social.domain.ids import SessionId, UserId
from services.social.domain.sessions import Origin, SessionKind
from services.social.domain.tokens import SigningKey
from services.social.errors import NameTaken
from services.social.errors.credentials import AccountSuspended
from services.social.errors.sessions import SessionEnded
from services.social.store.batches import delete_all, some_of
from services.social.store.database import Connection

# Only the first transaction finds the row without a founder: others wait for its end, and then find one.
CLAIM_FOUNDER = "UPDATE mesh SET founder_id = $1 WHERE founder_id IS NULL RETURNING founder_id"

INSERT_USER = """
INSERT INTO users
    (user_id, username, username_key, nickname, email, email_key, role, password_hash, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
"""

PERSON = """
user_id, username, nickname, email, role, created_at, email_verified_at, locale, is_listed,
suspended_at IS NOT NULL AS is_suspended, deleted_at IS NOT NULL AS is_deleted
"""
SELECT_PERSON = f"SELECT {PERSON} FROM users WHERE user_id = $1"
SELECT_PEOPLE = f"SELECT {PERSON} FROM users WHERE user_id = ANY ($1::uuid[])"
_LOGIN = f"{PERSON}, password_hash, password_changed_at, coalesce(suspended_because, '') AS suspended_because"
SELECT_LOGIN = f"SELECT {_LOGIN} FROM users WHERE username_key = $1 OR email_key = $1"
SELECT_LOGIN_OF = f"SELECT {_LOGIN} FROM users WHERE user_id = $1"
LOCK_USER = """
SELECT suspended_at IS NULL AND deleted_at IS NULL FROM users WHERE user_id = $1 FOR NO KEY UPDATE
"""

INSERT_SESSION = """
INSERT INTO sessions (session_id, user_id, created_at, refreshed_at, expires_at, kind, user_agent, client)
VALUES ($1, $2, $3, $3, $4, $5, $6, $7)
"""
INSERT_REFRESH_TOKEN = """
INSERT INTO refresh_tokens (token_hash, session_id, created_at, expires_at) VALUES ($1, $2, $3, $4)
"""
# Before any of its tokens: who comes with two of one session does not wait for who comes with the other.
LOCK_SESSION_OF_TOKEN = """
SELECT FROM sessions WHERE session_id = (SELECT session_id FROM refresh_tokens WHERE token_hash = $1) FOR UPDATE
"""
# Both rows are locked: of two who show the same token, the second sees that it was used.
LOCK_REFRESH_TOKEN = """
SELECT token.session_id, session.user_id, token.expires_at, token.used_at, session.revoked_at
FROM refresh_tokens AS token JOIN sessions AS session USING (session_id)
WHERE token.token_hash = $1
FOR UPDATE
"""
USE_REFRESH_TOKEN = "UPDATE refresh_tokens SET used_at = $2 WHERE token_hash = $1"
PROLONG_SESSION = "UPDATE sessions SET refreshed_at = $2, seen_at = $2, expires_at = $3 WHERE session_id = $1"
REVOKE_SESSION = """
UPDATE sessions SET revoked_at = $2, revoked_because = $3 WHERE session_id = $1 AND revoked_at IS NULL
RETURNING session_id
"""
SELECT_REVOKED = "SELECT session_id FROM sessions WHERE revoked_at >= $1"
DELETE_EXPIRED_TOKENS = some_of("refresh_tokens", "expires_at < $1")
DELETE_EXPIRED_SESSIONS = some_of("sessions", "expires_at < $1")

LOCK_SIGNING_KEYS = "LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE"
SELECT_SIGNING_KEYS = """
SELECT key_id, private_key FROM signing_keys WHERE retired_at IS NULL ORDER BY created_at DESC, key_id
"""
INSERT_SIGNING_KEY = "INSERT INTO signing_keys (key_id, private_key) VALUES ($1, $2)"


async def insert_user(
    connection: Connection, user_id: UserId, account: NewAccount, password_hash: str, now: datetime
) -> Person:
    """Add a person; the first of a mesh becomes admin.

    Raises:
        NameTaken: Somebody else has the username or the address.
    """
    is_founder = await connection.fetchval(CLAIM_FOUNDER, user_id) is not None
    role = Role.ADMIN if is_founder else Role.USER
    try:
        await connection.execute(
            INSERT_USER,
            user_id,
            account.username,
            account.username_key,
            account.nickname,
            account.email,
            account.email_key,
            role.value,
            password_hash,
            now,
        )
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "users_username_unique":
            raise NameTaken("username", account.username) from error
        raise NameTaken("email", account.email) from error
    return Person(user_id, account.username, account.nickname, account.email, role, now)


async def find_person(connection: Connection, user_id: UserId) -> Person | None:
    """Return a person by id."""
    row = await connection.fetchrow(SELECT_PERSON, user_id)
    return None if row is None else person_of(row)


async def find_people(connection: Connection, user_ids: list[UserId]) -> list[Person]:
    """Return the people among these ids, in no particular order."""
    return [person_of(row) for row in await connection.fetch(SELECT_PEOPLE, user_ids)]


async def find_login(connection: Connection, login_key: str) -> Login | None:
    """Return the person with this folded username or address."""
    row = await connection.fetchrow(SELECT_LOGIN, login_key)
    return None if row is None else _login(row)


async def acting_login(connection: Connection, user_id: UserId) -> Login:
    """Return a person who acts with what proves it.

    Raises:
        SessionEnded: They have left, are suspended, or are not known here.
    """
    row = await connection.fetchrow(SELECT_LOGIN_OF, user_id)
    if row is None or not person_of(row).is_active:
        raise SessionEnded
    return _login(row)


async def lock_person(connection: Connection, user_id: UserId) -> None:
    """Let nobody else count and add something of this person's, who acts, until the transaction ends.

    Raises:
        SessionEnded: They have left, are suspended, or are not known here.
    """
    if not await connection.fetchval(LOCK_USER, user_id):
        raise SessionEnded


async def lock_anybody(connection: Connection, user_id: UserId) -> None:
    """Like `lock_person`, for what is done without them: also of somebody who has left or is suspended."""
    await connection.execute(LOCK_USER, user_id)


async def insert_session(
    connection: Connection,
    session_id: SessionId,
    user_id: UserId,
    kind: SessionKind,
    origin: Origin,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Add a session.

    Raises:
        AccountSuspended: The person is suspended or deleted.
    """
    try:
        await connection.execute(
            INSERT_SESSION, session_id, user_id, now, expires_at, kind.value, origin.user_agent, origin.client
        )
    except asyncpg.CheckViolationError as error:
        raise AccountSuspended from error


async def insert_refresh_token(
    connection: Connection, token_hash: bytes, session_id: SessionId, now: datetime, expires_at: datetime
) -> None:
    """Add the first refresh token of a session."""
    await connection.execute(INSERT_REFRESH_TOKEN, token_hash, session_id, now, expires_at)


async def lock_refresh_token(connection: Connection, token_hash: bytes) -> ShownRefreshToken | None:
    """Return what is known of a refresh token, and let nobody else trade it until the transaction ends."""
    await connection.execute(LOCK_SESSION_OF_TOKEN, token_hash)
    row = await connection.fetchrow(LOCK_REFRESH_TOKEN, token_hash)
    return None if row is None else ShownRefreshToken(**row)


async def trade_refresh_token(
    connection: Connection,
    old_hash: bytes,
    new_hash: bytes,
    session_id: SessionId,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Put a new refresh token in the place of an old one."""
    await connection.execute(USE_REFRESH_TOKEN, old_hash, now)
    await connection.execute(INSERT_REFRESH_TOKEN, new_hash, session_id, now, expires_at)
    await connection.execute(PROLONG_SESSION, session_id, now, expires_at)


async def revoke_session(connection: Connection, session_id: SessionId, because: str, now: datetime) -> bool:
    """End a session; say whether it had not ended before."""
    return await connection.fetchval(REVOKE_SESSION, session_id, now, because) is not None


async def revoked_sessions(connection: Connection, since: datetime) -> list[SessionId]:
    """List the sessions that were revoked since."""
    return [SessionId(row["session_id"]) for row in await connection.fetch(SELECT_REVOKED, since)]


async def delete_expired_sessions(connection: Connection, now: datetime) -> None:
    """Forget sessions and refresh tokens that nobody can continue."""
    await delete_all(connection, DELETE_EXPIRED_TOKENS, now)
    await delete_all(connection, DELETE_EXPIRED_SESSIONS, now)


async def signing_keys(connection: Connection, fresh: SigningKey) -> list[SigningKey]:
    """Return the keys in use, newest first, inside of a transaction; where there is none, `fresh` becomes the first."""
    await connection.execute(LOCK_SIGNING_KEYS)
    rows = await connection.fetch(SELECT_SIGNING_KEYS)
    if not rows:
        await connection.execute(INSERT_SIGNING_KEY, fresh.key_id, fresh.private_bytes)
        return [fresh]
    return [SigningKey(row["key_id"], row["private_key"]) for row in rows]


def person_of(row: asyncpg.Record) -> Person:
    """Return the person of a row that has the columns `PERSON`."""
    return Person(
        UserId(row["user_id"]),
        row["username"],
        row["nickname"],
        row["email"],
        Role(row["role"]),
        row["created_at"],
        row["email_verified_at"],
        row["locale"],
        row["is_listed"],
        row["is_suspended"],
        row["is_deleted"],
    )


def _login(row: asyncpg.Record) -> Login:
    return Login(person_of(row), row["password_hash"], row["password_changed_at"], row["suspended_because"])
