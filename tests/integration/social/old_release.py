"""What release 0.1.0 says to the database, statement by statement: it runs beside this one on the same schema.

What counts is which columns it writes, and which it leaves to defaults; constants stand for what does not matter.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from uuid_utils.compat import uuid7

from tests.integration.social.conftest import Sql, sha

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
WEEK = timedelta(days=7)

SIGN_UP = """
INSERT INTO users
    (user_id, username, username_key, nickname, email, email_key, role, password_hash, created_at, updated_at)
VALUES ($1, $2, $2, $2, $2, $2, 'user', 'hash', $3, $3)
"""
BECOME_FOUNDER = "UPDATE mesh SET founder_id = $1 WHERE founder_id IS NULL RETURNING founder_id"
BEGIN_SESSION = """
INSERT INTO sessions (session_id, user_id, created_at, refreshed_at, expires_at) VALUES ($1, $2, $3, $3, $4)
"""
ADD_REFRESH_TOKEN = """
INSERT INTO refresh_tokens (token_hash, session_id, created_at, expires_at) VALUES ($1, $2, $3, $4)
"""
USE_REFRESH_TOKEN = "UPDATE refresh_tokens SET used_at = $2 WHERE token_hash = $1"
PROLONG_SESSION = "UPDATE sessions SET refreshed_at = $2, expires_at = $3 WHERE session_id = $1"
REVOKE_SESSION = (
    "UPDATE sessions SET revoked_at = $2, revoked_because = $3 WHERE session_id = $1 AND revoked_at IS NULL"
)
SWEEP_TOKENS = "DELETE FROM refresh_tokens WHERE expires_at < $1"
SWEEP_SESSIONS = "DELETE FROM sessions WHERE expires_at < $1"
ADD_SIGNING_KEY = "INSERT INTO signing_keys (key_id, private_key) VALUES ($1, $2)"

ADD_ROOT = """
INSERT INTO roots (root_id, location) VALUES ($1, $2)
ON CONFLICT (location) DO UPDATE SET location = excluded.location RETURNING root_id
"""
_FILE = (
    "relative_path, file_hash, audio_hash, size_bytes, content_type, title, artist, album, raw_genre, genre, "
    "is_genre_known, year, header_seconds, search_title, search_text"
)
_ARRAYS = (
    "$3::bytea[], $4::bytea[], $5::bytea[], $6::bigint[], $7::text[], $8::text[], $9::text[], $10::text[], "
    "$11::text[], $12::text[], $13::boolean[], $14::integer[], $15::double precision[], $16::text[], $17::text[]"
)
ADD_TRACKS = f"""
INSERT INTO tracks (root_id, track_id, {_FILE}) SELECT $1, given.* FROM unnest($2::uuid[], {_ARRAYS}) AS given
"""
CHANGE_TRACKS = f"""
UPDATE tracks SET ({_FILE}, updated_at) =
    ROW ({", ".join("given." + name.strip() for name in _FILE.split(","))}, now())
FROM unnest($2::uuid[], {_ARRAYS}) AS given (track_id, {_FILE})
WHERE tracks.root_id = $1 AND tracks.track_id = given.track_id
"""
ADD_ENCODER = "INSERT INTO encoders (encoder_id, name, dimension) VALUES ($1, 'old', 4) ON CONFLICT DO NOTHING"
SERVE_ENCODER = "INSERT INTO serving_encoder (encoder_id) VALUES ($1) ON CONFLICT (only_row) DO NOTHING"
LOCK_SOUNDS = """
INSERT INTO embedding_work (encoder_id, audio_hash, track_id, event_id)
SELECT DISTINCT ON (audio_hash) $1, audio_hash, track_id, uuidv7()
FROM tracks WHERE track_id = ANY ($2::uuid[]) ORDER BY audio_hash, track_id
ON CONFLICT (encoder_id, audio_hash) DO UPDATE SET track_id = embedding_work.track_id
"""
WANT_TRACKS = """
INSERT INTO track_embeddings (encoder_id, track_id, root_id, audio_hash, state)
SELECT $1, track_id, root_id, audio_hash, 'PENDING' FROM tracks WHERE track_id = ANY ($2::uuid[]) ORDER BY track_id
ON CONFLICT (encoder_id, track_id) DO UPDATE SET state = 'PENDING', version = track_embeddings.version + 1
"""
ADD_EMBEDDING = """
INSERT INTO embeddings (encoder_id, audio_hash, vector, duration_seconds, window_count, windows_digest, tags)
VALUES ($1, $2, 'vector', 60, 1, 'windows', '[]') ON CONFLICT (encoder_id, audio_hash) DO NOTHING
"""
MARK_EMBEDDED = """
UPDATE track_embeddings SET state = 'EMBEDDED', version = version + 1, changed_at = now()
WHERE encoder_id = $1 AND audio_hash = $2 AND state IN ('PENDING', 'FAILED')
"""
ADD_FAILURE = """
INSERT INTO embedding_failures (encoder_id, audio_hash, reason, message) VALUES ($1, $2, 'BROKEN', '')
ON CONFLICT (encoder_id, audio_hash) DO NOTHING
"""
DELETE_FAILURE = "DELETE FROM embedding_failures WHERE encoder_id = $1 AND audio_hash = $2"
DELETE_WORK = "DELETE FROM embedding_work WHERE encoder_id = $1 AND audio_hash = $2"

ADD_PLAYLIST = """
INSERT INTO playlists (playlist_id, owner_id, title, visibility, recipe, encoder_id, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
"""
ADD_ENTRY = """
INSERT INTO playlist_entries
    (entry_id, playlist_id, track_id, position, is_seed, similarity, seed_similarities, shared_tags)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
CHANGE_PLAYLIST = """
UPDATE playlists SET title = $2, description = $3, visibility = $4, version = $5, updated_at = $6
WHERE playlist_id = $1
"""
DELETE_PLAYLIST = "DELETE FROM playlists WHERE playlist_id = $1 AND owner_id = $2 RETURNING playlist_id"

ADD_JOB = """
INSERT INTO jobs (job_id, kind, user_id, request, state, request_id) VALUES ($1, 'GENERATION', $2, $3, 'QUEUED', $4)
RETURNING job_id
"""
CLAIM_JOB = """
UPDATE jobs SET attempt = attempt + 1, lease_until = now() + make_interval(secs => $1)
WHERE job_id = (
    SELECT job_id FROM jobs
    WHERE finished_at IS NULL AND run_after <= now() AND (lease_until IS NULL OR lease_until < now())
    ORDER BY run_after, job_id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING job_id, request
"""
RENEW_JOB = """
UPDATE jobs SET lease_until = now() + make_interval(secs => $3)
WHERE job_id = $1 AND attempt = $2 AND finished_at IS NULL
"""
ADVANCE_JOB = "UPDATE jobs SET state = $3, progress = $4 WHERE job_id = $1 AND attempt = $2 AND finished_at IS NULL"
RELEASE_JOB = """
UPDATE jobs SET lease_until = NULL, releases = releases + 1, run_after = now() + make_interval(secs => $3)
WHERE job_id = $1 AND attempt = $2 AND finished_at IS NULL
"""
END_JOB = """
UPDATE jobs SET state = 'SUCCEEDED', progress = 1, playlist_id = $2, finished_at = $3, lease_until = NULL
WHERE job_id = $1
"""
CANCEL_JOB = """
UPDATE jobs SET state = 'CANCELLED', finished_at = $3, lease_until = NULL
WHERE job_id = $1 AND user_id = $2 AND finished_at IS NULL RETURNING job_id
"""
CLAIM_KEY = """
INSERT INTO idempotency_keys AS known (user_id, operation, key, request_digest, result_id, expires_at)
VALUES ($1, $2, $3, $4, $5, $7)
ON CONFLICT (user_id, operation, key) DO UPDATE
SET request_digest = excluded.request_digest, result_id = excluded.result_id, expires_at = excluded.expires_at
WHERE known.expires_at <= $6
"""
SWEEP_KEYS = "DELETE FROM idempotency_keys WHERE expires_at <= $1"

ADD_EVENT = """
INSERT INTO outbox (kind, key, event_id, subject, payload, request_id) VALUES ('event', $1, $2, $3, $4, $5) RETURNING id
"""
SEND_ROWS = "DELETE FROM outbox WHERE id = ANY ($1::bigint[])"

ADD_UPLOAD = """
INSERT INTO uploads (upload_id, user_id, digest, size_bytes, content_type, file_name, created_at, expires_at)
VALUES ($1, $2, $3, 1000, 'audio/ogg', 'demo.ogg', $4, $5)
"""
SWEEP_UPLOADS = """
WITH expired AS (
    UPDATE uploads SET swept_at = $1
    WHERE upload_id IN (
        SELECT upload_id FROM uploads WHERE swept_at IS NULL AND expires_at <= $1
        ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
    )
    RETURNING digest
)
SELECT DISTINCT digest FROM expired
WHERE NOT EXISTS (
    SELECT FROM uploads AS alive
    WHERE alive.digest = expired.digest AND alive.swept_at IS NULL AND alive.expires_at > $1
)
"""


def new() -> str:
    return str(uuid7())


async def sign_up(sql: Sql, name: str = "") -> str:
    user_id = new()
    await sql.execute(SIGN_UP, user_id, name or user_id, NOW)
    return user_id


async def begin_session(sql: Sql, user_id: str, expires_at: datetime = NOW + WEEK) -> str:
    session_id = new()
    await sql.execute(BEGIN_SESSION, session_id, user_id, NOW, expires_at)
    return session_id


def columns(names: Sequence[str], seconds: Sequence[float]) -> list[list[object]]:
    """The fifteen arrays of files, each as release 0.1.0 gives them."""
    return [
        [f"{sha(name).hex()}".encode() for name in names],
        [sha(name) for name in names],
        [sha(name) for name in names],
        [1_000] * len(names),
        ["audio/ogg"] * len(names),
        list(names),
        ["Somebody"] * len(names),
        ["An Album"] * len(names),
        ["Rock"] * len(names),
        ["Rock"] * len(names),
        [True] * len(names),
        [1999] * len(names),
        list(seconds),
        list(names),
        list(names),
    ]


async def add_tracks(sql: Sql, *seconds: float) -> tuple[str, list[str]]:
    """Register tracks that last so long; returns their root and their ids."""
    root_id = await sql.fetchval(ADD_ROOT, new(), "/music")
    track_ids = [new() for _ in seconds]
    await sql.execute(ADD_TRACKS, root_id, track_ids, *columns(track_ids, seconds))
    return str(root_id), track_ids


async def add_playlist(
    sql: Sql, owner_id: str, track_ids: Sequence[str] = (), visibility: str = "PRIVATE", upload_id: str | None = None
) -> str:
    """Add a playlist, its entries one by one."""
    playlist_id = new()
    seed = {"track_id": None, "upload_id": upload_id, "weight": 1.0}
    recipe = json.dumps({"seeds": [seed], "exclude_track_ids": []})
    await sql.execute(ADD_PLAYLIST, playlist_id, owner_id, "A list", visibility, recipe, None, NOW)
    entries: list[tuple[object, ...]] = [
        (new(), playlist_id, track, place, False, 0.5, [0.5], []) for place, track in enumerate(track_ids)
    ]
    await sql.executemany(ADD_ENTRY, entries)
    return playlist_id


async def measures(sql: Sql, playlist_id: str) -> tuple[int, float]:
    row = await sql.fetchrow("SELECT entry_count, duration_seconds FROM playlists WHERE playlist_id = $1", playlist_id)
    assert row is not None
    return row["entry_count"], row["duration_seconds"]
