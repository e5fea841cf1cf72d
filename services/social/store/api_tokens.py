"""Rows of API tokens: one holds while its session does."""

from datetime import datetime

import asyncpg

from services.chassis.scopes import Scope
from services.social.domain.accounts import Role
from services.social.domain.api_tokens import ApiToken
from services.social.domain.ids import ApiTokenId, SessionId, UserId
from services.social.store.database import Connection

_COLUMNS = "token.token_id, token.name, token.scopes, token.created_at, token.expires_at, token.used_at"
# A session that is gone has expired.
_LIVING = "token.revoked_at IS NULL AND token.expires_at > $2 AND session.revoked_at IS NULL"

INSERT_TOKEN = """
INSERT INTO api_tokens (token_id, user_id, session_id, token_hash, name, scopes, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
LIST_TOKENS = f"""
SELECT {_COLUMNS}
FROM api_tokens AS token JOIN sessions AS session USING (session_id)
WHERE token.user_id = $1 AND {_LIVING} AND ($3::uuid IS NULL OR token.token_id < $3)
ORDER BY token.token_id DESC
LIMIT $4
"""
COUNT_TOKENS = f"""
SELECT count(*)
FROM api_tokens AS token JOIN sessions AS session USING (session_id)
WHERE token.user_id = $1 AND {_LIVING}
"""
SELECT_TOKEN = f"SELECT {_COLUMNS} FROM api_tokens AS token WHERE token.token_id = $1 AND token.user_id = $2"
SESSION_OF_TOKEN = "SELECT session_id FROM api_tokens WHERE token_id = $1 AND user_id = $2"
DELETE_ENDED = """
DELETE FROM api_tokens AS token
WHERE user_id = $1 AND (revoked_at IS NOT NULL OR expires_at <= $2)
"""
# The session first, as those lock it who end it: what was ended meanwhile is found to be so under the lock.
USE_SESSION = f"""
UPDATE sessions AS session SET seen_at = $2
FROM api_tokens AS token JOIN users AS person USING (user_id)
WHERE token.token_hash = $1 AND session.session_id = token.session_id
    AND {_LIVING} AND person.suspended_at IS NULL AND person.deleted_at IS NULL
RETURNING token.user_id, token.session_id, token.scopes, person.role
"""
USE_TOKEN = "UPDATE api_tokens SET used_at = $2 WHERE token_hash = $1"


async def insert_token(
    connection: Connection, user_id: UserId, session_id: SessionId, token_hash: bytes, token: ApiToken
) -> None:
    """Add a token, whose session is there."""
    await connection.execute(
        INSERT_TOKEN,
        token.token_id,
        user_id,
        session_id,
        token_hash,
        token.name,
        [scope.value for scope in Scope if scope in token.scopes],
        token.created_at,
        token.expires_at,
    )


async def living_tokens(
    connection: Connection, user_id: UserId, now: datetime, before: ApiTokenId | None, limit: int
) -> list[ApiToken]:
    """List a person's tokens that hold, newest first, those older than `before`."""
    return [_token(row) for row in await connection.fetch(LIST_TOKENS, user_id, now, before, limit)]


async def count_living(connection: Connection, user_id: UserId, now: datetime) -> int:
    """Count a person's tokens that hold."""
    return int(await connection.fetchval(COUNT_TOKENS, user_id, now))


async def find_token(connection: Connection, token_id: ApiTokenId, user_id: UserId) -> ApiToken | None:
    """Return a person's token, whether or not it holds."""
    row = await connection.fetchrow(SELECT_TOKEN, token_id, user_id)
    return None if row is None else _token(row)


async def is_own(connection: Connection, token_id: ApiTokenId, user_id: UserId) -> bool:
    """Say whether a token is this person's, whether or not it holds."""
    return await connection.fetchrow(SESSION_OF_TOKEN, token_id, user_id) is not None


async def session_of(connection: Connection, token_id: ApiTokenId, user_id: UserId) -> SessionId | None:
    """Return the session of a person's token; None where there is no such token, or its time is over."""
    found = await connection.fetchval(SESSION_OF_TOKEN, token_id, user_id)
    return None if found is None else SessionId(found)


async def delete_ended(connection: Connection, user_id: UserId, now: datetime) -> None:
    """Forget a person's tokens that hold no more."""
    await connection.execute(DELETE_ENDED, user_id, now)


async def use_token(
    connection: Connection, token_hash: bytes, now: datetime
) -> tuple[UserId, SessionId, frozenset[Scope], Role] | None:
    """Note that a token is used; return whose it is, its session, its scopes and the person's role, if it holds."""
    row = await connection.fetchrow(USE_SESSION, token_hash, now)
    if row is None:
        return None
    await connection.execute(USE_TOKEN, token_hash, now)
    return UserId(row["user_id"]), SessionId(row["session_id"]), _scopes(row), Role(row["role"])


def _token(row: asyncpg.Record) -> ApiToken:
    return ApiToken(
        ApiTokenId(row["token_id"]), row["name"], _scopes(row), row["created_at"], row["expires_at"], row["used_at"]
    )


def _scopes(row: asyncpg.Record) -> frozenset[Scope]:
    return frozenset(scope for scope in Scope if scope.value in row["scopes"])
