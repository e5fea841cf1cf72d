"""Rows of embedding work that is out: sent, lost, sent again, given up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.social.domain.ids import EncoderId, TrackId
from services.social.store import embeddings, outbox
from services.social.store.database import Connection

# Where the file is not what it was when the work was promised, there is nothing to send: the work counts as lost.
SELECT_MESSAGES = """
SELECT work.event_id, work.encoder_id, work.audio_hash, track.track_id, root.location, track.relative_path,
    track.file_hash
FROM embedding_work AS work JOIN tracks AS track USING (track_id) JOIN roots AS root USING (root_id)
WHERE work.event_id = ANY ($1::uuid[]) AND track.audio_hash = work.audio_hash
"""
MARK_SENT = """
UPDATE embedding_work SET sequence = sent.sequence
FROM unnest($1::uuid[], $2::bigint[]) AS sent (event_id, sequence)
WHERE embedding_work.event_id = sent.event_id
"""
DELETE_UNWANTED = """
DELETE FROM embedding_work AS work WHERE sent_at < $1 AND NOT EXISTS (
    SELECT FROM track_embeddings AS progress
    WHERE progress.encoder_id = work.encoder_id AND progress.audio_hash = work.audio_hash
        AND progress.state = 'PENDING')
"""
DELETE_RETIRED = "DELETE FROM embedding_work WHERE encoder_id <> ALL ($1::text[])"
# Lost is what lies neither in the outbox nor, at or after a sequence, in the queue. Whose file is heard is chosen anew.
RESEND = """
UPDATE embedding_work AS work
SET event_id = uuidv7(), sequence = NULL, sent_at = now(), losses = losses + $3, track_id = coalesce((
    SELECT progress.track_id FROM track_embeddings AS progress
    WHERE progress.encoder_id = work.encoder_id AND progress.audio_hash = work.audio_hash
        AND progress.state = 'PENDING'
    ORDER BY progress.track_id LIMIT 1
), work.track_id)
WHERE (encoder_id, audio_hash) IN (
    SELECT encoder_id, audio_hash FROM embedding_work AS lost
    WHERE sent_at < $1 AND ($2::bigint IS NULL OR sequence IS NULL OR sequence < $2)
        AND NOT EXISTS (SELECT FROM outbox WHERE outbox.event_id = lost.event_id)
    ORDER BY sent_at LIMIT $4 FOR UPDATE SKIP LOCKED
)
RETURNING encoder_id, audio_hash, event_id, losses
"""
# As registrations do, before the sound: whoever comes second sees what the first has written.
LOCK_TRACK = "SELECT FROM tracks WHERE track_id = $1 FOR SHARE"
# Not where another file was registered since, which has not been looked at: that is passed on to like any other.
FAIL_TRACK = """
UPDATE track_embeddings SET state = 'FAILED', failure_reason = $4, failure_message = $5, changed_at = now()
WHERE encoder_id = $1 AND audio_hash = $2 AND track_id = $3 AND state = 'PENDING'
    AND ($6 = ''::bytea OR EXISTS (SELECT FROM tracks AS track WHERE track.track_id = $3 AND track.file_hash = $6))
"""
# Another file of the same sound is heard instead, where there is one that still waits.
PASS_ON = """
UPDATE embedding_work AS work SET event_id = uuidv7(), sequence = NULL, sent_at = now(), track_id = other.track_id
FROM (
    SELECT track_id FROM track_embeddings
    WHERE encoder_id = $1 AND audio_hash = $2 AND state = 'PENDING' ORDER BY track_id LIMIT 1
) AS other
WHERE work.encoder_id = $1 AND work.audio_hash = $2
RETURNING work.event_id
"""
# In the order in which everybody locks sounds.
LOCK_SOUNDS_OF = """
SELECT FROM embedding_work WHERE encoder_id = $1 AND track_id = ANY ($2::uuid[]) ORDER BY audio_hash FOR UPDATE
"""
SEND_ANEW = """
UPDATE embedding_work SET event_id = uuidv7(), sequence = NULL, sent_at = now()
WHERE encoder_id = $1 AND track_id = ANY ($2::uuid[])
RETURNING event_id
"""

# Not where the file sounds otherwise by now: what is heard there would be told of the sound that it had.
SELECT_WANTED = """
SELECT work.event_id FROM embedding_work AS work JOIN tracks AS track USING (track_id)
WHERE work.event_id = ANY ($1::uuid[]) AND track.audio_hash = work.audio_hash AND EXISTS (
    SELECT FROM track_embeddings AS progress
    WHERE progress.encoder_id = work.encoder_id AND progress.audio_hash = work.audio_hash
        AND progress.state = 'PENDING')
"""
SELECT_FAILED = """
SELECT track_id FROM track_embeddings
WHERE encoder_id = $1 AND audio_hash = $2 AND state = 'FAILED' ORDER BY track_id
"""

SELECT_NOW = "SELECT now()"

_BATCH_SIZE = 1_000


class Retry(StrEnum):
    """What came of trying a failed sound again: work is promised, nobody needs it, or its failure is not here yet."""

    PROMISED = "PROMISED"
    NOT_NEEDED = "NOT_NEEDED"
    TOO_EARLY = "TOO_EARLY"


@dataclass(frozen=True, slots=True)
class WorkMessage:
    """What an embedder must know of a piece of work."""

    encoder_id: EncoderId
    audio_hash: bytes
    track_id: TrackId
    root_location: str
    relative_path: bytes
    file_hash: bytes


async def messages(connection: Connection, event_ids: Sequence[str]) -> dict[str, WorkMessage]:
    """Return what is to be sent for these events, by event id; what needs no sending any more is left out."""
    return {
        row["event_id"]: WorkMessage(
            EncoderId(row["encoder_id"]),
            row["audio_hash"],
            TrackId(row["track_id"]),
            row["location"],
            row["relative_path"],
            row["file_hash"],
        )
        for row in await connection.fetch(SELECT_MESSAGES, event_ids)
    }


async def wanted(connection: Connection, event_ids: Sequence[str]) -> list[str]:
    """Return those of these pieces of work that somebody still waits for."""
    return [row["event_id"] for row in await connection.fetch(SELECT_WANTED, event_ids)]


async def try_again(connection: Connection, encoder_id: EncoderId, audio_hash: bytes, event_id: str) -> Retry:
    """Promise work anew for a sound whose work was set aside, where tracks with it have failed for that.

    Args:
        connection: Inside of a transaction.
        encoder_id: Who is to hear it.
        audio_hash: The sound.
        event_id: Of the work that was set aside.
    """
    under_way = await connection.fetchval(embeddings.LOCK_SOUND, encoder_id, audio_hash)
    if under_way is not None:
        return Retry.TOO_EARLY if under_way == event_id else Retry.NOT_NEEDED
    if await connection.fetchval(embeddings.IS_EMBEDDED, encoder_id, audio_hash):
        return Retry.NOT_NEEDED
    failed = [TrackId(row["track_id"]) for row in await connection.fetch(SELECT_FAILED, encoder_id, audio_hash)]
    if not failed:
        return Retry.NOT_NEEDED
    await connection.execute(embeddings.DELETE_FAILURE, encoder_id, audio_hash)
    await embeddings.want(connection, encoder_id, failed)
    return Retry.PROMISED


async def mark_sent(connection: Connection, sequences: Mapping[str, int]) -> None:
    """Remember where in the queue each event's message lies."""
    if sequences:
        await connection.execute(MARK_SENT, list(sequences), list(sequences.values()))


async def database_time(connection: Connection) -> datetime:
    """Return the time by which work is dated: the database's, whatever the clocks of processes say."""
    found: datetime = await connection.fetchval(SELECT_NOW)
    return found


async def drop_unwanted(connection: Connection, before: datetime) -> None:
    """Forget work whose result nobody waits for, of those sent before."""
    await connection.execute(DELETE_UNWANTED, before)


async def drop_retired(connection: Connection, kept: Sequence[EncoderId]) -> None:
    """Forget the work of all encoders but those that are kept; on their return it is wanted anew."""
    await connection.execute(DELETE_RETIRED, kept)


async def resend(
    connection: Connection, before: datetime, *, first_sequence: int | None, most_losses: int | None
) -> int:
    """Send work again that was sent before a time and is lost, at most 1,000 pieces; returns how many were lost.

    Args:
        connection: Inside of a transaction.
        before: Work that was sent later is left alone.
        first_sequence: The oldest message that the queue still holds; None where the queue itself was lost.
        most_losses: A sound that was lost as often is given up as one that kills its embedder; None counts no loss,
            since the queue is to blame.
    """
    rows = await connection.fetch(RESEND, before, first_sequence, 0 if most_losses is None else 1, _BATCH_SIZE)
    again: list[str] = []
    for row in rows:
        if most_losses is not None and row["losses"] >= most_losses:
            message = f"the embedder took this audio {row['losses']} times and never answered"
            encoder_id, audio_hash = EncoderId(row["encoder_id"]), row["audio_hash"]
            await embeddings.store_failure(connection, encoder_id, audio_hash, "EMBEDDING_GAVE_UP", message)
        else:
            again.append(row["event_id"])
    await outbox.add_work(connection, again)
    return len(rows)


async def send_anew(connection: Connection, encoder_id: EncoderId, track_ids: Sequence[TrackId]) -> None:
    """Promise anew the work for which the files of tracks are heard: they lie elsewhere than it said.

    Whoever has the old work finds no file, and says nothing by that of the new.
    """
    if not track_ids:
        return
    await connection.execute(LOCK_SOUNDS_OF, encoder_id, track_ids)
    rows = await connection.fetch(SEND_ANEW, encoder_id, track_ids)
    await outbox.add_work(connection, [row["event_id"] for row in rows])


async def store_absence(
    connection: Connection,
    encoder_id: EncoderId,
    audio_hash: bytes,
    track_id: TrackId,
    reason: str,
    message: str,
    work_id: str = "",
    file_hash: bytes = b"",
) -> None:
    """Note that a track's file is not there, or is another one: that says nothing of its sound, which others may have.

    Of work that was promised anew since, it says nothing either; see `embeddings.store_failure`. Where the track has
    another file by now than `file_hash`, which is what was asked for, work is promised for that one. Empty where it is
    not known.
    """
    await connection.execute(LOCK_TRACK, track_id)
    if await embeddings.is_promised_anew(connection, encoder_id, audio_hash, work_id):
        return
    await connection.execute(FAIL_TRACK, encoder_id, audio_hash, track_id, reason, message, file_hash)
    event_id = await connection.fetchval(PASS_ON, encoder_id, audio_hash)
    if event_id is None:
        await connection.execute(embeddings.DELETE_WORK, encoder_id, audio_hash)
    else:
        await outbox.add_work(connection, [event_id])
