"""Rows of idempotency keys of sign-ups, which belong to nobody before."""

import hashlib
from datetime import datetime

from services.social.domain.idempotency import IDEMPOTENCY_LIFE
from services.social.domain.ids import UserId
from services.social.errors import IdempotencyKeyReused
from services.social.store.batches import delete_all, some_of
from services.social.store.database import Connection

# An expired key is as good as none. Of two at once, the second waits and then finds the first's.
CLAIM = """
INSERT INTO sign_up_keys AS known (key_hash, request_digest, user_id, expires_at) VALUES ($1, $2, $3, $5)
ON CONFLICT (key_hash) DO UPDATE
SET request_digest = excluded.request_digest, user_id = excluded.user_id, expires_at = excluded.expires_at
WHERE known.expires_at <= $4
RETURNING user_id
"""
SELECT = "SELECT request_digest FROM sign_up_keys WHERE key_hash = $1"
DELETE_EXPIRED = some_of("sign_up_keys", "expires_at <= $1")


async def claim(connection: Connection, key: str, request_digest: bytes, user_id: UserId, now: datetime) -> bool:
    """Bind a key to a person who is made in this transaction; False where the same request made somebody before.

    Raises:
        IdempotencyKeyReused: It came with another request.
    """
    key_hash = hashlib.sha256(key.encode()).digest()
    if await connection.fetchval(CLAIM, key_hash, request_digest, user_id, now, now + IDEMPOTENCY_LIFE) is not None:
        return True
    if await connection.fetchval(SELECT, key_hash) != request_digest:
        raise IdempotencyKeyReused(key)
    return False


async def delete_expired(connection: Connection, now: datetime) -> None:
    """Forget keys whose time is over."""
    await delete_all(connection, DELETE_EXPIRED, now)
