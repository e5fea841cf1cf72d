"""Reads what a person listens to, by range, and of what genres the playlists are that they made."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.social.domain.ids import UserId
from services.social.domain.ranges import ListeningRange, Share, first_day, shares
from services.social.store.database import Connection
from services.social.store.visibility import blocked

MOST_MADE_PLAYLISTS = 100

SELECT_GENRES = """
SELECT genre, sum(plays)::bigint AS plays, sum(seconds) AS seconds FROM daily_listening
WHERE user_id = $1 AND day >= coalesce($2::date, '-infinity') GROUP BY genre
"""
SELECT_GENRES_OF_EACH = """
SELECT user_id, genre, sum(plays)::bigint AS plays FROM daily_listening WHERE user_id = ANY ($1::uuid[])
GROUP BY user_id, genre
"""
# Where counts of plays come from: of a few days the plays themselves, of months their sums, of all time the tracks'.
# Each takes the person, and the first day, where there is one.
SINCE_DAY = """
SELECT track_id, count(*) AS plays FROM plays
WHERE user_id = $1 AND counted AND played_at >= $2::date::timestamp AT TIME ZONE 'UTC' GROUP BY track_id
"""
SINCE_MONTH = """
SELECT track_id, sum(plays)::bigint AS plays FROM daily_tracks_of WHERE user_id = $1 AND month >= $2::date
GROUP BY track_id
"""
SINCE_EVER = "SELECT track_id, plays FROM listening WHERE user_id = $1 AND $2::date IS NULL"

# A track that is gone is nobody's favourite any more.
TOP_TRACKS = """
SELECT heard.track_id, heard.plays::bigint AS plays FROM ({heard}) AS heard
WHERE EXISTS (SELECT FROM tracks WHERE tracks.track_id = heard.track_id)
ORDER BY heard.plays DESC, heard.track_id LIMIT $3
"""
TOP_ARTISTS = """
SELECT artist.artist_id, artist.name, sum(heard.plays)::bigint AS plays
FROM ({heard}) AS heard JOIN tracks USING (track_id) JOIN artists AS artist USING (artist_id)
GROUP BY artist.artist_id ORDER BY plays DESC, artist.artist_id LIMIT $3
"""
SELECT_MADE = """
SELECT track.genre, count(*) AS entries
FROM (
    SELECT playlist_id FROM playlists
    WHERE owner_id = $1 AND copied_from IS NULL AND ($2 OR (visibility = 'PUBLIC' AND hidden_at IS NULL))
    ORDER BY playlist_id DESC LIMIT $3
) AS made
JOIN playlist_entries AS entry USING (playlist_id) JOIN tracks AS track USING (track_id)
GROUP BY track.genre
"""
# Which of these may be seen by somebody ($2, NULL for a guest).
SELECT_SEEN_PERSON = f"""
SELECT user_id, is_listed OR user_id IS NOT DISTINCT FROM $2::uuid AS is_open FROM users
WHERE user_id = ANY ($1::uuid[]) AND deleted_at IS NULL
    AND (user_id IS NOT DISTINCT FROM $2::uuid OR (suspended_at IS NULL AND NOT {blocked("users.user_id", "$2::uuid")}))
"""


@dataclass(frozen=True, slots=True)
class Top:
    """Something heard most: a track, or an artist with a name."""

    key: str
    name: str
    plays: int


@dataclass(frozen=True, slots=True)
class Listening:
    """What a person listens to in a range."""

    plays: int
    seconds: float
    genres: list[Share]
    tracks: list[Top]
    artists: list[Top]


async def is_open(connection: Connection, user_id: UserId, viewer_id: UserId | None) -> bool | None:
    """Say whether somebody's listening is open to a viewer; None where there is no such person for them."""
    return (await are_open(connection, [user_id], viewer_id)).get(user_id)


async def are_open(connection: Connection, user_ids: Sequence[UserId], viewer_id: UserId | None) -> dict[UserId, bool]:
    """Say of those of these people who are there for a viewer whether their listening is open to them."""
    rows = await connection.fetch(SELECT_SEEN_PERSON, user_ids, viewer_id)
    return {UserId(row["user_id"]): row["is_open"] for row in rows}


async def genres_of_each(connection: Connection, user_ids: Sequence[UserId]) -> dict[UserId, list[Share]]:
    """Return the genres of all plays of these people, most first; all of them are in it."""
    counts: dict[UserId, dict[str, int]] = {user_id: {} for user_id in user_ids}
    for row in await connection.fetch(SELECT_GENRES_OF_EACH, user_ids):
        counts[UserId(row["user_id"])][row["genre"]] = row["plays"]
    return {user_id: shares(found) for user_id, found in counts.items()}


async def listening_of(
    connection: Connection, user_id: UserId, span: ListeningRange, top_count: int, now: datetime
) -> Listening:
    """Return what somebody listens to in a range that ends now."""
    since = first_day(span, now)
    rows = await connection.fetch(SELECT_GENRES, user_id, since)
    heard = {ListeningRange.ALL: SINCE_EVER, ListeningRange.YEAR: SINCE_MONTH}.get(span, SINCE_DAY)
    tracks = await connection.fetch(TOP_TRACKS.format(heard=heard), user_id, since, top_count)
    artists = await connection.fetch(TOP_ARTISTS.format(heard=heard), user_id, since, top_count)
    return Listening(
        sum(row["plays"] for row in rows),
        sum(row["seconds"] for row in rows),
        shares({row["genre"]: row["plays"] for row in rows}),
        [Top(row["track_id"], "", row["plays"]) for row in tracks],
        [Top(row["artist_id"], row["name"], row["plays"]) for row in artists],
    )


async def genres_made(connection: Connection, user_id: UserId, *, is_own: bool) -> list[Share]:
    """Return the genres of the newest 100 playlists that somebody made, most first.

    Args:
        connection: To read by.
        user_id: Whose playlists.
        is_own: Whether they ask themselves: others learn of public ones only.
    """
    rows = await connection.fetch(SELECT_MADE, user_id, is_own, MOST_MADE_PLAYLISTS)
    return shares({row["genre"]: row["entries"] for row in rows})
