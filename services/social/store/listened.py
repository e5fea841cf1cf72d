"""Sums of what people hear, kept in the transactions of their plays; who writes has locked the person."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from datetime import date, datetime

from services.social.domain.ids import PlaylistId, TrackId, UserId
from services.social.domain.listening import HALF_LIFE, HeardPlay
from services.social.domain.signals import SignalKind, added
from services.social.store import signals
from services.social.store.database import Connection

SELECT_LISTENING = (
    "SELECT track_id, plays, first_at, last_at, score FROM listening WHERE user_id = $1 AND track_id = ANY ($2::uuid[])"
)
SELECT_COUNTED_OF_TRACKS = """
SELECT track_id, played_at FROM plays WHERE user_id = $1 AND counted AND track_id = ANY ($2::uuid[]) ORDER BY played_at
"""
SET_LISTENING = """
INSERT INTO listening (user_id, track_id, plays, first_at, last_at, score)
SELECT $1, * FROM unnest($2::uuid[], $3::int[], $4::timestamptz[], $5::timestamptz[], $6::float8[])
ON CONFLICT (user_id, track_id) DO UPDATE SET
    plays = excluded.plays, first_at = excluded.first_at, last_at = excluded.last_at, score = excluded.score
"""
DELETE_LISTENING = "DELETE FROM listening WHERE user_id = $1 AND track_id = ANY ($2::uuid[])"
ADD_TO_DAYS = """
INSERT INTO daily_listening AS known (user_id, day, genre, plays, seconds)
SELECT $1, * FROM unnest($2::date[], $3::text[], $4::int[], $5::float8[])
ON CONFLICT (user_id, day, genre) DO UPDATE SET
    plays = known.plays + excluded.plays, seconds = greatest(0, known.seconds + excluded.seconds)
"""
DROP_EMPTY_DAYS = "DELETE FROM daily_listening WHERE user_id = $1 AND day = ANY ($2::date[]) AND plays <= 0"
ADD_TO_MONTHS = """
INSERT INTO daily_tracks_of AS known (user_id, month, track_id, plays)
SELECT $1, * FROM unnest($2::date[], $3::uuid[], $4::int[])
ON CONFLICT (user_id, month, track_id) DO UPDATE SET plays = known.plays + excluded.plays
"""
DROP_EMPTY_MONTHS = """
DELETE FROM daily_tracks_of WHERE user_id = $1 AND month = ANY ($2::date[]) AND plays <= 0
"""
TELL_TRENDS = """
INSERT INTO trend_plays
    (day, genre, track_id, artist_id, playlist_id, amount, genre_listeners, track_listeners, artist_listeners,
     playlist_listeners)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""

# What somebody can be a listener of on a day.
Subject = tuple[date, str, str]


async def add_plays(connection: Connection, user_id: UserId, plays: Sequence[HeardPlay]) -> None:
    """Add plays that count, by increasing time, to the sums by track."""
    times: defaultdict[TrackId, list[datetime]] = defaultdict(list)
    for play in plays:
        times[play.track_id].append(play.played_at)
    rows = await connection.fetch(SELECT_LISTENING, user_id, list(times))
    before = {row["track_id"]: row for row in rows}
    changed = []
    for track_id, more in sorted(times.items()):
        row = before.get(track_id)
        score = None if row is None else row["score"]
        for at in more:
            score = added(score, 1.0, at, HALF_LIFE)
        known = [] if row is None else [row["first_at"], row["last_at"]]
        count = len(more) + (0 if row is None else row["plays"])
        changed.append((track_id, count, min(known + more), max(known + more), score))
    await connection.execute(SET_LISTENING, user_id, *_columns(changed))


async def recount(connection: Connection, user_id: UserId, track_ids: Sequence[TrackId]) -> None:
    """Make the sums of some tracks anew from the plays that are left."""
    times: defaultdict[TrackId, list[datetime]] = defaultdict(list)
    for row in await connection.fetch(SELECT_COUNTED_OF_TRACKS, user_id, track_ids):
        times[row["track_id"]].append(row["played_at"])
    changed = []
    for track_id, left in sorted(times.items()):
        score: float | None = None
        for at in left:
            score = added(score, 1.0, at, HALF_LIFE)
        changed.append((track_id, len(left), left[0], left[-1], score))
    if changed:
        await connection.execute(SET_LISTENING, user_id, *_columns(changed))
    await connection.execute(DELETE_LISTENING, user_id, [one for one in track_ids if one not in times])


async def count_by_time(connection: Connection, user_id: UserId, plays: Sequence[HeardPlay], sign: int) -> None:
    """Add plays that count to the sums by day and by month, or take them out again.

    Args:
        connection: In a transaction that has locked the person.
        user_id: The person.
        plays: Those that count.
        sign: 1, or −1 to take them out.
    """
    counts, seconds = Counter[tuple[date, str]](), Counter[tuple[date, str]]()
    months = Counter[tuple[date, TrackId]]()
    for play in plays:
        counts[play.day, play.genre] += sign
        seconds[play.day, play.genre] += sign * play.heard_seconds  # type: ignore[assignment]  # floats add as well
        months[play.day.replace(day=1), play.track_id] += sign
    keys = sorted(counts)
    await connection.execute(
        ADD_TO_DAYS,
        user_id,
        [day for day, _ in keys],
        [genre for _, genre in keys],
        [counts[key] for key in keys],
        [seconds[key] for key in keys],
    )
    of_months = sorted(months)
    await connection.execute(
        ADD_TO_MONTHS,
        user_id,
        [month for month, _ in of_months],
        [track_id for _, track_id in of_months],
        [months[key] for key in of_months],
    )
    if sign < 0:
        await connection.execute(DROP_EMPTY_DAYS, user_id, sorted({day for day, _ in keys}))
        await connection.execute(DROP_EMPTY_MONTHS, user_id, sorted({month for month, _ in of_months}))


async def tell(
    connection: Connection,
    user_id: UserId,
    plays: Sequence[HeardPlay],
    others: Sequence[HeardPlay],
    of_another: Collection[PlaylistId],
    sign: int,
) -> None:
    """Tell tallier and trends of plays that count, or of those that are forgotten.

    Args:
        connection: In the transaction of the plays.
        user_id: Whose plays.
        plays: Those that count, or counted.
        others: All others of the person's that count on the same days.
        of_another: Playlists among theirs that are somebody else's: plays of one's own lift nothing.
        sign: 1, or −1 where they are forgotten.
    """
    heard = {subject for play in others for subject in subjects_of(play)}
    facts = []
    for play in plays:
        lifted = play.playlist_id if play.playlist_id in of_another else None
        listens = {}
        for subject in subjects_of(play):
            listens[subject[1]] = 0 if subject in heard else sign
            heard.add(subject)
        kinds = [listens.get(kind, 0) for kind in ("GENRE", "TRACK", "ARTIST")]
        lists = 0 if lifted is None else listens["PLAYLIST"]
        facts.append((play.day, play.genre, play.track_id, play.artist_id, lifted, sign, *kinds, lists))
    told = [
        (
            SignalKind.PLAY.value,
            user_id,
            play.playlist_id if play.playlist_id in of_another else None,
            play.track_id,
            None,
            sign,
            play.played_at,
        )
        for play in plays
    ]
    # Before the signals, which make the tallier look.
    await connection.executemany(TELL_TRENDS, facts)
    await connection.executemany(signals.INSERT, told)


def subjects_of(play: HeardPlay) -> list[Subject]:
    """Return what a play makes its person a listener of."""
    found = [(play.day, "GENRE", play.genre), (play.day, "TRACK", str(play.track_id))]
    if play.artist_id is not None:
        found.append((play.day, "ARTIST", play.artist_id))
    if play.playlist_id is not None:
        found.append((play.day, "PLAYLIST", str(play.playlist_id)))
    return found


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
