"""Signals: facts to be counted, inserted with what they tell of and taken out by the tallier.

Nobody updates a count in the transaction of what is counted: a popular playlist's row would make everybody wait for
everybody. A signal is a row of its own, deleted in the transaction that counts it, and so counted exactly once.
"""

from datetime import datetime
from typing import Any, NamedTuple

from services.social.domain.ids import PlaylistId, TrackId, UserId
from services.social.domain.signals import SignalKind
from services.social.store.database import Connection

INSERT = """
    INSERT INTO signals (kind, actor_id, playlist_id, track_id, user_id, amount, at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""

# Whoever deletes holds TALLY_LOCK: no two count at a time.
TAKE = """
    DELETE FROM signals
    WHERE signal_id IN (SELECT signal_id FROM signals ORDER BY signal_id LIMIT $1)
    RETURNING kind, actor_id, playlist_id, track_id, user_id, amount, at, signal_id
"""

TALLY_LOCK = "SELECT pg_try_advisory_xact_lock(7305805, 1)"

PENDING_OF_PLAYLIST = """
    SELECT kind, sum(amount)::int AS amount FROM signals WHERE playlist_id = $1 GROUP BY kind
"""

PENDING_OF_PERSON = """
    SELECT kind, sum(amount)::int AS amount FROM signals WHERE user_id = $1 GROUP BY kind
"""


class Signal(NamedTuple):
    """One fact.

    Attributes:
        kind: What happened.
        actor_id: Who did it; None for nobody in particular.
        playlist_id: To which playlist.
        track_id: To which track.
        user_id: To whom: the owner of the playlist, or who is followed.
        amount: 1, or −1 where it is taken back; more where one statement made several.
        at: When; of what is taken back, when that had been.
    """

    kind: SignalKind
    actor_id: UserId | None
    playlist_id: PlaylistId | None
    track_id: TrackId | None
    user_id: UserId | None
    amount: int
    at: datetime


async def add(
    connection: Connection,
    kind: SignalKind,
    at: datetime,
    *,
    actor_id: UserId | None = None,
    playlist_id: PlaylistId | None = None,
    track_id: TrackId | None = None,
    user_id: UserId | None = None,
    amount: int = 1,
) -> None:
    """Tell that something happened; in the transaction in which it does."""
    await connection.execute(INSERT, kind, actor_id, playlist_id, track_id, user_id, amount, at)


async def take(connection: Connection, limit: int) -> list[Signal]:
    """Take the oldest signals out, in order; none where another process is counting."""
    if not await connection.fetchval(TALLY_LOCK):
        return []
    rows = await connection.fetch(TAKE, limit)
    return [_signal(row) for row in sorted(rows, key=lambda row: int(row["signal_id"]))]


async def pending_of_playlist(connection: Connection, playlist_id: PlaylistId) -> dict[SignalKind, int]:
    """Return what is not counted yet of a playlist."""
    rows = await connection.fetch(PENDING_OF_PLAYLIST, playlist_id)
    return {SignalKind(row["kind"]): row["amount"] for row in rows}


async def pending_of_person(connection: Connection, user_id: UserId) -> dict[SignalKind, int]:
    """Return what others did to a person and their playlists that is not counted yet."""
    rows = await connection.fetch(PENDING_OF_PERSON, user_id)
    return {SignalKind(row["kind"]): row["amount"] for row in rows}


def _signal(row: Any) -> Signal:
    return Signal(
        SignalKind(row["kind"]),
        row["actor_id"],
        row["playlist_id"],
        row["track_id"],
        row["user_id"],
        row["amount"],
        row["at"],
    )
