"""Rows of the encoders that were seen, and of the one whose vectors are served."""

from dataclasses import dataclass

from services.social.errors import NoEncoder
from services.social.ids import EncoderId
from services.social.store.database import Connection

INSERT_ENCODER = """
INSERT INTO encoders (encoder_id, name, dimension) VALUES ($1, $2, $3) ON CONFLICT (encoder_id) DO NOTHING
"""
# The first stays: switching is an act of its own.
INSERT_SERVING = "INSERT INTO serving_encoder (encoder_id) VALUES ($1) ON CONFLICT (only_row) DO NOTHING"
SELECT_SERVING = "SELECT encoder_id, name, dimension FROM serving_encoder JOIN encoders USING (encoder_id)"
SELECT_ENCODER = "SELECT encoder_id, name, dimension FROM encoders WHERE encoder_id = $1"


@dataclass(frozen=True, slots=True)
class Encoder:
    """A model that turns sound into vectors of `dimension` numbers."""

    encoder_id: EncoderId
    name: str
    dimension: int


async def serve_first(connection: Connection, seen: Encoder) -> Encoder:
    """Serve an encoder unless another is served already; return the one that is."""
    await connection.execute(INSERT_ENCODER, seen.encoder_id, seen.name, seen.dimension)
    await connection.execute(INSERT_SERVING, seen.encoder_id)
    return await serving(connection)


async def find_serving(connection: Connection) -> Encoder | None:
    """Return the encoder that is served, None on a mesh that has seen none yet."""
    row = await connection.fetchrow(SELECT_SERVING)
    return None if row is None else Encoder(**row)


async def serving(connection: Connection) -> Encoder:
    """Return the encoder that is served.

    Raises:
        NoEncoder: None has been seen yet.
    """
    found = await find_serving(connection)
    if found is None:
        raise NoEncoder
    return found


async def find_encoder(connection: Connection, encoder_id: EncoderId) -> Encoder | None:
    """Return an encoder that was seen."""
    row = await connection.fetchrow(SELECT_ENCODER, encoder_id)
    return None if row is None else Encoder(**row)
