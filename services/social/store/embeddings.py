"""Rows of what models hear, and of how far each track is on its way to the index.

Everybody locks in the same order: rows of tracks, the sound's row of embedding_work, then rows of track_embeddings by
track. So a result and a registration of the same sound wait for each other, and neither overlooks the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.social.domain.catalog import Descriptors, EmbeddingState
from services.social.domain.ids import EncoderId, TrackId
from services.social.store import outbox
from services.social.store.database import Connection
from services.social.store.descriptors import store_descriptors

# Who inserts a row has locked the sound, and who finds one waits until its result is stored, or finds it stored.
LOCK_SOUNDS = """
INSERT INTO embedding_work (encoder_id, audio_hash, track_id, event_id)
SELECT DISTINCT ON (audio_hash) $1, audio_hash, track_id, uuidv7()
FROM tracks WHERE track_id = ANY ($2::uuid[]) ORDER BY audio_hash, track_id
ON CONFLICT (encoder_id, audio_hash) DO UPDATE SET track_id = embedding_work.track_id
RETURNING new.audio_hash, new.event_id, old.audio_hash IS NULL AS is_new
"""
LOCK_TRACKS = """
SELECT FROM track_embeddings WHERE encoder_id = $1 AND track_id = ANY ($2::uuid[]) ORDER BY track_id FOR UPDATE
"""
WANT = """
INSERT INTO track_embeddings (encoder_id, track_id, root_id, audio_hash, state)
SELECT $1, track_id, root_id, audio_hash, 'PENDING' FROM tracks WHERE track_id = ANY ($2::uuid[]) ORDER BY track_id
ON CONFLICT (encoder_id, track_id) DO UPDATE SET
    audio_hash = excluded.audio_hash, state = 'PENDING', version = track_embeddings.version + 1,
    failure_reason = '', failure_message = '', changed_at = now()
RETURNING track_id, coalesce(old.state = 'EMBEDDED', false) AS is_on_its_way
"""
SETTLE_EMBEDDED = """
UPDATE track_embeddings AS progress SET state = 'EMBEDDED', changed_at = now()
FROM embeddings AS known
WHERE progress.encoder_id = $1 AND progress.track_id = ANY ($2::uuid[]) AND progress.state = 'PENDING'
    AND known.encoder_id = $1 AND known.audio_hash = progress.audio_hash
"""
SETTLE_FAILED = """
UPDATE track_embeddings AS progress
SET state = 'FAILED', failure_reason = known.reason, failure_message = known.message, changed_at = now()
FROM embedding_failures AS known
WHERE progress.encoder_id = $1 AND progress.track_id = ANY ($2::uuid[]) AND progress.state = 'PENDING'
    AND known.encoder_id = $1 AND known.audio_hash = progress.audio_hash
"""
DELETE_SETTLED_WORK = """
DELETE FROM embedding_work AS work
WHERE encoder_id = $1 AND audio_hash = ANY ($2::bytea[]) AND (
    EXISTS (SELECT FROM embeddings AS known
            WHERE known.encoder_id = $1 AND known.audio_hash = work.audio_hash)
    OR EXISTS (SELECT FROM embedding_failures AS known
               WHERE known.encoder_id = $1 AND known.audio_hash = work.audio_hash)
)
RETURNING event_id
"""
# Tracks that an encoder was never asked for, and those whose file was away when it was: their sound is not known.
SELECT_UNSETTLED = """
SELECT track.track_id
FROM tracks AS track
LEFT JOIN track_embeddings AS progress ON progress.encoder_id = $1 AND progress.track_id = track.track_id
WHERE track.track_id = ANY ($2::uuid[]) AND (progress.state IS NULL OR (
    progress.state = 'FAILED' AND NOT EXISTS (
        SELECT FROM embedding_failures AS known
        WHERE known.encoder_id = $1 AND known.audio_hash = progress.audio_hash)
))
"""
# What an encoder has missed while it was not kept: tracks that came, that sound or are called otherwise since, or whose
# work was dropped. Wanting them again uses what is known of their sound.
SELECT_BEHIND = """
SELECT track.track_id FROM tracks AS track
LEFT JOIN track_embeddings AS progress ON progress.encoder_id = $1 AND progress.track_id = track.track_id
WHERE progress.state IS NULL
    OR progress.audio_hash <> track.audio_hash
    OR (progress.state IN ('EMBEDDED', 'INDEXED') AND progress.changed_at < track.updated_at)
    OR (progress.state = 'PENDING' AND NOT EXISTS (
        SELECT FROM embedding_work AS work WHERE work.encoder_id = $1 AND work.audio_hash = progress.audio_hash))
ORDER BY track.track_id LIMIT $2
"""
SELECT_FORGOTTEN = """
SELECT encoder_id, track_id FROM track_embeddings AS progress
WHERE encoder_id = ANY ($3::text[]) AND state = 'PENDING' AND changed_at < $1 AND NOT EXISTS (
    SELECT FROM embedding_work AS work
    WHERE work.encoder_id = progress.encoder_id AND work.audio_hash = progress.audio_hash)
LIMIT $2
"""
TOUCH = """
UPDATE track_embeddings SET version = version + 1, state = 'EMBEDDED', changed_at = now()
WHERE encoder_id = $1 AND track_id = ANY ($2::uuid[]) AND state IN ('EMBEDDED', 'INDEXED')
"""
SELECT_PROGRESS = """
SELECT track_id, state, failure_reason, failure_message
FROM track_embeddings WHERE encoder_id = $1 AND track_id = ANY ($2::uuid[])
"""

LOCK_SOUND = "SELECT event_id FROM embedding_work WHERE encoder_id = $1 AND audio_hash = $2 FOR UPDATE"
IS_WANTED = "SELECT EXISTS (SELECT FROM track_embeddings WHERE encoder_id = $1 AND audio_hash = $2)"
INSERT_EMBEDDING = """
INSERT INTO embeddings (encoder_id, audio_hash, vector, duration_seconds, window_count, windows_digest, tags)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (encoder_id, audio_hash) DO NOTHING
"""
DELETE_FAILURE = "DELETE FROM embedding_failures WHERE encoder_id = $1 AND audio_hash = $2"
DELETE_WORK = "DELETE FROM embedding_work WHERE encoder_id = $1 AND audio_hash = $2"
MARK_EMBEDDED = """
UPDATE track_embeddings
SET state = 'EMBEDDED', version = version + 1, failure_reason = '', failure_message = '', changed_at = now()
WHERE encoder_id = $1 AND audio_hash = $2 AND state IN ('PENDING', 'FAILED')
RETURNING track_id
"""
IS_EMBEDDED = "SELECT EXISTS (SELECT FROM embeddings WHERE encoder_id = $1 AND audio_hash = $2)"
INSERT_FAILURE = """
INSERT INTO embedding_failures (encoder_id, audio_hash, reason, message) VALUES ($1, $2, $3, $4)
ON CONFLICT (encoder_id, audio_hash) DO NOTHING
"""
MARK_FAILED = """
UPDATE track_embeddings SET state = 'FAILED', failure_reason = $3, failure_message = $4, changed_at = now()
WHERE encoder_id = $1 AND audio_hash = $2 AND state = 'PENDING' AND ($5::uuid IS NULL OR track_id = $5)
"""


@dataclass(frozen=True, slots=True)
class Embedding:
    """What a model hears in a sound, and its measures. Tags are (name, score), best first; the vector is float32."""

    vector: bytes
    duration_seconds: float
    window_count: int
    windows_digest: bytes
    tags: list[tuple[str, float]]
    descriptors: Descriptors | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a track is, and why it goes no further."""

    state: EmbeddingState
    failure_reason: str
    failure_message: str


async def want(connection: Connection, encoder_id: EncoderId, track_ids: Sequence[TrackId]) -> None:
    """Want what tracks sound like now: what is known is used at once, and work is promised only for the rest."""
    if not track_ids:
        return
    sounds = await connection.fetch(LOCK_SOUNDS, encoder_id, track_ids)
    wanted = await connection.fetch(WANT, encoder_id, track_ids)
    await connection.execute(SETTLE_EMBEDDED, encoder_id, track_ids)
    await connection.execute(SETTLE_FAILED, encoder_id, track_ids)
    hashes = [row["audio_hash"] for row in sounds]
    settled = {row["event_id"] for row in await connection.fetch(DELETE_SETTLED_WORK, encoder_id, hashes)}
    fresh = [row["event_id"] for row in sounds if row["is_new"] and row["event_id"] not in settled]
    await outbox.add_work(connection, fresh)
    on_their_way = [TrackId(row["track_id"]) for row in wanted if row["is_on_its_way"]]
    await outbox.add_vectors(connection, encoder_id, track_ids, on_their_way)


async def unsettled(connection: Connection, encoder_id: EncoderId, track_ids: Sequence[TrackId]) -> list[TrackId]:
    """Return the tracks among these that nothing is known of and nothing is under way for."""
    return [TrackId(row["track_id"]) for row in await connection.fetch(SELECT_UNSETTLED, encoder_id, track_ids)]


async def behind(connection: Connection, encoder_id: EncoderId, limit: int) -> list[TrackId]:
    """Return tracks of which this encoder does not know what they are now, and is not being asked."""
    return [TrackId(row["track_id"]) for row in await connection.fetch(SELECT_BEHIND, encoder_id, limit)]


async def forgotten(
    connection: Connection, encoder_ids: Sequence[EncoderId], before: datetime, limit: int
) -> dict[EncoderId, list[TrackId]]:
    """Return tracks, by encoder, that wait since before and for which nothing is under way: there should be none."""
    found: dict[EncoderId, list[TrackId]] = {}
    for row in await connection.fetch(SELECT_FORGOTTEN, before, limit, encoder_ids):
        found.setdefault(EncoderId(row["encoder_id"]), []).append(TrackId(row["track_id"]))
    return found


async def touch(connection: Connection, encoder_id: EncoderId, track_ids: Sequence[TrackId]) -> None:
    """Tell the index what tracks are called now, those of them that it knows or is about to hear of."""
    if not track_ids:
        return
    await connection.execute(LOCK_TRACKS, encoder_id, track_ids)
    await connection.execute(TOUCH, encoder_id, track_ids)
    await outbox.add_vectors(connection, encoder_id, track_ids)


async def progress_of(
    connection: Connection, encoder_id: EncoderId, track_ids: Sequence[TrackId]
) -> dict[TrackId, Progress]:
    """Return how far tracks are, by id."""
    rows = await connection.fetch(SELECT_PROGRESS, encoder_id, track_ids)
    return {
        TrackId(row["track_id"]): Progress(EmbeddingState(row["state"]), row["failure_reason"], row["failure_message"])
        for row in rows
    }


async def store_embedding(
    connection: Connection, encoder_id: EncoderId, audio_hash: bytes, embedding: Embedding
) -> list[TrackId]:
    """Store a result, and send every track with this sound on to the index; doing it again does nothing.

    Returns:
        The tracks that were waiting; empty where nobody wants this sound any more, or has it already.
    """
    await connection.execute(LOCK_SOUND, encoder_id, audio_hash)
    if not await connection.fetchval(IS_WANTED, encoder_id, audio_hash):
        await connection.execute(DELETE_WORK, encoder_id, audio_hash)
        return []
    await connection.execute(
        INSERT_EMBEDDING,
        encoder_id,
        audio_hash,
        embedding.vector,
        embedding.duration_seconds,
        embedding.window_count,
        embedding.windows_digest,
        embedding.tags,
    )
    if embedding.descriptors is not None:
        await store_descriptors(connection, audio_hash, embedding.descriptors)
    await connection.execute(DELETE_FAILURE, encoder_id, audio_hash)
    await connection.execute(DELETE_WORK, encoder_id, audio_hash)
    track_ids = [TrackId(row["track_id"]) for row in await connection.fetch(MARK_EMBEDDED, encoder_id, audio_hash)]
    await outbox.add_vectors(connection, encoder_id, track_ids)
    return track_ids


async def store_failure(
    connection: Connection, encoder_id: EncoderId, audio_hash: bytes, reason: str, message: str, work_id: str = ""
) -> None:
    """Remember that a sound cannot be embedded, for every track that carries it; a result that is there wins.

    Args:
        connection: Inside of a transaction.
        encoder_id: Who refused.
        audio_hash: The sound.
        reason: Stable code.
        message: Sentence for people.
        work_id: Work that failed: where other work is under way for the sound by now, that one decides, and this is
            no news any more. Empty where it is not known.
    """
    if await is_promised_anew(connection, encoder_id, audio_hash, work_id):
        return
    await connection.execute(DELETE_WORK, encoder_id, audio_hash)
    if await connection.fetchval(IS_EMBEDDED, encoder_id, audio_hash):
        return
    await connection.execute(INSERT_FAILURE, encoder_id, audio_hash, reason, message)
    await connection.execute(MARK_FAILED, encoder_id, audio_hash, reason, message, None)


async def is_promised_anew(connection: Connection, encoder_id: EncoderId, audio_hash: bytes, work_id: str) -> bool:
    """Lock a sound, and say whether other work than this is under way for it; no where `work_id` is empty."""
    under_way = await connection.fetchval(LOCK_SOUND, encoder_id, audio_hash)
    return bool(work_id) and under_way is not None and under_way != work_id
