"""Reads what an encoder heard in the recordings that people search by."""

from dataclasses import dataclass

from services.social.domain.catalog import EmbeddingState
from services.social.domain.ids import EncoderId, TrackId, UploadId
from services.social.domain.references import Heard
from services.social.store.database import Connection

SELECT_TRACK = """
SELECT coalesce(progress.state, 'PENDING') AS state, coalesce(progress.failure_message, '') AS failure_message,
    known.vector, known.duration_seconds, known.windows_digest, known.tags
FROM tracks AS track
LEFT JOIN track_embeddings AS progress ON progress.encoder_id = $1 AND progress.track_id = track.track_id
LEFT JOIN embeddings AS known ON known.encoder_id = $1 AND known.audio_hash = track.audio_hash
WHERE track.track_id = $2
"""
SELECT_UPLOAD = """
SELECT vector, duration_seconds, windows_digest, tags FROM upload_embeddings WHERE encoder_id = $1 AND upload_id = $2
"""
SELECT_WINDOW_SECONDS = "SELECT window_seconds FROM encoders WHERE encoder_id = $1"


@dataclass(frozen=True, slots=True)
class HeardTrack:
    """How far a track is, and what was heard in it; None where nothing was."""

    state: EmbeddingState
    failure_message: str
    heard: Heard | None


async def find_track(connection: Connection, encoder_id: EncoderId, track_id: TrackId) -> HeardTrack | None:
    """Return what an encoder heard in a track, None where there is no such track."""
    row = await connection.fetchrow(SELECT_TRACK, encoder_id, track_id)
    if row is None:
        return None
    heard = None
    if row["vector"] is not None:
        heard = Heard(row["vector"], row["duration_seconds"], row["windows_digest"], row["tags"])
    return HeardTrack(EmbeddingState(row["state"]), row["failure_message"], heard)


async def find_upload(connection: Connection, encoder_id: EncoderId, upload_id: UploadId) -> Heard | None:
    """Return what an encoder heard in an upload, None where it has not; whose it is, is for the caller to know."""
    row = await connection.fetchrow(SELECT_UPLOAD, encoder_id, upload_id)
    return None if row is None else Heard(row["vector"], row["duration_seconds"], row["windows_digest"], row["tags"])


async def window_seconds(connection: Connection, encoder_id: EncoderId) -> float:
    """Return how long an encoder's windows are; 0 where its embedder has not said so yet."""
    return float(await connection.fetchval(SELECT_WINDOW_SECONDS, encoder_id) or 0)
