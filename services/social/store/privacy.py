"""Rows of exports, what a person's export is read by, and what takes a person's rows away."""

from dataclasses import dataclass
from datetime import datetime

from services.social.domain.ids import JobId, UserId
from services.social.store.database import Connection

_EXPORT = "export_id, job_id, digest, size_bytes, created_at, expires_at"
INSERT_EXPORT = """
INSERT INTO data_exports (export_id, user_id, job_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)
"""
SELECT_EXPORT = f"SELECT {_EXPORT} FROM data_exports WHERE export_id = $1 AND user_id = $2 AND expires_at > $3"
# What failed or was called off is no reason to wait.
SELECT_RECENT = f"""
SELECT {", ".join("e." + name for name in _EXPORT.split(", "))} FROM data_exports AS e JOIN jobs AS j USING (job_id)
WHERE e.user_id = $1 AND e.expires_at > $3
    AND (j.finished_at IS NULL OR (j.state = 'SUCCEEDED' AND e.created_at > $2))
ORDER BY e.export_id DESC LIMIT 1
"""
WRITE_EXPORT = """
UPDATE data_exports SET digest = $3, size_bytes = $4, expires_at = $5 WHERE job_id = $1 AND user_id = $2
"""
EXPIRE_EXPORTS = "UPDATE data_exports SET expires_at = $2 WHERE user_id = $1 AND expires_at > $2"
TAKE_EXPIRED = """
DELETE FROM data_exports WHERE export_id IN (
    SELECT export_id FROM data_exports WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
) RETURNING digest
"""
# Bytes that something else lies by are somebody's still.
IS_ELSEWHERE = """
SELECT EXISTS (SELECT FROM data_exports WHERE digest = $1) OR EXISTS (SELECT FROM upload_blobs WHERE digest = $1)
"""

# By the file's name, what a person gets of themselves; no hashes and no keys. Each is read by an index.
EXPORTED: dict[str, str] = {
    "account": """
        SELECT user_id, username, nickname, email, role, locale, is_listed, created_at, email_verified_at,
            password_changed_at, suspended_at, suspended_because FROM users WHERE user_id = $1
    """,
    "sessions": """
        SELECT session_id, kind, user_agent, client, created_at, seen_at, refreshed_at, expires_at, revoked_at,
            revoked_because FROM sessions WHERE user_id = $1
    """,
    "api_tokens": """
        SELECT token_id, name, scopes, created_at, expires_at, used_at, revoked_at FROM api_tokens WHERE user_id = $1
    """,
    "mails": "SELECT mail_id, kind, to_address, run_after FROM mails WHERE user_id = $1",
    "uploads": """
        SELECT upload_id, file_name, content_type, size_bytes, created_at, expires_at, deleted_at
        FROM uploads WHERE user_id = $1
    """,
    "playlists": """
        SELECT playlist_id, title, description, visibility, recipe, encoder_id, made_by, copied_from, entry_count,
            created_at, updated_at, listed_at, hidden_at FROM playlists WHERE owner_id = $1
    """,
    "playlist_entries": """
        SELECT e.playlist_id, e.position, e.entry_id, e.track_id, t.title, t.artist, t.album, e.is_seed, e.similarity,
            e.added_at
        FROM playlists AS p JOIN playlist_entries AS e USING (playlist_id) JOIN tracks AS t USING (track_id)
        WHERE p.owner_id = $1
    """,
    "likes": "SELECT playlist_id, at FROM likes WHERE user_id = $1",
    "saves": "SELECT playlist_id, copy_id, at FROM saves WHERE user_id = $1",
    "comments": """
        SELECT comment_id, playlist_id, text, created_at, edited_at, deleted_at, hidden_at
        FROM comments WHERE user_id = $1
    """,
    "stream_tokens": """
        SELECT token_id, playlist_id, created_at, expires_at, revoked_at FROM stream_tokens WHERE user_id = $1
    """,
    "schedules": "SELECT playlist_id, every, next_at FROM schedules WHERE user_id = $1",
    "jobs": """
        SELECT job_id, kind, request, state, playlist_id, failure_reason, created_at, finished_at
        FROM jobs WHERE user_id = $1
    """,
    "blocked_tracks": "SELECT track_id, at FROM blocked_tracks WHERE user_id = $1",
    "blocked_artists": "SELECT artist_id, at FROM blocked_artists WHERE user_id = $1",
    "suggestions": """
        SELECT s.playlist_id, s.track_id, s.state, s.at
        FROM playlists AS p JOIN suggestions AS s USING (playlist_id)
        WHERE p.owner_id = $1 AND s.state <> 'PROPOSED'
    """,
    "follows": "SELECT followee_id, at FROM follows WHERE follower_id = $1",
    "user_blocks": "SELECT blocked_id, at FROM user_blocks WHERE blocker_id = $1",
    "activities": "SELECT kind, playlist_id, user_id, comment_id, at FROM activities WHERE actor_id = $1",
    "notifications": """
        SELECT kind, actor_id, playlist_id, comment_id, subject_id, badge, at, read_at
        FROM notifications WHERE user_id = $1
    """,
    "plays": """
        SELECT play_id, track_id, playlist_id, genre, played_at, heard_seconds, counted FROM plays WHERE user_id = $1
    """,
    "badges": "SELECT badge, tier, earned_at FROM badges WHERE user_id = $1",
    "reports": """
        SELECT report_id, subject_kind, subject_id, reason, text, state, created_at, decided_at
        FROM reports WHERE reporter_id = $1
    """,
}

ANONYMISE = """
UPDATE users SET
    username = 'deleted-' || user_id, username_key = 'deleted-' || user_id, nickname = '',
    email = 'deleted-' || user_id, email_key = 'deleted-' || user_id, email_verified_at = NULL, password_hash = '',
    role = 'user', locale = 'en', is_listed = false, suspended_at = NULL, suspended_because = NULL,
    deleted_at = $2, updated_at = $2
WHERE user_id = $1
"""
# A deletion that gave up, because the database or a worker was away for long, begins again.
_UNDONE = """
    deleted_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM jobs AS j
        WHERE j.user_id = u.user_id AND kind = 'ACCOUNT_DELETION' AND (finished_at IS NULL OR state = 'SUCCEEDED')
    )
"""
LOCK_UNDONE = f"""
SELECT user_id FROM users AS u WHERE {_UNDONE} ORDER BY deleted_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
"""
# Asked again once the rows are locked: who locked them before may have begun the deletion since the first look.
SELECT_UNDONE = f"SELECT user_id FROM users AS u WHERE user_id = ANY ($1::uuid[]) AND {_UNDONE}"


@dataclass(frozen=True, slots=True)
class DataExport:
    """An export, as it is stored; digest and size are None until it is written."""

    export_id: str
    job_id: JobId
    digest: bytes | None
    size_bytes: int | None
    created_at: datetime
    expires_at: datetime


async def anonymise(connection: Connection, user_id: UserId, now: datetime) -> None:
    """Take a person's names, address and password away; what they were is free for others."""
    await connection.execute(ANONYMISE, user_id, now)
    await connection.execute(EXPIRE_EXPORTS, user_id, now)


async def undone_deletions(connection: Connection, limit: int) -> list[UserId]:
    """Return people who left and whose rows no job takes away, and lock them."""
    locked = [row["user_id"] for row in await connection.fetch(LOCK_UNDONE, limit)]
    return [UserId(row["user_id"]) for row in await connection.fetch(SELECT_UNDONE, locked)]


async def insert_export(
    connection: Connection, export_id: str, user_id: UserId, job_id: JobId, now: datetime, expires_at: datetime
) -> None:
    """Add an export that a job will write."""
    await connection.execute(INSERT_EXPORT, export_id, user_id, job_id, now, expires_at)


async def find_export(connection: Connection, export_id: str, user_id: UserId, now: datetime) -> DataExport | None:
    """Return an export of this person's whose time is not over."""
    row = await connection.fetchrow(SELECT_EXPORT, export_id, user_id, now)
    return None if row is None else DataExport(**row)


async def recent_export(connection: Connection, user_id: UserId, since: datetime, now: datetime) -> DataExport | None:
    """Return a person's export that is under way, or was asked for since and written."""
    row = await connection.fetchrow(SELECT_RECENT, user_id, since, now)
    return None if row is None else DataExport(**row)


async def write_export(
    connection: Connection, job_id: JobId, user_id: UserId, digest: bytes, size: int, expires_at: datetime
) -> None:
    """Note where the export of a job lies."""
    await connection.execute(WRITE_EXPORT, job_id, user_id, digest, size, expires_at)


async def take_expired(connection: Connection, now: datetime, limit: int) -> list[bytes]:
    """Forget exports whose time is over; returns the digests that nothing else has."""
    rows = await connection.fetch(TAKE_EXPIRED, now, limit)
    digests = {row["digest"] for row in rows} - {None}
    return [one for one in sorted(digests) if not await connection.fetchval(IS_ELSEWHERE, one)]
