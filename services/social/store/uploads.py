"""Rows of uploads and of what models heard in them."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from services.social.domain.ids import EncoderId, UploadId, UserId
from services.social.domain.references import Heard
from services.social.domain.uploads import Lent, Upload
from services.social.errors import UploadNotFound
from services.social.store.database import LAST_ID, Connection
from services.social.store.embeddings import Embedding

UPLOAD = "upload_id, user_id, digest, size_bytes, content_type, file_name, created_at, expires_at"
INSERT_UPLOAD = f"INSERT INTO uploads ({UPLOAD}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
SELECT_LENT = """
SELECT count(*) AS count, coalesce(sum(size_bytes), 0)::bigint AS size_bytes
FROM uploads WHERE user_id = $1 AND created_at > $2
"""
SELECT_UPLOADS = f"""
SELECT {UPLOAD} FROM uploads
WHERE upload_id = ANY ($1::uuid[]) AND user_id = $2 AND expires_at > $3 AND swept_at IS NULL
"""
SELECT_ANY = f"SELECT {UPLOAD} FROM uploads WHERE upload_id = $1"
SELECT_SOUNDS = """
SELECT upload_id, vector, duration_seconds FROM upload_embeddings WHERE encoder_id = $1 AND upload_id = ANY ($2::uuid[])
"""
INSERT_EMBEDDING = """
INSERT INTO upload_embeddings (upload_id, encoder_id, vector, duration_seconds, tags, windows_digest)
SELECT $1, $2, $3, $4, $5, CASE WHEN swept_at IS NULL THEN $6::bytea ELSE '' END
FROM uploads WHERE upload_id = $1 FOR SHARE
ON CONFLICT (upload_id, encoder_id) DO UPDATE SET windows_digest = excluded.windows_digest
"""
SELECT_HEARD = """
SELECT upload_id, vector, duration_seconds, windows_digest, tags
FROM serving_encoder JOIN upload_embeddings USING (encoder_id) WHERE upload_id = ANY ($1::uuid[])
"""
SELECT_MINE = f"""
SELECT {UPLOAD} FROM uploads
WHERE user_id = $1 AND swept_at IS NULL AND expires_at > $2 AND upload_id < coalesce($3, '{LAST_ID}'::uuid)
ORDER BY upload_id DESC LIMIT $4
"""
LOCK_UPLOAD = "SELECT digest, swept_at FROM uploads WHERE upload_id = $1 AND user_id = $2 FOR UPDATE"
DELETE_AUDIO = "UPDATE uploads SET deleted_at = $2, swept_at = $2 WHERE upload_id = $1"
# Whose audio nobody may use any more; triggers count what still refers to a digest.
SWEEP = """
UPDATE uploads SET swept_at = $1
WHERE upload_id IN (
    SELECT upload_id FROM uploads WHERE swept_at IS NULL AND expires_at <= $1
    ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
RETURNING upload_id, user_id
"""
# Quotas count what was lent today, even if it was deleted. What a recipe or a job names is needed for its sound.
FORGET = """
DELETE FROM uploads WHERE upload_id IN (
    SELECT upload_id FROM uploads AS upload
    WHERE swept_at <= $1 AND created_at <= $1
        AND NOT EXISTS (SELECT FROM playlist_uploads AS named WHERE named.upload_id = upload.upload_id)
        AND NOT EXISTS (
            SELECT FROM jobs WHERE jobs.user_id = upload.user_id AND finished_at IS NULL
                AND request -> 'recipe' -> 'seeds'
                    @> jsonb_build_array(jsonb_build_object('upload_id', upload.upload_id))
        )
    ORDER BY swept_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""


async def insert_upload(connection: Connection, upload: Upload) -> None:
    """Add an upload."""
    await connection.execute(
        INSERT_UPLOAD,
        upload.upload_id,
        upload.user_id,
        upload.digest,
        upload.size_bytes,
        upload.content_type,
        upload.file_name,
        upload.created_at,
        upload.expires_at,
    )


async def find_any(connection: Connection, upload_id: UploadId) -> Upload | None:
    """Return an upload of whomever, also one whose time is over."""
    row = await connection.fetchrow(SELECT_ANY, upload_id)
    return None if row is None else _upload(row)


async def lent_since(connection: Connection, user_id: UserId, since: datetime) -> Lent:
    """Count what a person uploaded since, what was deleted meanwhile, too."""
    row = await connection.fetchrow(SELECT_LENT, user_id, since)
    assert row is not None, "an aggregate returns a row"
    return Lent(**row)


async def find_uploads(
    connection: Connection, upload_ids: Sequence[UploadId], user_id: UserId, now: datetime
) -> dict[UploadId, Upload]:
    """Return the uploads among these ids that are this person's and not expired, by id."""
    rows = await connection.fetch(SELECT_UPLOADS, upload_ids, user_id, now)
    return {UploadId(row["upload_id"]): _upload(row) for row in rows}


async def sounds_of(
    connection: Connection, encoder_id: EncoderId, upload_ids: Sequence[UploadId]
) -> dict[UploadId, tuple[bytes, float]]:
    """Return the vectors, and the lengths in seconds, of those uploads that were heard already, by id."""
    rows = await connection.fetch(SELECT_SOUNDS, encoder_id, upload_ids)
    return {UploadId(row["upload_id"]): (row["vector"], row["duration_seconds"]) for row in rows}


async def insert_embedding(
    connection: Connection, upload_id: UploadId, encoder_id: EncoderId, embedding: Embedding
) -> None:
    """Keep what a model heard in an upload; its windows only while the audio is there."""
    await connection.execute(
        INSERT_EMBEDDING,
        upload_id,
        encoder_id,
        embedding.vector,
        embedding.duration_seconds,
        embedding.tags,
        embedding.windows_digest,
    )


async def heard_in(connection: Connection, upload_ids: Sequence[UploadId]) -> dict[UploadId, Heard]:
    """Return what the encoder that is served heard in those of some uploads that it has heard, by id."""
    rows = await connection.fetch(SELECT_HEARD, upload_ids)
    return {
        UploadId(row["upload_id"]): Heard(row["vector"], row["duration_seconds"], row["windows_digest"], row["tags"])
        for row in rows
    }


async def own_uploads(
    connection: Connection, user_id: UserId, now: datetime, before: UploadId | None, limit: int
) -> list[Upload]:
    """Return a person's uploads whose audio is there, newest first, those made before `before`."""
    return [_upload(row) for row in await connection.fetch(SELECT_MINE, user_id, now, before, limit)]


async def delete_audio(
    connection: Connection, upload_id: UploadId, user_id: UserId, now: datetime
) -> tuple[bytes, bool]:
    """Say that nobody may use the audio of an upload of this person's any more.

    Returns:
        Its digest, and whether anything has changed.

    Raises:
        UploadNotFound: There is none.
    """
    row = await connection.fetchrow(LOCK_UPLOAD, upload_id, user_id)
    if row is None:
        raise UploadNotFound(upload_id)
    if row["swept_at"] is None:
        await connection.execute(DELETE_AUDIO, upload_id, now)
    return row["digest"], row["swept_at"] is None


async def sweep(connection: Connection, now: datetime, limit: int) -> list[tuple[UploadId, UserId]]:
    """Mark expired uploads as swept, and return them with their owners."""
    return [(row["upload_id"], row["user_id"]) for row in await connection.fetch(SWEEP, now, limit)]


async def forget(connection: Connection, before: datetime, limit: int) -> int:
    """Forget uploads that were swept before a time, and what was heard in them, where nothing names them any more.

    Returns:
        How many.
    """
    return int((await connection.execute(FORGET, before, limit)).split()[-1])


def _upload(row: asyncpg.Record) -> Upload:
    return Upload(**row)
