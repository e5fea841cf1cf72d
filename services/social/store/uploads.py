"""Rows of uploads and of what models heard in them."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from services.social.ids import EncoderId, UploadId, UserId
from services.social.store.database import Connection
from services.social.store.embeddings import Embedding
from services.social.uploads import Upload

UPLOAD = "upload_id, user_id, digest, size_bytes, content_type, file_name, created_at, expires_at"
INSERT_UPLOAD = f"INSERT INTO uploads ({UPLOAD}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
COUNT_RECENT = "SELECT count(*) FROM uploads WHERE user_id = $1 AND created_at > $2"
SELECT_UPLOADS = f"""
SELECT {UPLOAD} FROM uploads
WHERE upload_id = ANY ($1::uuid[]) AND user_id = $2 AND expires_at > $3 AND swept_at IS NULL
"""
SELECT_VECTORS = """
SELECT upload_id, vector FROM upload_embeddings WHERE encoder_id = $1 AND upload_id = ANY ($2::uuid[])
"""
INSERT_EMBEDDING = """
INSERT INTO upload_embeddings (upload_id, encoder_id, vector, duration_seconds, tags) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (upload_id, encoder_id) DO NOTHING
"""
# A digest that somebody lent again, and is still allowed to use, stays.
SWEEP = """
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


async def count_since(connection: Connection, user_id: UserId, since: datetime) -> int:
    """Count what a person uploaded since."""
    return int(await connection.fetchval(COUNT_RECENT, user_id, since))


async def find_uploads(
    connection: Connection, upload_ids: Sequence[UploadId], user_id: UserId, now: datetime
) -> dict[UploadId, Upload]:
    """Return the uploads among these ids that are this person's and not expired, by id."""
    rows = await connection.fetch(SELECT_UPLOADS, upload_ids, user_id, now)
    return {UploadId(row["upload_id"]): _upload(row) for row in rows}


async def vectors_of(
    connection: Connection, encoder_id: EncoderId, upload_ids: Sequence[UploadId]
) -> dict[UploadId, bytes]:
    """Return the vectors of those uploads that were heard already, by id."""
    rows = await connection.fetch(SELECT_VECTORS, encoder_id, upload_ids)
    return {UploadId(row["upload_id"]): row["vector"] for row in rows}


async def insert_embedding(
    connection: Connection, upload_id: UploadId, encoder_id: EncoderId, embedding: Embedding
) -> None:
    """Keep what a model heard in an upload."""
    await connection.execute(
        INSERT_EMBEDDING, upload_id, encoder_id, embedding.vector, embedding.duration_seconds, embedding.tags
    )


async def sweep(connection: Connection, now: datetime, limit: int) -> list[bytes]:
    """Mark expired uploads as swept, and return the digests whose blobs nobody may use any more."""
    return [row["digest"] for row in await connection.fetch(SWEEP, now, limit)]


def _upload(row: asyncpg.Record) -> Upload:
    return Upload(**row)
