"""Figures of days by genre, track, artist and playlist, kept by the tallier alone."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date

import asyncpg

from services.social.domain.signals import SignalKind
from services.social.domain.trends import Dimension, Period, Trend
from services.social.store.database import Connection
from services.social.store.signals import Signal

_BATCH_SIZE = 5_000

# Their signals were written in the same transactions, and so are taken no earlier than these.
TAKE_PLAYS = """
DELETE FROM trend_plays WHERE id IN (SELECT id FROM trend_plays ORDER BY id LIMIT $1)
RETURNING day, genre, track_id, artist_id, playlist_id, amount, genre_listeners, track_listeners, artist_listeners,
    playlist_listeners
"""
ADD = """
INSERT INTO daily_trends AS known (day, dimension, subject, plays, listeners, likes, saves)
SELECT * FROM unnest($1::date[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
ON CONFLICT (dimension, day, subject) DO UPDATE SET
    plays = greatest(0, known.plays + excluded.plays), listeners = greatest(0, known.listeners + excluded.listeners),
    likes = known.likes + excluded.likes, saves = known.saves + excluded.saves
"""
_FIGURES = "sum(plays) AS plays, sum(listeners) AS listeners, sum(likes) AS likes, sum(saves) AS saves"
# A page of one period, by its subjects; the servicer's loop goes from period to period.
SELECT_PERIOD = f"""
SELECT subject, {_FIGURES} FROM daily_trends
WHERE dimension = $1 AND day BETWEEN $2 AND $3 AND subject > $4 GROUP BY subject ORDER BY subject LIMIT $5
"""
SELECT_PERIOD_OF_SUBJECT = f"""
SELECT subject, {_FIGURES} FROM daily_trends
WHERE dimension = $1 AND day BETWEEN $2 AND $3 AND subject > $4 AND subject = $6 GROUP BY subject LIMIT $5
"""
LABELS = {
    Dimension.TRACK: """
        SELECT track_id::text AS subject, title || CASE WHEN artist = '' THEN '' ELSE ' – ' || artist END AS label
        FROM tracks WHERE track_id = ANY ($1::uuid[])
    """,
    Dimension.ARTIST: """
        SELECT artist_id::text AS subject, name AS label FROM artists WHERE artist_id = ANY ($1::uuid[])
    """,
    Dimension.PLAYLIST: """
        SELECT p.playlist_id::text AS subject, p.title AS label
        FROM playlists AS p JOIN users AS o ON o.user_id = p.owner_id
        WHERE p.playlist_id = ANY ($1::uuid[]) AND p.visibility = 'PUBLIC' AND p.hidden_at IS NULL
            AND o.suspended_at IS NULL AND o.deleted_at IS NULL
    """,
}


@dataclass
class _Figures:
    plays: int = 0
    listeners: int = 0
    likes: int = 0
    saves: int = 0


async def fold(connection: Connection, batch: Sequence[Signal]) -> None:
    """Count plays, their listeners, likes and copies by day: a fold of the tallier."""
    sums: defaultdict[tuple[date, str, str], _Figures] = defaultdict(_Figures)
    for row in await connection.fetch(TAKE_PLAYS, _BATCH_SIZE):
        for dimension, subject, listeners in (
            (Dimension.GENRE, row["genre"], row["genre_listeners"]),
            (Dimension.TRACK, row["track_id"], row["track_listeners"]),
            (Dimension.ARTIST, row["artist_id"], row["artist_listeners"]),
            (Dimension.PLAYLIST, row["playlist_id"], row["playlist_listeners"]),
        ):
            if subject is not None:
                figures = sums[row["day"], dimension.value, subject]
                figures.plays += row["amount"]
                figures.listeners += listeners
    for signal in batch:
        if signal.playlist_id is not None and signal.kind in (SignalKind.LIKE, SignalKind.SAVE):
            day = signal.at.astimezone(UTC).date()
            figures = sums[day, Dimension.PLAYLIST.value, signal.playlist_id]
            if signal.kind == SignalKind.LIKE:
                figures.likes += signal.amount
            else:
                figures.saves += signal.amount
    if sums:
        keys = sorted(sums)
        found = [sums[key] for key in keys]
        await connection.execute(
            ADD,
            *([key[part] for key in keys] for part in range(3)),
            [one.plays for one in found],
            [one.listeners for one in found],
            [one.likes for one in found],
            [one.saves for one in found],
        )


async def trends_of(
    connection: Connection, dimension: Dimension, period: Period, after: str, limit: int, subject: str
) -> list[Trend]:
    """Return figures of a period by subject, those after one; of one subject alone where it is given."""
    arguments = (dimension.value, period.first, period.last, after, limit)
    if subject:
        rows = await connection.fetch(SELECT_PERIOD_OF_SUBJECT, *arguments, subject)
    else:
        rows = await connection.fetch(SELECT_PERIOD, *arguments)
    labels = await _labels(connection, dimension, [row["subject"] for row in rows])
    return [_trend(period, row, labels.get(row["subject"], "")) for row in rows]


async def _labels(connection: Connection, dimension: Dimension, subjects: Sequence[str]) -> dict[str, str]:
    if dimension is Dimension.GENRE or not subjects:
        return {subject: subject for subject in subjects}
    return {row["subject"]: row["label"] for row in await connection.fetch(LABELS[dimension], subjects)}


def _trend(period: Period, row: asyncpg.Record, label: str) -> Trend:
    figures = (int(row[name]) for name in ("plays", "listeners", "likes", "saves"))
    return Trend(period.shown, row["subject"], label, *figures)
