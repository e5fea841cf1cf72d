"""Waits until a mesh has come to rest after its faults, and reads everything that is there then."""

import asyncio
import contextlib
import hashlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from typing import Any, TypeVar

import asyncpg
import nats.errors
import numpy as np

from clients.python.errors import ClientError
from services.chassis.bus import EMBED_WORK
from tests.faults.calls import Calls, is_over_soon
from tests.faults.checker import Final, FinalJob, FinalList
from tests.faults.documents import SIMILAR, UPLOAD
from tests.faults.events import social_bus
from tests.faults.findings import Finding, Kind
from tests.faults.history import Operation, Outcome
from tests.faults.library import FinalTrack
from tests.faults.mesh import FaultyMesh

T = TypeVar("T")

# After the last fault: everything is back, and what was late is done.
REST_S = 240.0
_LISTS = """
SELECT owner_id, playlist.playlist_id, title, version, coalesce(likes, 0) AS likes, visibility, ARRAY(
    SELECT track_id::text FROM playlist_entries AS entry
    WHERE entry.playlist_id = playlist.playlist_id ORDER BY position) AS tracks
FROM playlists AS playlist LEFT JOIN playlist_counts USING (playlist_id)
"""
# What is counted beside the rows, by the rows themselves.
_MISCOUNTED = """
WITH rows AS (
    SELECT user_id, username,
        (SELECT count(*) FROM follows WHERE followee_id = user_id) AS followers,
        (SELECT count(*) FROM follows WHERE follower_id = user_id) AS following,
        (SELECT count(*) FROM plays WHERE plays.user_id = users.user_id AND counted) AS plays,
        (SELECT count(*) FROM comments WHERE comments.user_id = users.user_id AND deleted_at IS NULL) AS comments,
        (SELECT count(*) FROM likes WHERE likes.user_id = users.user_id) AS likes_given,
        (SELECT count(*) FROM playlists WHERE owner_id = users.user_id) AS playlists,
        (SELECT coalesce(sum(listening.plays), 0) FROM listening WHERE listening.user_id = users.user_id) AS heard
    FROM users
), counted AS (
    SELECT rows.*, c.followers AS c1, c.following AS c2, c.plays AS c3, c.comments AS c4, c.likes_given AS c5,
        c.playlists AS c6
    FROM rows JOIN person_counts AS c USING (user_id)
)
SELECT username || ' has ' || array[followers, following, plays, comments, likes_given, playlists, heard]::text
    || ' followers, followed, plays, comments, likes, playlists and heard, counted are '
    || array[c1, c2, c3, c4, c5, c6, c3]::text
FROM counted
WHERE (followers, following, plays, comments, likes_given, playlists, heard) <> (c1, c2, c3, c4, c5, c6, c3)
UNION ALL
SELECT playlist_id || ' has ' || rows.comments || ' comments, counted are ' || coalesce(playlist_counts.comments, 0)
FROM (SELECT playlist_id, (SELECT count(*) FROM comments WHERE comments.playlist_id = playlists.playlist_id
    AND deleted_at IS NULL) AS comments FROM playlists) AS rows LEFT JOIN playlist_counts USING (playlist_id)
WHERE rows.comments <> coalesce(playlist_counts.comments, 0)
"""
_OPEN_JOBS = "SELECT count(*) FROM jobs WHERE finished_at IS NULL"
_LEFT = """
SELECT (SELECT count(*) FROM outbox) AS outbox, (SELECT count(*) FROM signals) AS signals,
    (SELECT count(*) FROM track_embeddings WHERE state NOT IN ('INDEXED', 'FAILED')) AS unindexed,
    (SELECT count(*) FROM embedding_work) AS embedding_work
"""
_TRACKS = """
SELECT track.track_id::text, convert_from(relative_path, 'UTF8') AS path, title, coalesce(state, 'UNKNOWN') AS state,
    coalesce(failure_reason, '') AS failure_reason, coalesce(vector, ''::bytea) AS vector
FROM tracks AS track LEFT JOIN track_embeddings AS progress USING (track_id)
    LEFT JOIN embeddings ON embeddings.encoder_id = progress.encoder_id AND embeddings.audio_hash = track.audio_hash
"""


async def come_to_rest(mesh: FaultyMesh) -> list[Finding]:
    """Wait until every process works, every job has ended, and everything is told; what never does is a finding."""
    deadline = time.monotonic() + REST_S
    left = "not every process works"
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, asyncpg.PostgresError, nats.errors.Error, TimeoutError, StopIteration):
            if await mesh.is_whole():
                async with _sql(mesh) as sql:
                    row = {"jobs": await sql.fetchval(_OPEN_JOBS), **dict(await sql.fetchrow(_LEFT) or {})}
                if not any(row.values()):
                    row = await _queued(mesh)
                left = ", ".join(f"{count} {name}" for name, count in row.items() if count)
                if not left:
                    return []
        await asyncio.sleep(0.2)
    # Jobs are told of one by one.
    return [] if left.endswith(" jobs") else [Finding(Kind.ENDLESS, f"at rest after {REST_S:.0f} s: {left}")]


async def _queued(mesh: FaultyMesh) -> dict[str, int]:
    """Return how much work NATS still holds: what nobody took, and what somebody took and did not end."""
    async with social_bus(mesh) as bus:
        found = await bus.jetstream.consumers_info(EMBED_WORK)
        stream = await bus.jetstream.stream_info(EMBED_WORK)
    return {
        "messages in EMBED_WORK": stream.state.messages,
        "messages pending": sum(one.num_pending or 0 for one in found),
        "messages to be acknowledged": sum(one.num_ack_pending or 0 for one in found),
    }


async def read_neighbours(calls: Calls, tracks: Iterable[str]) -> dict[str, list[str]]:
    """Ask the index for what is like each track, until it says so."""
    found = {}
    for track_id in tracks:
        found[track_id] = await until_answered(partial(_nearest, calls, track_id))
    return found


async def _nearest(calls: Calls, track_id: str) -> list[str]:
    try:
        nodes = (await calls.query(SIMILAR, id=track_id))["similarTracks"]["nodes"]
    except ClientError as error:
        if is_over_soon(error):
            raise
        return []  # as if nothing sounded like it, which is not so
    return [node["trackId"] for node in nodes]


async def until_answered(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again and again, as long as that may help; each question has its own time."""
    deadline = time.monotonic() + REST_S
    while True:
        try:
            return await ask()
        except ClientError as error:
            if not is_over_soon(error) or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


async def read_audio(url: str, operations: Iterable[Operation]) -> dict[str, str]:
    """Fetch every file that was acknowledged, as who sent it, and return the digests of what came; or why none did."""
    found: dict[str, str] = {}
    sent = [one for one in operations if one.kind == "upload" and one.outcome == Outcome.DONE]
    for actor in sorted({one.actor for one in sent}):
        calls = Calls(url, actor)
        try:
            await until_answered(calls.enter)
            for upload_id in [one.result["upload_id"] for one in sent if one.actor == actor]:
                found[upload_id] = await until_answered(partial(_digest, calls, upload_id))
        finally:
            await calls.close()
    return found


async def _digest(calls: Calls, upload_id: str) -> str:
    try:
        upload = (await calls.query(UPLOAD, id=upload_id))["upload"]
        return "not found" if upload is None else hashlib.sha256(await calls.fetch(upload["streamUrl"])).hexdigest()
    except ClientError as error:
        if is_over_soon(error):
            raise
        return error.code


async def read_final(mesh: FaultyMesh) -> Final:
    """Read everything that people made, from the rows themselves."""
    found = Final()
    async with _sql(mesh) as sql:
        found.users = {row["username"]: str(row["user_id"]) for row in await sql.fetch("SELECT * FROM users")}
        for row in await sql.fetch(_LISTS):
            one = FinalList(
                row["title"], row["version"], list(row["tracks"]), row["likes"], row["visibility"] == "PUBLIC"
            )
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
        rows = await sql.fetch("SELECT job_id::text, state FROM jobs WHERE user_id IS NULL")
        found.ownerless_jobs = {row["job_id"]: row["state"] for row in rows}
        for row in await sql.fetch(_TRACKS):
            vector = tuple(np.frombuffer(row["vector"], dtype="<f4").tolist())
            found.tracks[row["track_id"]] = FinalTrack(
                row["path"], row["title"], row["state"], vector, row["failure_reason"]
            )
        found.miscounted = [row[0] for row in await sql.fetch(_MISCOUNTED)]
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
