"""Rows of idempotency keys, of every operation that makes a row."""

from datetime import datetime

from services.social.domain.ids import UserId
from services.social.store.batches import delete_all, some_of
from services.social.store.database import Connection

# An expired key is as good as none. Of two at once, the second waits and then finds the first's.
CLAIM_KEY = """
INSERT INTO idempotency_keys AS known (user_id, operation, key, request_digest, result_id, expires_at)
VALUES ($1, $2, $3, $4, $5, $7)
ON CONFLICT (user_id, operation, key) DO UPDATE
SET request_digest = excluded.request_digest, result_id = excluded.result_id, expires_at = excluded.expires_at
WHERE known.expires_at <= $6
RETURNING result_id
"""
SELECT_KEY = """
SELECT request_digest, result_id FROM idempotency_keys WHERE user_id = $1 AND operation = $2 AND key = $3
"""
FIND_RESULT = """
SELECT result_id FROM idempotency_keys WHERE user_id = $1 AND operation = $2 AND key = $3 AND expires_at > $4
"""
DELETE_EXPIRED_KEYS = some_of("idempotency_keys", "expires_at <= $1")


async def claim_key(
    connection: Connection,
    user_id: UserId,
    operation: str,
    key: str,
    request_digest: bytes,
    result_id: str,
    now: datetime,
    expires_at: datetime,
) -> tuple[bytes, str]:
    """Bind an idempotency key to a request and its result, unless it is bound already.

    Returns:
        Digest and result that the key is bound to: the given ones, or those of the first request.
    """
    bound = await connection.fetchval(CLAIM_KEY, user_id, operation, key, request_digest, result_id, now, expires_at)
    if bound is not None:
        return request_digest, result_id
    row = await connection.fetchrow(SELECT_KEY, user_id, operation, key)
    assert row is not None, "a key that is in the way is there"
    return row["request_digest"], row["result_id"]


async def find_result(connection: Connection, user_id: UserId, operation: str, key: str, now: datetime) -> str | None:
    """Return what a key is bound to, None where it is bound to nothing."""
    found: str | None = await connection.fetchval(FIND_RESULT, user_id, operation, key, now)
    return found


async def delete_expired_keys(connection: Connection, now: datetime) -> None:
    """Forget idempotency keys whose time is over."""
    await delete_all(connection, DELETE_EXPIRED_KEYS, now)
