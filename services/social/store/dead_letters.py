"""Rows of dead letters: what fills their stream again when NATS has lost it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.social.store.database import Connection

KEEP = """
INSERT INTO dead_letters (message_id, subject, payload, headers) VALUES ($1, $2, $3, $4)
ON CONFLICT (message_id) DO NOTHING
"""
FORGET = "DELETE FROM dead_letters WHERE message_id = $1"
SELECT_SOME = """
SELECT message_id, subject, payload, headers FROM dead_letters WHERE message_id > $1 ORDER BY message_id LIMIT $2
"""
DELETE_OLD = """
DELETE FROM dead_letters WHERE message_id IN (
    SELECT message_id FROM dead_letters WHERE kept_at < $1 ORDER BY kept_at LIMIT $2
)
"""


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """A letter as it was published."""

    message_id: str
    subject: str
    payload: bytes
    headers: dict[str, str]


async def keep(connection: Connection, letter: KeptLetter) -> None:
    """Keep a letter; one that is kept already stays as it is."""
    await connection.execute(KEEP, letter.message_id, letter.subject, letter.payload, letter.headers)


async def forget(connection: Connection, message_id: str) -> None:
    """Forget a letter that was taken away."""
    await connection.execute(FORGET, message_id)


async def kept(connection: Connection, after: str, limit: int) -> Sequence[KeptLetter]:
    """Return letters in the order of their ids, those after one; empty begins."""
    return [KeptLetter(**row) for row in await connection.fetch(SELECT_SOME, after, limit)]


async def delete_old(connection: Connection, before: datetime, limit: int) -> int:
    """Forget letters that were kept before a time; returns how many of at most `limit`."""
    return int((await connection.execute(DELETE_OLD, before, limit)).split()[-1])
