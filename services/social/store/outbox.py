"""Messages promised by a transaction, kept until they are published; order holds within a key."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.chassis.telemetry import request_id, tracing
from services.social.domain.ids import EncoderId, TrackId
from services.social.events import Event
from services.social.store.database import Connection

PARTITIONS = 16

INSERT_EVENT = """
INSERT INTO outbox (kind, key, event_id, subject, payload, request_id, trace_parent)
VALUES ('event', $1, $2, $3, $4, $5, $6)
"""

# Only what the log carries or should carry: the vector of an embedded track, or a tombstone over an older vector, also
# over one that is being published in this moment and not noted as such.
INSERT_VECTORS = """
INSERT INTO outbox (kind, key, event_id, encoder_id, version, request_id, trace_parent)
SELECT 'vector', track_id::text, uuidv7(), encoder_id, version, $3, $4
FROM track_embeddings
WHERE encoder_id = $1 AND track_id = ANY ($2::uuid[])
    AND (state = 'EMBEDDED' OR state IN ('PENDING', 'FAILED') AND (
        published_version IS NOT NULL OR track_id = ANY ($5::uuid[])))
ORDER BY track_id
"""

INSERT_WORK = """
INSERT INTO outbox (kind, key, event_id, encoder_id, request_id, trace_parent)
SELECT 'work', encoder_id || '.' || encode(audio_hash, 'hex'), event_id, encoder_id, $2, $3
FROM embedding_work
WHERE event_id = ANY ($1::uuid[])
"""

SELECT_LANES = """
SELECT kind, partition
FROM unnest($1::text[]) AS kind CROSS JOIN generate_series(0, $2 - 1) AS partition
WHERE EXISTS (SELECT FROM outbox WHERE outbox.kind = kind.kind AND outbox.partition = partition.partition)
ORDER BY kind, partition
"""

SELECT_BATCH = """
SELECT waiting.*
FROM unnest($2::int[]) AS lane CROSS JOIN LATERAL (
    SELECT id, partition, key, event_id, subject, payload, encoder_id, version, request_id, trace_parent
    FROM outbox WHERE kind = $1 AND partition = lane AND key <> ALL ($4::text[]) ORDER BY id LIMIT $3
) AS waiting
ORDER BY waiting.id
"""

DELETE_ROWS = "DELETE FROM outbox WHERE id = ANY ($1::bigint[])"


class Kind(StrEnum):
    """What a row is: a whole message, or the name of something whose message is composed when it is published."""

    EVENT = "event"
    VECTOR = "vector"
    WORK = "work"


@dataclass(frozen=True, slots=True)
class Lane:
    """Rows that are published by one publisher at a time."""

    kind: Kind
    partition: int

    @property
    def lock_key(self) -> int:
        """Number of the lane's advisory lock."""
        return list(Kind).index(self.kind) * PARTITIONS + self.partition


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A row that waits.

    Attributes:
        row_id: Rises in the order in which the transactions of a key committed.
        lane: In which it waits.
        key: A job, session or playlist of an event; the track of a vector; encoder and sound of work.
        event_id: The message's id, the same on every attempt.
        subject: Of an event.
        payload: Of an event.
        encoder_id: Of a vector or work.
        version: Of a vector: the track's, when the row was written.
        request_id: Of the request that caused it.
        trace_parent: The span that caused it, as a W3C header; empty where none was recorded.
    """

    row_id: int
    lane: Lane
    key: str
    event_id: str
    subject: str
    payload: bytes
    encoder_id: EncoderId
    version: int
    request_id: str
    trace_parent: str


async def add(connection: Connection, *events: Event) -> None:
    """Promise events in the caller's transaction, which must have locked the row of each key before."""
    if events:
        await connection.executemany(
            INSERT_EVENT,
            [
                (event.key, event.event_id, event.subject, event.payload, request_id(), tracing.parent_header())
                for event in events
            ],
        )


async def add_vectors(
    connection: Connection,
    encoder_id: EncoderId,
    track_ids: Sequence[TrackId],
    on_their_way: Sequence[TrackId] = (),
) -> None:
    """Promise to publish the state of tracks, in the transaction that changed their rows of track_embeddings.

    Args:
        connection: Inside of that transaction.
        encoder_id: Whose state of them.
        track_ids: The tracks.
        on_their_way: Those whose vectors were promised before, and may be published by now without a note of it.
    """
    header = tracing.parent_header()
    await connection.execute(INSERT_VECTORS, encoder_id, track_ids, request_id(), header, on_their_way)


async def add_work(connection: Connection, event_ids: Sequence[str]) -> None:
    """Promise to publish embedding work, in the transaction that wrote its rows of embedding_work."""
    if event_ids:
        await connection.execute(INSERT_WORK, event_ids, request_id(), tracing.parent_header())


async def lanes_with_rows(connection: Connection, kinds: Collection[Kind]) -> list[Lane]:
    """List the lanes of some kinds in which something waits."""
    rows = await connection.fetch(SELECT_LANES, [kind.value for kind in kinds], PARTITIONS)
    return [Lane(Kind(row["kind"]), row["partition"]) for row in rows]


async def read_batch(
    connection: Connection, lanes: Collection[Lane], limit: int, without: Collection[str]
) -> list[OutboxRow]:
    """Read the oldest rows of each of some lanes of one kind, in order, without those of some keys."""
    (kind,) = {lane.kind for lane in lanes}
    rows = await connection.fetch(SELECT_BATCH, kind.value, [lane.partition for lane in lanes], limit, list(without))
    return [
        OutboxRow(
            row["id"],
            Lane(kind, row["partition"]),
            row["key"],
            row["event_id"],
            row["subject"] or "",
            row["payload"] or b"",
            EncoderId(row["encoder_id"] or ""),
            row["version"] or 0,
            row["request_id"],
            row["trace_parent"],
        )
        for row in rows
    ]


async def delete(connection: Connection, row_ids: Sequence[int]) -> None:
    """Forget rows that are published."""
    await connection.execute(DELETE_ROWS, row_ids)
