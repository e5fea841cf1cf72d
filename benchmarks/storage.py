"""What does a track, a person, an event take on disk? Figures for `deploy/capacity`, which multiplies them.

Rows of PostgreSQL are weighed with their indexes, after a vacuum; messages of NATS as their stream's files. With
`--kept` the population that `benchmarks.social` keeps is weighed too: it is only read, and should be one of full size,
since the pages of small tables are half empty.

Usage: python -m benchmarks.storage [--kept FOLDER] [--tracks 10000] [--messages 2000]
"""

import argparse
import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

import asyncpg
import numpy as np
from uuid_utils.compat import uuid7

from benchmarks.people.population import Sizes
from benchmarks.people.service import _prepared, _process
from benchmarks.retrieval.run import Row
from deploy.local.postgres import Postgres
from museed.social.v1 import events_pb2
from museed.social.v1.people_events_pb2 import UserFollowed
from services.chassis.bus import PEOPLE_EVENTS, PROFILES, VECTORS, Bus, profile_subject, vector_subject
from tests.conftest import NatsServer

DIMENSION = 1024
_ENCODER = "muq-large-0123456789abcdef"
_FEWEST_ROWS = 5_000
_AT_ONCE = 64
_TAGS = [["calm", 0.7], ["piano", 0.5]] * 5
_WEIGHTS = 100

# Triggers and foreign keys are off: only what lies on disk is asked for.
_FILL = """
SET session_replication_role = replica;
INSERT INTO encoders (encoder_id, name, dimension) VALUES ('muq-large-0123456789abcdef', 'muq-large', 1024)
"""
_WEIGH = """
SELECT relname, reltuples::bigint AS rows, pg_total_relation_size(pg_class.oid) AS bytes
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = 'public' AND relkind = 'r' AND reltuples >= $1 ORDER BY relname
"""


async def weigh_tables(url: str) -> list[Row]:
    """Return bytes a row of each table that has many, indexes and what is stored apart included."""
    sql = await asyncpg.connect(url)
    try:
        found = await sql.fetch(_WEIGH, _FEWEST_ROWS)
    finally:
        await sql.close()
    return [
        Row(f"{row['relname']}: bytes a row of {row['rows']}", f"{row['bytes'] / row['rows']:.0f}") for row in found
    ]


async def load_embeddings(url: str, tracks: int) -> None:
    """Write what is stored of tracks that were heard: vector and tags, measures, and how far each is."""
    sql = await asyncpg.connect(url, command_timeout=600)
    root = uuid7()
    ids = [(UUID(str(uuid7())), os.urandom(32)) for _ in range(tracks)]
    try:
        await sql.execute(_FILL)
        for begin in range(0, tracks, 1_000):
            part = ids[begin : begin + 1_000]
            await sql.copy_records_to_table(
                "embeddings",
                columns="encoder_id audio_hash vector duration_seconds window_count windows_digest tags".split(),
                records=[
                    (_ENCODER, sound, os.urandom(4 * DIMENSION), 213.4, 22, os.urandom(32), json.dumps(_TAGS))
                    for _, sound in part
                ],
            )
            await sql.copy_records_to_table(
                "descriptors",
                columns="audio_hash revision loudness_lufs peak_dbfs tempo_bpm key key_confidence energy".split(),
                records=[(sound, 1, -14.2, -0.3, 120.5, "A minor", 0.4, 0.6) for _, sound in part],
            )
            await sql.copy_records_to_table(
                "track_embeddings",
                columns="encoder_id track_id root_id audio_hash state".split(),
                records=[(_ENCODER, track, root, sound, "EMBEDDED") for track, sound in part],
            )
        # As the publisher leaves them: every row was written twice.
        await sql.execute("UPDATE track_embeddings SET state = 'INDEXED', published_version = 1, sequence = version")
        await sql.execute("VACUUM ANALYZE")
    finally:
        await sql.close()


async def weigh_messages(folder: Path, messages: int) -> list[Row]:
    """Return bytes a message of the two compacted logs and of events, as their streams lie on disk."""
    server = NatsServer(folder)
    server.start()
    try:
        bus = await Bus.connect(server.settings("social"), "social")
        await bus.ensure_streams()
        sent = list(_messages(messages))
        for begin in range(0, len(sent), _AT_ONCE):
            part = sent[begin : begin + _AT_ONCE]
            await asyncio.gather(*(bus.publish(subject, body, str(uuid7())) for subject, body in part))
        await bus.close()
    finally:
        server.kill()
    rows = []
    for stream, body in ((VECTORS, "of 1,024 dimensions"), (PROFILES, f"of {_WEIGHTS} weights"), (PEOPLE_EVENTS, "")):
        blocks = [file for file in server.store.rglob("*.blk") if stream in file.parts]
        size = sum(file.stat().st_size for file in blocks)
        rows.append(Row(f"{stream}: bytes a message {body}".rstrip(), f"{size / messages:.0f}"))
    return rows


def _messages(count: int) -> Iterator[tuple[str, bytes]]:
    random = np.random.default_rng(0)
    for _ in range(count):
        track, person = str(uuid7()), str(uuid7())
        heard = events_pb2.TrackVector(
            track_id=track,
            encoder_id=_ENCODER,
            version=1,
            vector=random.bytes(4 * DIMENSION),
            title="A title of a song",
            artist="Some artist",
            album="An album",
            folder="Some artist/An album",
            genre="Electronic",
            year=2019,
            duration_seconds=213.4,
            audio_hash=random.bytes(32),
            tags=[str(name) for name, _ in _TAGS],
            windows_digest=random.bytes(32),
        )
        heard.descriptors.tempo_bpm, heard.descriptors.key = 120.5, "A minor"
        heard.descriptors.loudness_lufs, heard.descriptors.peak_dbfs, heard.descriptors.energy = -14.2, -0.3, 0.6
        yield vector_subject(_ENCODER, track), heard.SerializeToString()
        taste = events_pb2.ProfileWeights(profile_id=person, version=1, is_listed=True)
        for _ in range(_WEIGHTS):
            taste.tracks.add(track_id=str(uuid7()), weight=float(random.random()))
        yield profile_subject(person), taste.SerializeToString()
        followed = UserFollowed(follower_id=person, followee_id=str(uuid7()), activity_id=str(uuid7()))
        followed.followed_at.GetCurrentTime()
        yield "museed.social.v1.user_followed", followed.SerializeToString()


@contextlib.contextmanager
def _running(postgres: Postgres, log: Path, *options: str) -> Iterator[None]:
    command = [*postgres.command(), *(part for option in options for part in ("-c", option))]
    with _process(command, log, user=postgres.user):
        yield


def report(rows: Sequence[Row]) -> None:
    """Print a table."""
    for row in rows:
        print(f"{row.what:60} {row.figure:>8}", flush=True)


def main() -> None:
    """Weigh and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kept", type=Path, help="of `benchmarks.social --kept`; only read")
    parser.add_argument("--tracks", type=int, default=10_000)
    parser.add_argument("--messages", type=int, default=2_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="museed-bench-") as text:
        folder = Path(text)
        folder.chmod(0o711)
        if chosen.kept is not None:
            kept = Postgres.at(chosen.kept / "postgres" / "data", password="benchmark")
            with _running(kept, folder / "kept.log", "autovacuum=off"):
                report(asyncio.run(_weighed(kept)))
        own = Postgres.at(folder / "postgres" / "data", password="benchmark")
        own.initialise()
        with _running(own, folder / "own.log", "fsync=off"):
            url = asyncio.run(_prepared(own, Sizes()))
            asyncio.run(load_embeddings(url, chosen.tracks))
            report(asyncio.run(weigh_tables(url)))
        report(asyncio.run(weigh_messages(folder, chosen.messages)))


async def _weighed(kept: Postgres) -> list[Row]:
    """Weigh the largest database of a server, as it is: it is not migrated."""
    for attempt in range(150):
        try:
            sql = await asyncpg.connect(kept.url())
            break
        except (OSError, asyncpg.PostgresError):
            if attempt == 149:
                raise
            await asyncio.sleep(0.2)
    name = await sql.fetchval("SELECT datname FROM pg_database ORDER BY pg_database_size(datname) DESC LIMIT 1")
    await sql.close()
    return await weigh_tables(kept.url(name))


if __name__ == "__main__":
    main()
