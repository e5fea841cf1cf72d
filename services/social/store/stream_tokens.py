"""Rows of stream tokens."""

from datetime import datetime

import asyncpg

from services.social.domain.catalog import Media
from services.social.domain.ids import PlaylistId, StreamTokenId, TrackId, UserId
from services.social.domain.stream_tokens import StreamToken
from services.social.store.database import Connection

TOKEN = "token_id, playlist_id, created_at, expires_at"
COUNT_LIVING = """
SELECT count(*) FROM stream_tokens WHERE playlist_id = $1 AND revoked_at IS NULL AND expires_at > $2
"""
INSERT_TOKEN = f"""
INSERT INTO stream_tokens (token_id, token_hash, playlist_id, user_id, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6) RETURNING {TOKEN}
"""
SELECT_TOKEN = f"SELECT {TOKEN} FROM stream_tokens WHERE token_id = $1 AND user_id = $2"
SELECT_LIVING = f"""
SELECT {TOKEN} FROM stream_tokens
WHERE playlist_id = $1 AND revoked_at IS NULL AND expires_at > $2 AND ($3::uuid IS NULL OR token_id < $3)
ORDER BY token_id DESC LIMIT $4
"""
REVOKE = """
UPDATE stream_tokens SET revoked_at = coalesce(revoked_at, $3) WHERE token_id = $1 AND user_id = $2 RETURNING token_id
"""
IS_LIVING = """
SELECT EXISTS (
    SELECT FROM stream_tokens
    WHERE token_hash = $1 AND playlist_id = $2 AND revoked_at IS NULL AND expires_at > $3
)
"""
# Everything that must hold, at once: token, playlist, its owner, the entry, and that a model could hear the track.
RESOLVE = """
SELECT root.location, t.relative_path, t.file_hash, t.size_bytes, t.content_type, t.header_seconds
FROM stream_tokens AS token
JOIN playlists AS p USING (playlist_id) JOIN users AS o ON o.user_id = p.owner_id
JOIN tracks AS t ON t.track_id = $2 JOIN roots AS root USING (root_id)
WHERE token.token_hash = $1 AND token.revoked_at IS NULL AND token.expires_at > $3
    AND p.hidden_at IS NULL AND o.suspended_at IS NULL AND o.deleted_at IS NULL
    AND EXISTS (SELECT FROM playlist_entries AS e WHERE e.track_id = $2 AND e.playlist_id = p.playlist_id)
    AND EXISTS (
        SELECT FROM track_embeddings AS heard
        WHERE heard.track_id = t.track_id AND heard.state IN ('EMBEDDED', 'INDEXED')
    )
"""
DELETE_EXPIRED = """
DELETE FROM stream_tokens WHERE token_id IN (SELECT token_id FROM stream_tokens WHERE expires_at <= $1 LIMIT $2)
"""


async def count_living(connection: Connection, playlist_id: PlaylistId, now: datetime) -> int:
    """Count the tokens with which a playlist can be played."""
    return int(await connection.fetchval(COUNT_LIVING, playlist_id, now))


async def insert_token(
    connection: Connection,
    token_id: StreamTokenId,
    token_hash: bytes,
    playlist_id: PlaylistId,
    user_id: UserId,
    now: datetime,
    expires_at: datetime,
) -> StreamToken:
    """Add a token."""
    row = await connection.fetchrow(INSERT_TOKEN, token_id, token_hash, playlist_id, user_id, now, expires_at)
    assert row is not None, "an insert returns its row"
    return _token(row)


async def find_token(connection: Connection, token_id: StreamTokenId, user_id: UserId) -> StreamToken | None:
    """Return a token of this person's, also one that has ended."""
    row = await connection.fetchrow(SELECT_TOKEN, token_id, user_id)
    return None if row is None else _token(row)


async def living_tokens(
    connection: Connection, playlist_id: PlaylistId, now: datetime, before: StreamTokenId | None, limit: int
) -> list[StreamToken]:
    """Return the tokens with which a playlist can be played, newest first, before one."""
    return [_token(row) for row in await connection.fetch(SELECT_LIVING, playlist_id, now, before, limit)]


async def revoke(connection: Connection, token_id: StreamTokenId, user_id: UserId, now: datetime) -> bool:
    """End a token of this person's; say whether there is one."""
    return await connection.fetchval(REVOKE, token_id, user_id, now) is not None


async def is_living(connection: Connection, token_hash: bytes, playlist_id: PlaylistId, now: datetime) -> bool:
    """Say whether a token plays this playlist."""
    return bool(await connection.fetchval(IS_LIVING, token_hash, playlist_id, now))


async def resolve(connection: Connection, token_hash: bytes, track_id: TrackId, now: datetime) -> Media | None:
    """Say where the audio of a track lies, None where the token does not play it."""
    row = await connection.fetchrow(RESOLVE, token_hash, track_id, now)
    return None if row is None else Media(*row.values())


async def delete_expired(connection: Connection, now: datetime, limit: int) -> None:
    """Forget tokens whose time is over."""
    await connection.execute(DELETE_EXPIRED, now, limit)


def _token(row: asyncpg.Record) -> StreamToken:
    return StreamToken(StreamTokenId(row["token_id"]), *tuple(row)[1:])
