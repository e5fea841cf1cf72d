"""What is kept of people: taken away as a zip, and taken away for good. Every column that names somebody is told of."""

import asyncio
import io
import itertools
import json
import re
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest

from museed.social.v1 import accounts_pb2, catalog_pb2, privacy_pb2, privacy_pb2_grpc
from services.chassis.blobs import open_blob_store
from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted, Unauthenticated
from services.social.actions import custody
from services.social.domain.ids import UserId, new_id
from services.social.domain.passwords import PasswordHasher
from services.social.domain.privacy import NAMED, Fate
from services.social.errors.moderation import LastAdmin
from services.social.settings import SocialSettings
from services.social.store import leaving, privacy
from services.social.store.database import Database
from services.social.wiring.care import resume_deletions, sweep_exports
from tests.integration.social.conftest import TIMEOUT_S, Client, Person, Sql, sha, until
from tests.integration.social.old_release import NOW, add_playlist, add_tracks

pb = privacy_pb2
LATER = NOW + timedelta(days=900)

# However it is called: what refers to people, and what by its name means one.
_BY_NAME = re.compile(
    r"[._](user|owner|actor|follower|followee|blocker|blocked|reporter|founder|admin|person)_id$|_by$"
)
COLUMNS = """
SELECT c.table_name || '.' || c.column_name, EXISTS (
    SELECT FROM pg_constraint AS k JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
    WHERE k.contype = 'f' AND k.confrelid = 'users'::regclass AND k.conrelid = c.table_name::regclass
        AND a.attname = c.column_name
)
FROM information_schema.columns AS c JOIN information_schema.tables AS t USING (table_schema, table_name)
WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE' AND c.data_type = 'uuid'
"""


@pytest.fixture
def settings(settings: SocialSettings, tmp_path: Path) -> SocialSettings:
    return settings.model_copy(update={"blob_store_url": f"file://{tmp_path / 'blobs'}"})


class Desk:
    """Calls of PrivacyService by one person."""

    def __init__(self, social: Client, who: Person) -> None:
        self._stub = social.stub(privacy_pb2_grpc.PrivacyServiceStub)
        self._who = who

    async def export(self, key: str = "") -> pb.RequestExportResponse:
        request = pb.RequestExportRequest(idempotency_key=key or new_id())
        return await self._stub.RequestExport(request, timeout=TIMEOUT_S, metadata=self._who.metadata)

    async def get(self, export_id: str) -> pb.GetExportResponse:
        request = pb.GetExportRequest(export_id=export_id)
        return await self._stub.GetExport(request, timeout=TIMEOUT_S, metadata=self._who.metadata)

    async def delete(self, password: str) -> str:
        request = pb.DeleteAccountRequest(password=password)
        return (await self._stub.DeleteAccount(request, timeout=TIMEOUT_S, metadata=self._who.metadata)).job_id


async def named_columns(sql: Sql) -> set[str]:
    return {name for name, is_key in await sql.fetch(COLUMNS) if is_key or _BY_NAME.search(name)}


async def test_every_column_that_names_a_person_is_told_of(sql: Sql) -> None:
    assert await named_columns(sql) | {"users.user_id"} == set(NAMED)
    for name, named in NAMED.items():
        is_plain = named.is_exported and named.fate is Fate.DELETED
        assert is_plain or named.reason or named.fate is Fate.ANONYMISED, name


async def test_a_new_table_that_names_a_person_is_noticed(sql: Sql) -> None:
    await sql.execute("CREATE TABLE gifts (giver uuid REFERENCES users, received_by uuid, thing_id uuid)")
    assert await named_columns(sql) - set(NAMED) == {"gifts.giver", "gifts.received_by"}


async def test_what_is_promised_is_done_by_a_statement(sql: Sql) -> None:
    """The table of fates, the export and the deletion say the same."""
    exported = {name.partition(".")[0] for name, named in NAMED.items() if named.is_exported}
    assert exported - {"users"} | {"account", "playlist_entries", "suggestions"} == set(privacy.EXPORTED)
    statements = " ".join(leaving.STEPS.values())
    taken = set(re.findall(r"(?:DELETE FROM|UPDATE) (\w+)", statements))
    at_once = {"users", "data_exports"}
    assert {name.partition(".")[0] for name, named in NAMED.items() if named.fate is not Fate.KEPT} <= taken | at_once


async def furnish(sql: Sql, ann: str, bob: str) -> dict[str, str]:
    """Give Ann something in each table that names people, and Bob what is about her."""
    _, tracks = await add_tracks(sql, 60.0, 30.0)
    upload_id, comment_id = new_id(), new_id()
    await sql.execute(
        "INSERT INTO uploads (upload_id, user_id, digest, size_bytes, content_type, file_name, created_at, expires_at) "
        "VALUES ($1, $2, $3, 1000, 'audio/ogg', 'demo.ogg', $4, $4)", upload_id, ann, sha("demo"), NOW,
    )  # fmt: skip
    own = await add_playlist(sql, ann, tracks, "PUBLIC", upload_id)
    bobs = await add_playlist(sql, bob, tracks, "PUBLIC")
    token = sha(new_id())
    for statement, *arguments in (
        ("INSERT INTO mail_tokens VALUES (uuidv7(), $3, $1, 'RESET', 'ann@example.org', $2, $2)", ann, NOW, token),
        ("INSERT INTO mails (mail_id, user_id, kind, to_address, run_after) "
         "VALUES (uuidv7(), $1, 'RESET', 'ann@here', $2)", ann, LATER),
        ("INSERT INTO api_tokens (token_id, user_id, token_hash, name, scopes, created_at) "
         "VALUES (uuidv7(), $1, $3, 'robot', '{read}', $2)", ann, NOW, token),
        ("UPDATE sessions SET user_agent = 'Firefox', client = '10.0.0' WHERE user_id = $1", ann),
        (
            "INSERT INTO schedules (playlist_id, user_id, every, first_at, next_at) VALUES ($2, $1, 'DAILY', $3, $3)",
            ann, own, LATER,
        ),
        ("INSERT INTO suggestions VALUES ($1, $2, 'REJECTED', 0.5, NULL, $3)", own, tracks[1], NOW),
        ("INSERT INTO suggestions VALUES ($1, $2, 'PROPOSED', 0.5, NULL, $3)", own, tracks[0], NOW),
        ("INSERT INTO stream_tokens VALUES (uuidv7(), $3, $2, $1, $4, $4)", ann, own, token, NOW),
        ("INSERT INTO idempotency_keys VALUES ($1, 'op', 'key', 'digest', $2, $3)", ann, own, LATER),
        ("INSERT INTO sign_up_keys VALUES ($3, $3, $1, $2)", ann, LATER, token),
        ("INSERT INTO blocked_tracks (user_id, track_id, at) VALUES ($1, $2, $3)", ann, tracks[0], NOW),
        ("INSERT INTO plays VALUES ($4, $1, $2, NULL, 'Rock', NULL, $3, 60, true, $3)", ann, tracks[0], NOW, new_id()),
        ("INSERT INTO listening VALUES ($1, $2, 1, $3, $3, 0)", ann, tracks[0], NOW),
        ("INSERT INTO daily_listening VALUES ($1, $2, 'Rock', 1, 60)", ann, NOW.date()),
        ("INSERT INTO daily_tracks_of VALUES ($1, $3, $2, 1)", ann, tracks[0], NOW.date()),
        ("INSERT INTO tastes (user_id, changed_at) VALUES ($1, $2)", ann, NOW),
        ("INSERT INTO mixes VALUES ($1, $2, '[]')", ann, NOW.date()),
        ("INSERT INTO badges VALUES ($1, 'gardener', 1, $2)", ann, NOW),
        ("INSERT INTO comments VALUES ($3, $2, $1, 'Ann was here', $4)", ann, bobs, comment_id, NOW),
        ("INSERT INTO comments VALUES (uuidv7(), $2, $1, 'Bob was here', $3)", bob, own, NOW),
        ("INSERT INTO comments VALUES (uuidv7(), $2, $1, 'Hidden', $3, NULL, NULL, $3)", bob, own, NOW),
        ("INSERT INTO activities VALUES (uuidv7(), $1, 'LIKED', $2, NULL, NULL, $3)", ann, bobs, NOW),
    ):  # fmt: skip
        await sql.execute(statement, *arguments)
    for one, other, playlist_id in ((ann, bob, bobs), (bob, ann, own)):
        await sql.execute("INSERT INTO likes VALUES ($1, $2, $3)", one, playlist_id, NOW)
        await sql.execute("INSERT INTO saves VALUES ($1, $2, uuidv7(), $3)", one, playlist_id, NOW)
        await sql.execute("INSERT INTO follows VALUES ($1, $2, $3)", one, other, NOW)
        await sql.execute("INSERT INTO user_blocks VALUES ($1, $2, $3)", one, other, NOW)
        await sql.execute(
            "INSERT INTO notifications (notification_id, user_id, kind, actor_id, at) "
            "VALUES (uuidv7(), $1, 'FOLLOWED', $2, $3)", one, other, NOW,
        )  # fmt: skip
        await sql.execute(
            "INSERT INTO reports (report_id, reporter_id, subject_kind, subject_id, reason, created_at) "
            "VALUES (uuidv7(), $1, 'USER', $2, 'SPAM', $3)", one, other, NOW,
        )  # fmt: skip
    await sql.execute("INSERT INTO playlist_counts (playlist_id, likes, saves, comments) VALUES ($1, 1, 1, 1)", bobs)
    for person in (ann, bob):
        await sql.execute(
            "INSERT INTO person_counts (user_id, likes_received, saves_received, followers, following, likes_given, "
            "comments) VALUES ($1, 1, 1, 1, 1, 1, 1) ON CONFLICT (user_id) DO UPDATE SET likes_received = 1, "
            "saves_received = 1, followers = 1, following = 1, likes_given = 1, comments = 1", person,
        )  # fmt: skip
        await sql.execute("INSERT INTO touched_people VALUES ($1, $2) ON CONFLICT DO NOTHING", person, NOW)
    return {"own": own, "bobs": bobs, "comment": comment_id, "upload": upload_id}


async def rows_of(sql: Sql, user_id: str) -> dict[str, int]:
    """How many rows name a person, by column."""
    found = {}
    for name in NAMED:
        table, _, column = name.partition(".")
        found[name] = await sql.fetchval(f"SELECT count(*) FROM {table} WHERE {column} = $1", user_id)
    return found


async def ended(sql: Sql, job_id: str) -> str:
    async def has_ended() -> bool:
        return await sql.fetchval("SELECT finished_at FROM jobs WHERE job_id = $1", job_id) is not None

    await until(has_ended, 30.0)
    row = await sql.fetchrow("SELECT state, failure_reason FROM jobs WHERE job_id = $1", job_id)
    assert row is not None
    return f"{row['state']}{row['failure_reason']}"


async def test_who_leaves_is_gone_and_others_keep_what_is_theirs(social: Client, sql: Sql) -> None:
    await social.sign_up("admin")
    ann, bob = await social.sign_up("ann"), await social.sign_up("bob")
    made = await furnish(sql, ann.user_id, bob.user_id)
    before = await rows_of(sql, ann.user_id)
    assert {name for name, named in NAMED.items() if named.fate is not Fate.KEPT and not before[name]} == {
        "jobs.user_id",
        "blocked_artists.user_id",
        "data_exports.user_id",
    }
    job_id = await Desk(social, ann).delete(ann.password)
    # At once: nobody, with no way in, and nothing to see.
    person = await sql.fetchrow("SELECT * FROM users WHERE user_id = $1", ann.user_id)
    assert person is not None
    assert "ann" not in "".join(str(person[name]) for name in ("username", "nickname", "email", "email_key"))
    assert (person["password_hash"], person["deleted_at"] is None, person["is_listed"]) == ("", False, False)
    # "nobody" is what a log-in without a person is compared with.
    for login, password in itertools.product(("ann", f"deleted-{ann.user_id}"), (ann.password, "nobody")):
        with pytest.raises(Unauthenticated) as refused:
            await social.accounts.LogIn(accounts_pb2.LogInRequest(login=login, password=password), timeout=TIMEOUT_S)
        assert refused.value.reason == "BAD_CREDENTIALS"
    refresh = accounts_pb2.RefreshSessionRequest(refresh_token=ann.refresh_token)
    with pytest.raises(Unauthenticated):
        await social.accounts.RefreshSession(refresh, timeout=TIMEOUT_S)
    assert await ended(sql, job_id) == "SUCCEEDED"
    after = await rows_of(sql, ann.user_id)
    left = {name for name, named in NAMED.items() if after[name] and named.fate is Fate.DELETED}
    assert left == {"jobs.user_id"}
    assert {name for name, named in NAMED.items() if named.fate is Fate.KEPT and after[name] != before[name]} <= {
        "signals.user_id",
        "signals.actor_id",
    }
    assert await sql.fetchval("SELECT kind FROM jobs WHERE user_id = $1", ann.user_id) == "ACCOUNT_DELETION"
    comment = await sql.fetchrow("SELECT user_id, text FROM comments WHERE comment_id = $1", made["comment"])
    assert comment is not None
    assert tuple(comment) == (None, "Ann was here")
    session = await sql.fetchrow(
        "SELECT user_agent, client, revoked_because FROM sessions WHERE user_id = $1", ann.user_id
    )
    assert session is not None
    assert tuple(session) == ("", "", "ACCOUNT_DELETED")
    assert await sql.fetchval("SELECT count(*) FROM playlists") == 1
    counts = "SELECT likes, saves, comments FROM playlist_counts WHERE playlist_id = $1"
    of_person = (
        "SELECT likes_received, saves_received, followers, following, likes_given, comments FROM person_counts"
        " WHERE user_id = $1"
    )

    async def is_counted_back() -> bool:
        found = await sql.fetchrow(counts, made["bobs"])
        of_bob = await sql.fetchrow(of_person, bob.user_id)
        return found is not None and tuple(found) == (0, 0, 1) and tuple(of_bob or ()) == (0, 0, 0, 0, 0, 0)

    await until(is_counted_back)
    assert await sql.fetchval("SELECT count(*) FROM person_counts WHERE user_id = $1", ann.user_id) == 0
    # The audio is nobody's now: the sweep of audio takes it.
    assert await sql.fetchval("SELECT reference_count FROM upload_blobs WHERE digest = $1", sha("demo")) == 0
    assert (await social.sign_up("ann")).user_id != ann.user_id
    stats = await social.catalog.GetStats(catalog_pb2.GetStatsRequest(), timeout=TIMEOUT_S)
    assert stats.user_count == 3

    async def is_tallied() -> bool:
        return bool(await sql.fetchval("SELECT value FROM counters WHERE name = 'users'") == 3)

    await until(is_tallied)


async def test_password_that_is_changed_meanwhile_lets_nobody_leave(
    social: Client, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password is right when it is hashed, and no more when the account would be deleted."""
    await social.sign_up("admin")
    ann = await social.sign_up("ann")
    verified = PasswordHasher.verify

    async def slow(self: PasswordHasher, encoded: str | None, password: str) -> bool:
        answer = await verified(self, encoded, password)
        await sql.execute("UPDATE users SET password_changed_at = now() WHERE user_id = $1", ann.user_id)
        return answer

    monkeypatch.setattr(PasswordHasher, "verify", slow)
    with pytest.raises(Unauthenticated) as refused:
        await Desk(social, ann).delete(ann.password)
    assert (refused.value.reason, refused.value.field) == ("BAD_CREDENTIALS", "password")
    assert await sql.fetchval("SELECT count(*) FROM users WHERE deleted_at IS NOT NULL") == 0
    assert await sql.fetchval("SELECT count(*) FROM jobs") == 0


async def test_leaving_wants_the_password_and_another_admin(social: Client, sql: Sql) -> None:
    admin, ann = await social.sign_up("admin"), await social.sign_up("ann")
    before = await sql.fetch("SELECT * FROM users ORDER BY user_id")
    with pytest.raises(InvalidArgument) as nothing:
        await Desk(social, ann).delete("")
    assert (nothing.value.reason, nothing.value.field) == ("REQUIRED", "password")
    for wrong in ("wrong", ann.password + "x" * 200):
        with pytest.raises(Unauthenticated) as refused:
            await Desk(social, ann).delete(wrong)
        assert refused.value.reason == "BAD_CREDENTIALS"
    with pytest.raises(FailedPrecondition) as last:
        await Desk(social, admin).delete(admin.password)
    assert last.value.reason == "LAST_ADMIN"
    assert await sql.fetch("SELECT * FROM users ORDER BY user_id") == before
    assert await sql.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NOT NULL") == 0
    assert await sql.fetchval("SELECT count(*) FROM jobs") == 0


async def test_of_two_admins_who_leave_at_once_one_stays(database: Database, sql: Sql) -> None:
    people = [UserId(await add_person(sql, name)) for name in ("ann", "bob")]
    for _ in range(10):
        await sql.execute("UPDATE users SET role = 'admin', deleted_at = NULL")

        async def leave(user_id: UserId) -> str:
            try:
                async with database.transaction() as connection:
                    await custody.check_may_leave(connection, user_id)
                    await asyncio.sleep(0)
                    await privacy.anonymise(connection, user_id, NOW)
            except LastAdmin as error:
                return error.reason
            return "left"

        assert sorted(await asyncio.gather(*(leave(one) for one in people))) == ["LAST_ADMIN", "left"]


async def test_deletion_goes_on_where_it_stopped(database: Database, sql: Sql) -> None:
    """Batches of one: each statement ends, whatever is left of it."""
    ann, bob = [await add_person(sql, name) for name in ("ann", "bob")]
    await furnish(sql, ann, bob)
    untouched = await rows_of(sql, bob)
    for statement in leaving.STEPS.values():
        for _ in range(20):
            async with database.transaction() as connection:
                if not await leaving.take(connection, statement, UserId(ann), 1):
                    break
        else:
            raise AssertionError(statement)
    left = {name for name, count in (await rows_of(sql, ann)).items() if count and NAMED[name].fate is Fate.DELETED}
    assert left == set()
    after = await rows_of(sql, bob)
    about_ann = {"follows.follower_id", "follows.followee_id", "user_blocks.blocker_id", "user_blocks.blocked_id"}
    on_anns_list = {"likes.user_id", "saves.user_id", "comments.user_id"}
    told_ann = {"notifications.actor_id"}
    differ = {name for name in NAMED if after[name] != untouched[name] and not name.startswith("signals")}
    assert differ == about_ann | on_anns_list | told_ann


async def add_person(sql: Sql, name: str) -> str:
    user_id = new_id()
    await sql.execute(
        "INSERT INTO users (user_id, username, username_key, nickname, email, email_key, role, password_hash, "
        "created_at, updated_at) VALUES ($1, $2, $2, $2, $2, $2, 'user', 'hash', $3, $3)", user_id, name, NOW,
    )  # fmt: skip
    return user_id


async def test_export_holds_all_of_ones_own_and_nothing_else(
    social: Client, database: Database, sql: Sql, settings: SocialSettings
) -> None:
    await social.sign_up("admin")
    ann, bob = await social.sign_up("ann"), await social.sign_up("bob")
    made = await furnish(sql, ann.user_id, bob.user_id)
    desk, key = Desk(social, ann), new_id()
    first, second = await asyncio.gather(desk.export(key), desk.export())
    assert first.export_id == second.export_id
    assert await ended(sql, first.job.job_id) == "SUCCEEDED"
    assert (await desk.export()).export_id == first.export_id
    found = await desk.get(first.export_id)
    assert found.expires_at.seconds - found.created_at.seconds == 7 * 86_400
    blobs = open_blob_store(settings.blob_store_url)
    data = await blobs.get(found.digest)
    assert len(data) == found.size_bytes
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    lines = {name: [json.loads(line) for line in text.splitlines()] for name, text in files.items()}
    assert set(files) == {f"{name}.jsonl" for name in privacy.EXPORTED}
    empty = {"blocked_artists.jsonl"}
    assert {name for name, rows in lines.items() if not rows} == empty
    [account], [playlist] = lines["account.jsonl"], lines["playlists.jsonl"]
    assert (account["username"], account["email"]) == ("ann", "ann@example.org")
    assert (playlist["playlist_id"], playlist["entry_count"]) == (made["own"], 2)
    assert [row["title"] is not None for row in lines["playlist_entries.jsonl"]] == [True, True]
    assert [row["text"] for row in lines["comments.jsonl"]] == ["Ann was here"]
    assert [row["state"] for row in lines["suggestions.jsonl"]] == ["REJECTED"]
    whole = "".join(files.values())
    password_hash = await sql.fetchval("SELECT password_hash FROM users WHERE user_id = $1", ann.user_id)
    for secret in ("_hash", "password_hash", str(password_hash), "Bob was here", "bob@example.org"):
        assert secret not in whole
    with pytest.raises(NotFound) as others:
        await Desk(social, bob).get(first.export_id)
    assert others.value.reason == "EXPORT_NOT_FOUND"
    # After its week it is gone, row and bytes.
    await sql.execute("UPDATE data_exports SET expires_at = $1", NOW)
    with pytest.raises(NotFound):
        await desk.get(first.export_id)
    await sweep_exports(blobs)(database, NOW)
    with pytest.raises(NotFound):
        await blobs.get(found.digest)
    assert await sql.fetchval("SELECT count(*) FROM data_exports") == 0


async def test_export_is_not_ready_before_it_is_written(social: Client, sql: Sql) -> None:
    ann = await social.sign_up("ann")
    export_id = new_id()
    await sql.execute("INSERT INTO data_exports VALUES ($1, $2, $3, NULL, NULL, now(), now() + interval '7 days')",
                      export_id, ann.user_id, new_id())  # fmt: skip
    with pytest.raises(FailedPrecondition) as early:
        await Desk(social, ann).get(export_id)
    assert early.value.reason == "EXPORT_NOT_READY"
    for wrong in ("", "x" * 300, new_id()):
        with pytest.raises(NotFound):
            await Desk(social, ann).get(wrong)
    for key in ("", "x" * 201):
        with pytest.raises(InvalidArgument) as refused:
            await Desk(social, ann)._stub.RequestExport(
                pb.RequestExportRequest(idempotency_key=key), timeout=TIMEOUT_S, metadata=ann.metadata
            )
        assert refused.value.field == "idempotency_key"


async def test_bytes_that_another_thing_lies_by_stay(database: Database, sql: Sql, tmp_path: Path) -> None:
    blobs = open_blob_store(f"file://{tmp_path / 'blobs'}")
    digest = await blobs.put(b"the same")
    ann = await add_person(sql, "ann")
    for expires_at in (NOW, NOW + timedelta(days=1)):
        await sql.execute("INSERT INTO data_exports VALUES (uuidv7(), $1, uuidv7(), $2, 8, $3, $3)",
                          ann, digest, expires_at)  # fmt: skip
    await sweep_exports(blobs)(database, NOW)
    assert await blobs.get(digest) == b"the same"
    await sweep_exports(blobs)(database, NOW + timedelta(days=1))
    with pytest.raises(NotFound):
        await blobs.get(digest)


async def test_a_guess_at_the_password_of_an_account_is_counted(social: Client, settings: SocialSettings) -> None:
    await social.sign_up("admin")
    ann = await social.sign_up("ann")
    stub = social.stub(privacy_pb2_grpc.PrivacyServiceStub)
    for _ in range(settings.failed_logins_per_window):
        with pytest.raises(Unauthenticated):
            await stub.DeleteAccount(
                pb.DeleteAccountRequest(password="a guess"), timeout=TIMEOUT_S, metadata=ann.metadata
            )
    with pytest.raises(ResourceExhausted):
        await stub.DeleteAccount(
            pb.DeleteAccountRequest(password=ann.password), timeout=TIMEOUT_S, metadata=ann.metadata
        )


async def test_deletion_that_was_given_up_begins_again_once(database: Database, sql: Sql) -> None:
    ann, _ = [await add_person(sql, name) for name in ("ann", "bob")]
    statement = "SELECT count(*) FROM jobs WHERE user_id = $1 AND kind = 'ACCOUNT_DELETION' AND finished_at IS NULL"
    await sql.execute("UPDATE users SET deleted_at = $2 WHERE user_id = $1", ann, NOW)
    await sql.execute(
        "INSERT INTO jobs (job_id, kind, user_id, request, state, run_after, due_at, finished_at) "
        "VALUES (uuidv7(), 'ACCOUNT_DELETION', $1, '{}', 'FAILED', 'infinity', $2, $2)", ann, NOW,
    )  # fmt: skip
    await asyncio.gather(*(resume_deletions(database, NOW) for _ in range(4)))
    await resume_deletions(database, NOW)
    assert await sql.fetchval(statement, ann) == 1
    await sql.execute("UPDATE jobs SET state = 'SUCCEEDED', finished_at = $1 WHERE finished_at IS NULL", NOW)
    await resume_deletions(database, NOW)
    assert await sql.fetchval(statement, ann) == 0
    assert await sql.fetchval("SELECT count(*) FROM jobs") == 2
