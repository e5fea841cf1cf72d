"""Waits until a mesh has come to rest after its faults, and reads everything that is there then."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import asyncpg

from clients.python.errors import ClientError
from tests.faults.calls import Calls, is_over_soon
from tests.faults.checker import Final, FinalJob, FinalList
from tests.faults.documents import SIMILAR
from tests.faults.findings import Finding, Kind
from tests.faults.mesh import FaultyMesh

# After the last fault: everything is back, and what was late is done.
REST_S = 240.0
_LISTS = """
SELECT owner_id, playlist.playlist_id, title, version, coalesce(likes, 0) AS likes, ARRAY(
    SELECT track_id::text FROM playlist_entries AS entry
    WHERE entry.playlist_id = playlist.playlist_id ORDER BY position) AS tracks
FROM playlists AS playlist LEFT JOIN playlist_counts USING (playlist_id)
"""
_OPEN_JOBS = "SELECT count(*) FROM jobs WHERE finished_at IS NULL"
_LEFT = """
SELECT (SELECT count(*) FROM outbox) AS outbox, (SELECT count(*) FROM signals) AS signals,
    (SELECT count(*) FROM track_embeddings WHERE state <> 'INDEXED') AS unindexed
"""


async def come_to_rest(mesh: FaultyMesh) -> list[Finding]:
    """Wait until every process works, every job has ended, and everything is told; what never does is a finding."""
    deadline = time.monotonic() + REST_S
    left = "not every process works"
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, asyncpg.PostgresError, TimeoutError, StopIteration):
            if await mesh.is_whole():
                async with _sql(mesh) as sql:
                    row = {"jobs": await sql.fetchval(_OPEN_JOBS), **dict(await sql.fetchrow(_LEFT) or {})}
                left = ", ".join(f"{count} rows of {name}" for name, count in row.items() if count)
                if not left:
                    return []
        await asyncio.sleep(0.2)
    # Jobs are told of one by one.
    return [] if left.endswith("rows of jobs") else [Finding(Kind.ENDLESS, f"at rest after {REST_S:.0f} s: {left}")]


async def read_neighbours(calls: Calls, tracks: list[str]) -> dict[str, list[str]]:
    """Ask the index for what is like each track, until it says so."""
    found = {}
    for track_id in tracks:
        deadline = time.monotonic() + REST_S
        while track_id not in found:
            try:
                nodes = (await calls.query(SIMILAR, id=track_id))["similarTracks"]["nodes"]
            except ClientError as error:
                if not is_over_soon(error) or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.2)
            else:
                found[track_id] = [node["trackId"] for node in nodes]
    return found


async def read_final(mesh: FaultyMesh) -> Final:
    """Read everything that people made, from the rows themselves."""
    found = Final()
    async with _sql(mesh) as sql:
        found.users = {row["username"]: str(row["user_id"]) for row in await sql.fetch("SELECT * FROM users")}
        for row in await sql.fetch(_LISTS):
            one = FinalList(row["title"], row["version"], list(row["tracks"]), row["likes"])
            found.lists.setdefault(str(row["owner_id"]), {})[str(row["playlist_id"])] = one
        found.likes = await _column(sql, "SELECT user_id, playlist_id FROM likes")
        found.follows = await _column(sql, "SELECT follower_id, followee_id FROM follows")
        found.plays = await _column(sql, "SELECT user_id, play_id FROM plays WHERE counted")
        for row in await sql.fetch("SELECT user_id, comment_id, text FROM comments WHERE deleted_at IS NULL"):
            found.comments.setdefault(str(row["user_id"]), []).append((str(row["comment_id"]), row["text"]))
        for row in await sql.fetch("SELECT user_id, upload_id, file_name FROM uploads WHERE swept_at IS NULL"):
            found.uploads.setdefault(str(row["user_id"]), []).append((str(row["upload_id"]), row["file_name"]))
        for row in await sql.fetch("SELECT *, request::text AS asked FROM jobs WHERE user_id IS NOT NULL"):
            made = None if row["playlist_id"] is None else str(row["playlist_id"])
            job = FinalJob(row["state"], row["asked"], made, row["failure_reason"])
            found.jobs.setdefault(str(row["user_id"]), {})[str(row["job_id"])] = job
        found.dead_letters = await sql.fetchval("SELECT count(*) FROM dead_letters")
    return found


async def _column(sql: "asyncpg.Connection[asyncpg.Record]", statement: str) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for key, value in await sql.fetch(statement):
        found[str(key)].append(str(value))
    return dict(found)


@contextlib.asynccontextmanager
async def _sql(mesh: FaultyMesh) -> AsyncIterator["asyncpg.Connection[Any]"]:
    connection = await asyncpg.connect(mesh.database.url(), timeout=30)
    try:
        yield connection
    finally:
        await connection.close()
