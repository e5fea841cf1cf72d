"""A library comes back whole: every row of every table but of ways in that may have ended since; nothing is left of a
backup that was killed.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil

from deploy.local.backup import back_up, restore, serving
from deploy.local.postgres import Postgres
from deploy.local.state import State
from services.social.migrate import migrate, read_migrations
from tests.integration.social import old_release as old
from tests.integration.social.conftest import sha

TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences ORDER BY 1"


def postgres_of(state: State) -> Postgres:
    return Postgres.at(state / "postgres", state.secret("postgres"))


async def fill(url: str) -> None:
    """Write what people leave, in whatever tables take it."""
    await migrate(url, read_migrations())
    sql = await asyncpg.connect(url)
    ann, bob = await old.sign_up(sql, "ann"), await old.sign_up(sql, "밥 'quoted' \\ bob")
    session_id = await old.begin_session(sql, ann)
    await sql.execute(old.ADD_REFRESH_TOKEN, sha("token"), session_id, old.NOW, old.NOW + old.WEEK)
    await sql.execute("INSERT INTO quota_windows VALUES ('log_in', 'ann', now(), 3)")
    _, tracks = await old.add_tracks(sql, 60.0, 30.5, 200.25)
    playlist_id = await old.add_playlist(sql, ann, tracks, "PUBLIC")
    await sql.execute("INSERT INTO follows VALUES ($1, $2, now())", bob, ann)
    await sql.execute("INSERT INTO likes VALUES ($1, $2, now())", bob, playlist_id)
    await sql.execute("INSERT INTO comments VALUES (uuidv7(), $2, $1, 'ㅋㅋ', now())", bob, playlist_id)
    await sql.execute(
        "INSERT INTO plays VALUES (uuidv7(), $1, $2, NULL, 'Rock', NULL, now(), 45.5, true, now())", bob, tracks[0]
    )
    await sql.execute(old.ADD_ENCODER, "old-1")
    await sql.execute(old.ADD_EMBEDDING, "old-1", sha(tracks[0]))
    await sql.execute(old.ADD_EVENT, ann, old.new(), "museed.social.v1.playlist_created", b"\0\xff", "")
    await sql.close()


async def content(url: str) -> dict[str, list[str]]:
    sql = await asyncpg.connect(url)
    found = {
        row["table_name"]: sorted(one[0] for one in await sql.fetch(f"SELECT t::text FROM {row['table_name']} AS t"))
        for row in await sql.fetch(TABLES)
    }
    found["sequences"] = [str(tuple(row)) for row in await sql.fetch(SEQUENCES)]
    await sql.close()
    return found


def test_every_row_of_every_table_comes_back(tmp_path: Path) -> None:
    state = State.open(tmp_path / "state")
    with serving(postgres_of(state), state):
        asyncio.run(fill(postgres_of(state).url()))
        before = asyncio.run(content(postgres_of(state).url()))
    blob = state / "blobs" / "sha256" / "ab" / ("a" * 64)
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"sound")
    back_up(state.folder, tmp_path / "backup.tar")
    restore(tmp_path / "backup.tar", tmp_path / "restored")
    # One that was restored and has never run can be taken away, too.
    assert back_up(tmp_path / "restored", tmp_path / "again.tar").files == 3
    restored = State.open(tmp_path / "restored")
    with serving(postgres_of(restored), restored):
        after = asyncio.run(content(postgres_of(restored).url()))
    left_out = {"refresh_tokens", "quota_windows"}
    assert all(before[table] for table in left_out)
    assert after == {table: [] if table in left_out else rows for table, rows in before.items()}
    for table in ("users", "sessions", "playlist_entries", "likes", "comments", "plays", "embeddings", "outbox"):
        assert before[table], table
    assert (restored.folder / blob.relative_to(state.folder)).read_bytes() == b"sound"


def test_killed_backup_takes_the_database_server_along(tmp_path: Path) -> None:
    state = State.open(tmp_path / "state")
    script = f"""
import pathlib, time
from deploy.local.backup import serving
from deploy.local.postgres import Postgres
from deploy.local.state import State
state = State.open(pathlib.Path({str(state.folder)!r}))
with serving(Postgres.at(state / "postgres", state.secret("postgres")), state):
    print("serving", flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as backup:
        assert backup.stdout is not None
        assert backup.stdout.readline() == "serving\n"
        server = psutil.Process(int((state / "postgres" / "postmaster.pid").read_text().split()[0]))
        backup.kill()
    server.wait(60)
    with serving(postgres_of(state), state):
        assert asyncio.run(content(postgres_of(state).url())) == {"sequences": []}
