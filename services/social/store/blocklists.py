"""Rows of what people do not want to hear."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg

from services.social.domain.ids import UserId
from services.social.errors import TrackNotFound
from services.social.errors.library import ArtistNotFound, BlocklistFull
from services.social.store import accounts
from services.social.store.database import Connection

# Of each kind: as much as a search of the index leaves out.
MOST_BLOCKED = 10_000


class BlockedKind(StrEnum):
    """What is blocked; also the word in names of tables and columns."""

    TRACK = "track"
    ARTIST = "artist"


# Names of tables come from the kinds above, never from a caller.
COUNT = "SELECT count(*) FROM blocked_{kind}s WHERE user_id = $1"
IS_BLOCKED = "SELECT EXISTS (SELECT FROM blocked_{kind}s WHERE user_id = $1 AND {kind}_id = $2)"
INSERT = "INSERT INTO blocked_{kind}s (user_id, {kind}_id, at) VALUES ($1, $2, $3)"
DELETE = "DELETE FROM blocked_{kind}s WHERE user_id = $1 AND {kind}_id = $2"
LIST = """
SELECT {kind}_id AS blocked_id, at FROM blocked_{kind}s
WHERE user_id = $1 AND ($2::timestamptz IS NULL OR at < $2 OR (at = $2 AND {kind}_id > $3::uuid))
ORDER BY at DESC, {kind}_id LIMIT $4
"""
FORGET = """
DELETE FROM blocked_{kind}s WHERE user_id = $1 AND {kind}_id = ANY (
    ARRAY(SELECT {kind}_id FROM blocked_{kind}s WHERE user_id = $1 LIMIT $2)
)
"""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Something that somebody does not want to hear, and since when."""

    blocked_id: str
    at: datetime


async def block(connection: Connection, user_id: UserId, kind: BlockedKind, blocked_id: str, now: datetime) -> None:
    """Block something; what is blocked stays as it is. In a transaction: two at once are counted one by one.

    Raises:
        TrackNotFound, ArtistNotFound: There is no such thing.
        BlocklistFull: The person blocks 10,000 of the kind already.
    """
    await accounts.lock_person(connection, user_id)
    if await connection.fetchval(IS_BLOCKED.format(kind=kind), user_id, blocked_id):
        return
    if int(await connection.fetchval(COUNT.format(kind=kind), user_id)) >= MOST_BLOCKED:
        raise BlocklistFull(f"{kind}_id", MOST_BLOCKED)
    try:
        await connection.execute(INSERT.format(kind=kind), user_id, blocked_id, now)
    except asyncpg.ForeignKeyViolationError as error:
        raise (TrackNotFound if kind is BlockedKind.TRACK else ArtistNotFound)(blocked_id) from error


async def unblock(connection: Connection, user_id: UserId, kind: BlockedKind, blocked_id: str) -> None:
    """Let something be heard again; what is not blocked stays as it is."""
    await connection.execute(DELETE.format(kind=kind), user_id, blocked_id)


async def list_blocked(
    connection: Connection, user_id: UserId, kind: BlockedKind, after: Blocked | None, limit: int
) -> list[Blocked]:
    """Return what a person blocks, newest first, those after `after` in that order."""
    at, blocked_id = (None, None) if after is None else (after.at, after.blocked_id)
    rows = await connection.fetch(LIST.format(kind=kind), user_id, at, blocked_id, limit)
    return [Blocked(row["blocked_id"], row["at"]) for row in rows]


async def forget(connection: Connection, user_id: UserId, limit: int) -> int:
    """Delete some of what a person blocks; return how many rows."""
    gone = 0
    for kind in BlockedKind:
        answer = await connection.execute(FORGET.format(kind=kind), user_id, limit)
        gone += int(answer.rpartition(" ")[2])
    return gone
