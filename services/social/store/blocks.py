"""What a person blocks, as the retriever takes it."""

from services.social.domain.ids import UserId
from services.social.retriever_requests import Blocks
from services.social.store.database import Connection

SELECT_TRACKS = "SELECT track_id FROM blocked_tracks WHERE user_id = $1"
# The retriever knows artists by what stands in their tracks: one artist may be spelt in several ways.
SELECT_ARTISTS = """
SELECT DISTINCT track.artist FROM blocked_artists AS blocked
JOIN tracks AS track ON track.artist_id = blocked.artist_id
WHERE blocked.user_id = $1 AND track.artist <> ''
ORDER BY track.artist
"""


async def blocks_of(connection: Connection, user_id: UserId) -> Blocks:
    """Return what a person never wants to hear."""
    track_ids = [row["track_id"] for row in await connection.fetch(SELECT_TRACKS, user_id)]
    artists = [row["artist"] for row in await connection.fetch(SELECT_ARTISTS, user_id)]
    return Blocks(tuple(track_ids), tuple(artists))
