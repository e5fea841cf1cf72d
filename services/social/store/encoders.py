"""Rows of the encoders that were seen, and the one row that says which is served, which comes next, which was before.

That row is the lock of every change of roles. Who wants sounds heard shares it, so that no track is registered between
the last look at a candidate's coverage and the moment from which it is served.
"""

from dataclasses import dataclass

from services.social.domain.encoders import Encoder, Role, Roles
from services.social.domain.ids import EncoderId
from services.social.errors import NoEncoder
from services.social.store.database import Connection

INSERT_ENCODER = """
INSERT INTO encoders (encoder_id, name, dimension, window_seconds) VALUES ($1, $2, $3, $4)
ON CONFLICT (encoder_id) DO UPDATE SET window_seconds = excluded.window_seconds
WHERE encoders.window_seconds <> excluded.window_seconds AND excluded.window_seconds > 0
"""
# The first stays: switching is an act of its own.
INSERT_SERVING = "INSERT INTO serving_encoder (encoder_id) VALUES ($1) ON CONFLICT (only_row) DO NOTHING"
SELECT_ENCODER = "SELECT encoder_id, name, dimension, window_seconds FROM encoders WHERE encoder_id = $1"
SELECT_ENCODERS = "SELECT encoder_id, name, dimension, window_seconds FROM encoders ORDER BY name, encoder_id"
SELECT_ROLES = "SELECT encoder_id AS serving, candidate_id AS candidate, previous_id AS previous FROM serving_encoder"
SHARE_ROLES = f"{SELECT_ROLES} FOR SHARE"
LOCK_ROLES = f"{SELECT_ROLES} FOR UPDATE"
UPDATE_CANDIDATE = "UPDATE serving_encoder SET candidate_id = $1"
SERVE_CANDIDATE = """
UPDATE serving_encoder
SET previous_id = encoder_id, encoder_id = candidate_id, candidate_id = NULL, since = now()
WHERE candidate_id = $1
"""
# Full coverage: every track, in its newest version, is in the encoder's log or has failed, and nothing is on its way.
# An encoder that fails with every track covers nothing: it is broken.
IS_COVERED = """
SELECT NOT EXISTS (
    SELECT FROM tracks AS track
    LEFT JOIN track_embeddings AS progress ON progress.encoder_id = $1 AND progress.track_id = track.track_id
    WHERE progress.state IS NULL OR progress.state NOT IN ('INDEXED', 'FAILED')
        OR progress.audio_hash <> track.audio_hash
        OR (progress.state = 'INDEXED' AND progress.changed_at < track.updated_at)
) AND NOT EXISTS (SELECT FROM outbox WHERE kind = 'vector' AND encoder_id = $1)
AND (
    EXISTS (SELECT FROM track_embeddings WHERE encoder_id = $1 AND state = 'INDEXED')
    OR NOT EXISTS (SELECT FROM serving_encoder JOIN track_embeddings USING (encoder_id) WHERE state = 'INDEXED')
)
"""
COUNT_TRACKS = "SELECT count(*) FROM tracks"
COUNT_COVERED = """
SELECT progress.encoder_id,
    count(*) FILTER (WHERE progress.state = 'INDEXED') AS indexed,
    count(*) FILTER (WHERE progress.state = 'FAILED') AS failed
FROM track_embeddings AS progress
JOIN tracks AS track ON track.track_id = progress.track_id AND track.audio_hash = progress.audio_hash
GROUP BY progress.encoder_id
"""
COUNT_HEARD = """
SELECT count(*) FROM track_embeddings AS progress
JOIN tracks AS track ON track.track_id = progress.track_id AND track.audio_hash = progress.audio_hash
WHERE progress.encoder_id = $1 AND progress.state IN ('INDEXED', 'FAILED')
"""


@dataclass(frozen=True, slots=True)
class Coverage:
    """An encoder, what it is for, and how much of the library it knows."""

    encoder: Encoder
    role: Role
    tracks: int
    indexed: int
    failed: int


async def note_seen(connection: Connection, seen: Encoder) -> None:
    """Remember an encoder that an embedder serves."""
    await connection.execute(INSERT_ENCODER, seen.encoder_id, seen.name, seen.dimension, seen.window_seconds)


async def serve_first(connection: Connection, seen: Encoder) -> None:
    """Serve an encoder unless another is served already."""
    await note_seen(connection, seen)
    await connection.execute(INSERT_SERVING, seen.encoder_id)


async def find_roles(connection: Connection) -> Roles | None:
    """Return which encoder is for what, None on a mesh that has seen none yet."""
    return await _roles(connection, SELECT_ROLES)


async def share_roles(connection: Connection) -> Roles | None:
    """Like `find_roles`, and lets nobody change the roles until the transaction ends."""
    return await _roles(connection, SHARE_ROLES)


async def lock_roles(connection: Connection) -> Roles:
    """Return which encoder is for what, and let nobody else want sounds or change roles until the transaction ends.

    Raises:
        NoEncoder: None has been seen yet.
    """
    found = await _roles(connection, LOCK_ROLES)
    if found is None:
        raise NoEncoder
    return found


async def serving(connection: Connection) -> EncoderId:
    """Return the encoder that is served.

    Raises:
        NoEncoder: None has been seen yet.
    """
    found = await find_roles(connection)
    if found is None:
        raise NoEncoder
    return found.serving


async def find_encoder(connection: Connection, encoder_id: EncoderId) -> Encoder | None:
    """Return an encoder that was seen."""
    row = await connection.fetchrow(SELECT_ENCODER, encoder_id)
    return None if row is None else Encoder(**row)


async def known(connection: Connection) -> list[EncoderId]:
    """Return the ids of all encoders that were seen."""
    return [EncoderId(row["encoder_id"]) for row in await connection.fetch(SELECT_ENCODERS)]


async def set_candidate(connection: Connection, encoder_id: EncoderId | None) -> None:
    """Say who comes next, or that nobody does, in a transaction that has locked the roles."""
    await connection.execute(UPDATE_CANDIDATE, encoder_id)


async def serve_candidate(connection: Connection, encoder_id: EncoderId) -> None:
    """Serve the candidate: the one row of a switch, in a transaction that has locked the roles."""
    await connection.execute(SERVE_CANDIDATE, encoder_id)


async def is_covered(connection: Connection, encoder_id: EncoderId) -> bool:
    """Say whether an encoder knows every track of the library, or has said why it does not."""
    return bool(await connection.fetchval(IS_COVERED, encoder_id))


async def heard(connection: Connection, encoder_id: EncoderId) -> tuple[int, int]:
    """Return how many tracks an encoder knows, or has said why it does not, and how many there are."""
    done = int(await connection.fetchval(COUNT_HEARD, encoder_id))
    return done, int(await connection.fetchval(COUNT_TRACKS))


async def coverages(connection: Connection) -> list[Coverage]:
    """Return every encoder that was seen with its counts, in the order of the roles."""
    roles = await find_roles(connection)
    tracks = int(await connection.fetchval(COUNT_TRACKS))
    counts = {row["encoder_id"]: (row["indexed"], row["failed"]) for row in await connection.fetch(COUNT_COVERED)}
    found = []
    for row in await connection.fetch(SELECT_ENCODERS):
        encoder = Encoder(**row)
        role = Role.RETIRED if roles is None else roles.role_of(encoder.encoder_id)
        found.append(Coverage(encoder, role, tracks, *counts.get(encoder.encoder_id, (0, 0))))
    return sorted(found, key=lambda one: list(Role).index(one.role))


async def _roles(connection: Connection, statement: str) -> Roles | None:
    row = await connection.fetchrow(statement)
    return None if row is None else Roles(**row)
