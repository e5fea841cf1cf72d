"""Release 0.1.0 on the newest schema: its rows are brought along, and each of its statements works as before."""

import json
from datetime import UTC, datetime

import asyncpg
import pytest

from services.social.migrate import migrate, read_migrations
from tests.integration.social import old_release as old
from tests.integration.social.conftest import Sql, sha
from tests.integration.social.old_release import (
    NOW,
    WEEK,
    add_playlist,
    add_tracks,
    begin_session,
    measures,
    new,
    sign_up,
)

OLD_MIGRATIONS = 4


async def test_rows_of_an_older_release_are_counted_right_after_migrating(empty_database_url: str) -> None:
    migrations = read_migrations()
    await migrate(empty_database_url, migrations[:OLD_MIGRATIONS])
    sql = await asyncpg.connect(empty_database_url)
    try:
        ann, bob = await sign_up(sql), await sign_up(sql)
        session_id = await begin_session(sql, ann)
        _, tracks = await add_tracks(sql, 60.0, 30.5, 200.25)
        upload_ids = [new(), new(), new()]
        for upload_id, digest in zip(upload_ids, ["a", "a", "b"], strict=True):
            await sql.execute(old.ADD_UPLOAD, upload_id, ann, sha(digest), NOW, NOW + WEEK)
        await sql.execute("UPDATE uploads SET swept_at = $1 WHERE digest = $2", NOW, sha("b"))
        full = await add_playlist(sql, ann, [*tracks, tracks[0]], "PUBLIC", upload_ids[0])
        empty = await add_playlist(sql, ann, upload_id=new())
        await sql.execute(old.ADD_JOB, new(), ann, "{}", "")

        assert await migrate(empty_database_url, migrations) == len(migrations) - OLD_MIGRATIONS

        assert await measures(sql, full) == (4, 350.75)
        assert await measures(sql, empty) == (0, 0.0)
        listed = await sql.fetch("SELECT listed_at FROM playlists ORDER BY playlist_id")
        assert [row["listed_at"] for row in listed] == [NOW, None]
        slugs = {row["share_slug"] for row in await sql.fetch("SELECT share_slug FROM playlists")}
        assert len(slugs) == 2
        assert {len(slug) for slug in slugs} == {22}
        counters = {row["name"]: row["value"] for row in await sql.fetch("SELECT * FROM counters")}
        assert counters == {"users": 2, "tracks": 3, "playlists": 2, "plays": 0}
        people = await sql.fetch("SELECT user_id::text, playlists, public_playlists FROM person_counts")
        assert [tuple(row) for row in people] == [(ann, 2, 1)]
        assert bob != ann
        blobs = await sql.fetch("SELECT digest, reference_count FROM upload_blobs")
        assert [tuple(row) for row in blobs] == [(sha("a"), 2)]
        kept = await sql.fetch("SELECT playlist_id::text, upload_id::text FROM playlist_uploads")
        assert [tuple(row) for row in kept] == [(full, upload_ids[0])]
        assert await sql.fetchval("SELECT kind FROM sessions WHERE session_id = $1", session_id) == "LOGIN"
        assert await sql.fetchval("SELECT refined FROM tracks LIMIT 1") == 0
        assert await sql.fetchval("SELECT count(*) FROM signals") == 0
    finally:
        await sql.close()


async def test_older_release_claims_only_what_it_can_do(sql: Sql) -> None:
    ann, job_id = await sign_up(sql), new()
    insert = """
        INSERT INTO jobs (job_id, kind, user_id, request, state, run_after, due_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
    """
    kinds = ["EXTENSION", "REGENERATION", "ENCODER_SWITCH", "ACCOUNT_EXPORT", "ACCOUNT_DELETION", "HEARING"]
    never = datetime.max.replace(tzinfo=UTC)
    for kind in [*kinds, "GENERATION"]:
        await sql.execute(
            "INSERT INTO jobs (job_id, kind, user_id, request, state, run_after, due_at) "
            "VALUES ($1, $2, $3, '{}', 'QUEUED', 'infinity', $4)", new(), kind, ann, NOW,
        )  # fmt: skip
    assert await sql.fetchrow(old.CLAIM_JOB, 30.0) is None
    for kind in kinds:
        with pytest.raises(asyncpg.CheckViolationError) as refusal:
            await sql.execute(insert, new(), kind, ann, "{}", "QUEUED", NOW, NOW)
        assert refusal.value.constraint_name == "jobs_new_kinds_kept_apart"
    with pytest.raises(asyncpg.CheckViolationError):
        await sql.execute(insert, new(), "SOMETHING", ann, "{}", "QUEUED", never, NOW)
    with pytest.raises(asyncpg.CheckViolationError) as nameless:
        await sql.execute(
            "INSERT INTO jobs (job_id, kind, request, state, run_after) "
            "VALUES (uuidv7(), 'EXTENSION', '{}', 'QUEUED', 'infinity')"
        )
    assert nameless.value.constraint_name == "jobs_due_known"
    await sql.execute(old.ADD_JOB, job_id, ann, json.dumps({"recipe": {}}), "request")
    claimed = await sql.fetchrow(old.CLAIM_JOB, 30.0)
    assert claimed is not None
    assert str(claimed["job_id"]) == job_id


async def test_older_release_logs_in_and_sweeps(sql: Sql) -> None:
    ann = await sign_up(sql, "ann")
    assert await sql.fetchval(old.BECOME_FOUNDER, ann) is not None
    expired, alive = await begin_session(sql, ann, NOW - WEEK), await begin_session(sql, ann)
    for session_id, life in ((expired, -WEEK), (alive, WEEK)):
        await sql.execute(old.ADD_REFRESH_TOKEN, sha(session_id), session_id, NOW, NOW + life)
        await sql.execute(
            "INSERT INTO api_tokens (token_id, user_id, session_id, token_hash, name, scopes, created_at) "
            "VALUES (uuidv7(), $1, $2, $3, 'robot', '{read}', $4)", ann, session_id, sha(session_id), NOW,
        )  # fmt: skip
    assert await sql.execute(old.USE_REFRESH_TOKEN, sha(alive), NOW) == "UPDATE 1"
    assert await sql.execute(old.PROLONG_SESSION, alive, NOW, NOW + WEEK) == "UPDATE 1"
    assert await sql.execute(old.SWEEP_TOKENS, NOW) == "DELETE 1"
    assert await sql.execute(old.SWEEP_SESSIONS, NOW) == "DELETE 1"
    tokens = await sql.fetch("SELECT session_id::text FROM api_tokens ORDER BY session_id NULLS LAST")
    assert [row["session_id"] for row in tokens] == [alive, None]
    assert await sql.execute(old.REVOKE_SESSION, alive, NOW, "LOGGED_OUT") == "UPDATE 1"
    assert await sql.execute(old.ADD_SIGNING_KEY, "key", b"k" * 32) == "INSERT 0 1"


async def test_older_release_registers_and_embeds(sql: Sql) -> None:
    _, tracks = await add_tracks(sql, 60.0, 30.0)
    await sql.execute(old.ADD_ENCODER, "old-1")
    await sql.execute(old.SERVE_ENCODER, "old-1")
    assert await sql.execute(old.LOCK_SOUNDS, "old-1", tracks) == "INSERT 0 2"
    assert await sql.execute(old.WANT_TRACKS, "old-1", tracks) == "INSERT 0 2"
    heard, failed = [row["audio_hash"] for row in await sql.fetch("SELECT audio_hash FROM tracks ORDER BY track_id")]
    assert await sql.execute(old.ADD_EMBEDDING, "old-1", heard) == "INSERT 0 1"
    assert await sql.execute(old.MARK_EMBEDDED, "old-1", heard) == "UPDATE 1"
    assert await sql.execute(old.ADD_FAILURE, "old-1", failed) == "INSERT 0 1"
    assert await sql.execute(old.DELETE_FAILURE, "old-1", failed) == "DELETE 1"
    for sound in (heard, failed):
        assert await sql.execute(old.DELETE_WORK, "old-1", sound) == "DELETE 1"


async def test_older_release_generates_and_deletes_what_others_like(sql: Sql) -> None:
    ann, bob = await sign_up(sql), await sign_up(sql)
    _, tracks = await add_tracks(sql, 60.0, 30.0)
    job_id, key = new(), ("op", "key", b"digest", new(), NOW, NOW + WEEK)
    assert await sql.execute(old.CLAIM_KEY, ann, *key) == "INSERT 0 1"
    await sql.execute(old.ADD_JOB, job_id, ann, json.dumps({"recipe": {}}), "request")
    await sql.fetchrow(old.CLAIM_JOB, 30.0)
    assert await sql.execute(old.RENEW_JOB, job_id, 1, 30.0) == "UPDATE 1"
    assert await sql.execute(old.ADVANCE_JOB, job_id, 1, "SEARCHING", 0.5) == "UPDATE 1"
    assert await sql.execute(old.RELEASE_JOB, job_id, 1, 0.0) == "UPDATE 1"
    await sql.fetchrow(old.CLAIM_JOB, 30.0)
    playlist_id = await add_playlist(sql, ann, tracks, "PUBLIC")
    assert await sql.execute(old.END_JOB, job_id, playlist_id, NOW) == "UPDATE 1"
    assert await measures(sql, playlist_id) == (2, 90.0)
    for statement in (
        "INSERT INTO likes VALUES ($1, $2, now())",
        "INSERT INTO saves VALUES ($1, $2, uuidv7(), now())",
        "INSERT INTO comments VALUES (uuidv7(), $2, $1, '!', now())",
        "INSERT INTO schedules (playlist_id, user_id, every, first_at, next_at) VALUES ($2, $1, 'DAILY', now(), now())",
        "INSERT INTO suggestions (playlist_id, track_id, at) VALUES ($2, $1, now())",
        "INSERT INTO activities VALUES (uuidv7(), $1, 'LIKED', $2, NULL, NULL, now())",
        "INSERT INTO stream_tokens VALUES (uuidv7(), sha256('x'), $2, $1, now(), now())",
    ):
        await sql.execute(statement, bob, playlist_id)
    await sql.execute("INSERT INTO playlist_counts (playlist_id) VALUES ($1)", playlist_id)
    await sql.execute("INSERT INTO playlist_heat VALUES ($1, 1)", playlist_id)
    assert await sql.fetchval(old.DELETE_PLAYLIST, playlist_id, ann) is not None
    for table in (
        "likes",
        "saves",
        "comments",
        "schedules",
        "suggestions",
        "stream_tokens",
        "playlist_counts",
        "playlist_heat",
    ):
        assert await sql.fetchval(f"SELECT count(*) FROM {table}") == 0, table
    assert await sql.fetchval("SELECT playlist_id FROM jobs WHERE job_id = $1", job_id) is None
    await sql.execute(old.ADD_JOB, cancelled := new(), ann, "{}", "")
    assert await sql.fetchval(old.CANCEL_JOB, cancelled, ann, NOW) is not None
    assert await sql.execute(old.SWEEP_KEYS, NOW + WEEK) == "DELETE 1"
    row_id = await sql.fetchval(old.ADD_EVENT, ann, new(), "museed.social.v1.playlist_created", b"", "")
    assert await sql.execute(old.SEND_ROWS, [row_id]) == "DELETE 1"
