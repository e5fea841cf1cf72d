"""Rows of what was measured of sounds, whatever encoder heard them."""

from dataclasses import astuple

import asyncpg

from services.social.domain.catalog import Descriptors
from services.social.store.database import Connection

# For a query that joins `descriptors AS measured`; read by `from_row`.
COLUMNS = """
    measured.revision, measured.loudness_lufs, measured.peak_dbfs, measured.tempo_bpm, measured.key,
    measured.key_confidence, measured.energy
"""
UPSERT = """
INSERT INTO descriptors (audio_hash, revision, loudness_lufs, peak_dbfs, tempo_bpm, key, key_confidence, energy)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (audio_hash) DO UPDATE SET
    revision = excluded.revision, loudness_lufs = excluded.loudness_lufs, peak_dbfs = excluded.peak_dbfs,
    tempo_bpm = excluded.tempo_bpm, key = excluded.key, key_confidence = excluded.key_confidence,
    energy = excluded.energy, created_at = now()
WHERE descriptors.revision < excluded.revision
"""


async def store_descriptors(connection: Connection, audio_hash: bytes, found: Descriptors) -> None:
    """Store what was measured of a sound, unless the same or a higher revision is there."""
    await connection.execute(UPSERT, audio_hash, *astuple(found))


def from_row(row: asyncpg.Record) -> Descriptors | None:
    """Read COLUMNS of a row; None where the join found nothing."""
    if row["revision"] is None:
        return None
    return Descriptors(
        row["revision"],
        row["loudness_lufs"],
        row["peak_dbfs"],
        row["tempo_bpm"],
        row["key"],
        row["key_confidence"],
        row["energy"],
    )
