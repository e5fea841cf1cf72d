"""What a person is not to be given, as the retriever takes it."""

from collections.abc import Sequence

from services.social.domain.ids import TrackId, UserId
from services.social.domain.rules import MOST_BLOCKED
from services.social.retriever_requests import Blocks
from services.social.store.database import Connection

SELECT_TRACKS = "SELECT track_id FROM blocked_tracks WHERE user_id = $1 ORDER BY at DESC, track_id"
# The retriever knows artists by what stands in their tracks: one artist may be spelt in several ways.
SELECT_ARTISTS = """
SELECT DISTINCT track.artist FROM blocked_artists AS blocked
JOIN tracks AS track ON track.artist_id = blocked.artist_id
WHERE blocked.user_id = $1 AND track.artist <> ''
ORDER BY track.artist LIMIT $2
"""
SELECT_MISSING = "SELECT track_id FROM tracks WHERE missing_since IS NOT NULL ORDER BY track_id LIMIT $1"


async def blocks_of(connection: Connection, user_id: UserId | None, without: Sequence[TrackId] = ()) -> Blocks:
    """Return what a person never wants to hear, and what nobody can hear now: tracks whose file is missing.

    Args:
        connection: To the truth.
        user_id: The person; None blocks nothing.
        without: More tracks. Of more than the retriever takes, the missing go first, then these.
    """
    own = [row["track_id"] for row in await connection.fetch(SELECT_TRACKS, user_id)]
    missing = [row["track_id"] for row in await connection.fetch(SELECT_MISSING, MOST_BLOCKED)]
    artists = [row["artist"] for row in await connection.fetch(SELECT_ARTISTS, user_id, MOST_BLOCKED)]
    return Blocks(tuple(dict.fromkeys([*own, *without, *missing]))[:MOST_BLOCKED], tuple(artists))
