"""Reports and decisions, suspension, roles, and the log of what admins do: real PostgreSQL, real sockets."""

import asyncio
import contextlib
import json

import asyncpg
import pytest

from museed.social.v1 import (
    accounts_pb2,
    editing_pb2,
    editing_pb2_grpc,
    engagement_pb2,
    engagement_pb2_grpc,
    jobs_pb2,
    moderation_pb2,
    moderation_pb2_grpc,
    notifications_pb2,
    notifications_pb2_grpc,
    playlists_pb2,
)
from services.chassis.auth import Access
from services.chassis.errors import (
    Aborted,
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
)
from services.social.actions import custody
from services.social.actions.custody import Order
from services.social.domain.accounts import Role
from services.social.domain.ids import UserId, new_id
from services.social.errors.moderation import LastAdmin
from services.social.servicer.access import ACCESS
from services.social.store.database import Database
from tests.integration.social.conftest import TIMEOUT_S, Client, Library, Mesh, Person, Sql, until
from tests.integration.social.mailbox import log_in
from tests.integration.social.old_release import NOW, add_playlist, add_tracks, begin_session, sign_up

pb = moderation_pb2


class Desk:
    """Calls of ModerationService by one person."""

    def __init__(self, social: Client, who: Person) -> None:
        self._stub = social.stub(moderation_pb2_grpc.ModerationServiceStub)
        self._who = who

    async def report(self, kind: str, subject_id: str, reason: str = "SPAM", text: str = "") -> pb.Report:
        request = pb.ReportContentRequest(
            subject_kind=pb.SubjectKind.Value(f"SUBJECT_KIND_{kind}"),
            subject_id=subject_id,
            reason=pb.ReportReason.Value(f"REPORT_REASON_{reason}"),
            text=text,
        )
        answer = await self._stub.ReportContent(request, timeout=TIMEOUT_S, metadata=self._who.metadata)
        return answer.report

    async def decide(self, report_id: str, action: str = "NONE", *, upheld: bool = True) -> pb.Report:
        request = pb.DecideReportRequest(
            report_id=report_id,
            is_upheld=upheld,
            action=pb.ModerationAction.Value(f"MODERATION_ACTION_{action}"),
            because="seen",
        )
        return (await self._stub.DecideReport(request, timeout=TIMEOUT_S, metadata=self._who.metadata)).report

    async def show(self, kind: str, subject_id: str, because: str = "looked again") -> None:
        request = pb.ShowContentRequest(
            subject_kind=pb.SubjectKind.Value(f"SUBJECT_KIND_{kind}"), subject_id=subject_id, because=because
        )
        await self._stub.ShowContent(request, timeout=TIMEOUT_S, metadata=self._who.metadata)

    async def suspend(self, user_id: str, because: str = "spam") -> pb.Account:
        request = pb.SuspendUserRequest(user_id=user_id, because=because)
        return (await self._stub.SuspendUser(request, timeout=TIMEOUT_S, metadata=self._who.metadata)).account

    async def reinstate(self, user_id: str) -> pb.Account:
        request = pb.ReinstateUserRequest(user_id=user_id, because="sorry")
        return (await self._stub.ReinstateUser(request, timeout=TIMEOUT_S, metadata=self._who.metadata)).account

    async def set_role(self, user_id: str, role: str) -> pb.Account:
        request = pb.SetRoleRequest(user_id=user_id, role=role, because="help")
        return (await self._stub.SetRole(request, timeout=TIMEOUT_S, metadata=self._who.metadata)).account

    async def reports(self, state: str = "UNSPECIFIED", size: int = 0, token: str = "") -> pb.ListReportsResponse:
        request = pb.ListReportsRequest(
            state=pb.ReportState.Value(f"REPORT_STATE_{state}"), page_size=size, page_token=token
        )
        return await self._stub.ListReports(request, timeout=TIMEOUT_S, metadata=self._who.metadata)

    async def log(self, subject_id: str = "", size: int = 0, token: str = "") -> pb.ListAuditLogResponse:
        request = pb.ListAuditLogRequest(subject_id=subject_id, page_size=size, page_token=token)
        return await self._stub.ListAuditLog(request, timeout=TIMEOUT_S, metadata=self._who.metadata)

    async def search(self, query: str, size: int = 0, token: str = "") -> pb.SearchUsersResponse:
        request = pb.SearchUsersRequest(query=query, page_size=size, page_token=token)
        return await self._stub.SearchUsers(request, timeout=TIMEOUT_S, metadata=self._who.metadata)


@pytest.fixture
async def admin(social: Client) -> Person:
    return await social.sign_up("admin")


async def playlist_of(sql: Sql, owner: Person, visibility: str = "PUBLIC") -> str:
    _, tracks = await add_tracks(sql, 60.0)
    return await add_playlist(sql, owner.user_id, tracks, visibility)


async def comment_of(sql: Sql, author: Person, playlist_id: str) -> str:
    comment_id = new_id()
    await sql.execute(
        "INSERT INTO comments (comment_id, playlist_id, user_id, text, created_at) VALUES ($1, $2, $3, 'rude', $4)",
        comment_id,
        playlist_id,
        author.user_id,
        NOW,
    )
    return comment_id


async def whole(sql: Sql) -> list[object]:
    """What a refusal must leave as it is."""
    return [
        await sql.fetch(f"SELECT * FROM {table} ORDER BY 1")
        for table in ("users", "sessions", "jobs", "playlists", "comments", "reports", "audit_log", "notifications")
    ]


async def test_suspension_ends_sessions_and_jobs_and_hides_what_is_theirs(
    social: Client, library: Library, sql: Sql
) -> None:
    ann, bob, admin = await social.sign_up("ann"), await social.sign_up("bob"), library.admin
    seed = jobs_pb2.GenerationSeed(track_id=library.track_ids[0])
    shown = (await social.generate(ann, seed, length=3)).playlist_id
    await sql.execute("UPDATE playlists SET visibility = 'PUBLIC' WHERE playlist_id = $1", shown)
    open_job = new_id()
    await sql.execute(
        "INSERT INTO jobs (job_id, kind, user_id, request, state, run_after, due_at) "
        "VALUES ($1, 'EXTENSION', $2, '{}', 'QUEUED', 'infinity', 'infinity')", open_job, ann.user_id,
    )  # fmt: skip
    desk = Desk(social, admin)
    account = await desk.suspend(ann.user_id, "  spam  ")
    assert account.user.username == "ann"
    assert account.suspended_because == "spam"
    assert account.suspended_at.seconds > 0
    assert (
        await sql.fetchval("SELECT count(*) FROM sessions WHERE user_id = $1 AND revoked_at IS NULL", ann.user_id) == 0
    )
    assert await sql.fetchval("SELECT state FROM jobs WHERE job_id = $1", open_job) == "CANCELLED"
    with pytest.raises(Unauthenticated):
        await social.accounts.RefreshSession(_refresh(ann), timeout=TIMEOUT_S)
    for seeing in (
        Desk(social, bob).report("PLAYLIST", shown),
        social.playlist(bob, shown),
        social.playlist(None, shown),
    ):
        with pytest.raises(NotFound) as gone:
            await seeing
        assert gone.value.reason == "PLAYLIST_NOT_FOUND"
    with pytest.raises(NotFound) as nobody:
        await Desk(social, bob).report("USER", ann.user_id)
    assert nobody.value.reason == "USER_NOT_FOUND"

    async def is_refused() -> bool:
        try:
            await social.job(ann, open_job, wait_ms=0)
        except Unauthenticated:
            return True
        except DomainError:
            return False
        return False

    await until(is_refused)
    with pytest.raises(PermissionDenied) as told:
        await log_in(social, "ann", ann.password)
    assert (told.value.reason, told.value.value) == ("ACCOUNT_SUSPENDED", "spam")
    assert (await desk.suspend(ann.user_id, "again")).suspended_because == "spam"
    assert len((await desk.log(ann.user_id)).entries) == 1
    back = await desk.reinstate(ann.user_id)
    assert not back.HasField("suspended_at")
    assert back.suspended_because == ""
    assert (await Desk(social, bob).report("PLAYLIST", shown)).subject_id == shown
    assert (await social.playlist(None, shown)).playlist.playlist_id == shown
    await desk.reinstate(ann.user_id)
    assert [entry.action for entry in (await desk.log(ann.user_id)).entries] == ["reinstate_user", "suspend_user"]


def _refresh(who: Person) -> accounts_pb2.RefreshSessionRequest:
    return accounts_pb2.RefreshSessionRequest(refresh_token=who.refresh_token)


async def test_role_ends_sessions_and_is_there_at_the_next_log_in(social: Client, admin: Person, sql: Sql) -> None:
    ann = await social.sign_up("ann")
    desk = Desk(social, admin)
    assert (await desk.set_role(ann.user_id, "admin")).role == "admin"
    assert (await desk.set_role(ann.user_id, "admin")).role == "admin"
    assert await sql.fetchval("SELECT revoked_because FROM sessions WHERE user_id = $1", ann.user_id) == "ROLE_CHANGED"
    [entry] = (await desk.log(ann.user_id)).entries
    assert (entry.action, entry.actor_id, entry.because) == ("set_role", admin.user_id, "help")
    assert json.loads(entry.detail) == {"from": "user", "to": "admin"}
    assert entry.request_id != ""
    assert (entry.subject_kind, entry.subject_id) == (pb.SUBJECT_KIND_USER, ann.user_id)


@pytest.mark.parametrize(("role", "reason"), [("", "REQUIRED"), ("king", "MALFORMED")])
async def test_role_is_one_of_two(social: Client, admin: Person, role: str, reason: str) -> None:
    ann = await social.sign_up("ann")
    with pytest.raises(InvalidArgument) as refused:
        await Desk(social, admin).set_role(ann.user_id, role)
    assert (refused.value.reason, refused.value.field) == (reason, "role")


async def test_admin_touches_neither_self_nor_somebody_who_left(social: Client, admin: Person, sql: Sql) -> None:
    ann, desk = await social.sign_up("ann"), Desk(social, admin)
    await sql.execute("UPDATE users SET deleted_at = now() WHERE user_id = $1", ann.user_id)
    before = await whole(sql)
    for attempt in (desk.suspend(admin.user_id), desk.set_role(admin.user_id, "user")):
        with pytest.raises(FailedPrecondition) as own:
            await attempt
        assert (own.value.reason, own.value.field, own.value.value) == ("OWN_ACCOUNT", "user_id", admin.user_id)
    for attempt in (desk.suspend(ann.user_id), desk.set_role(new_id(), "admin"), desk.reinstate("nobody")):
        with pytest.raises(NotFound) as gone:
            await attempt
        assert gone.value.reason == "USER_NOT_FOUND"
    for because in ("", "x" * 1001):
        with pytest.raises(InvalidArgument) as wrong:
            await desk.suspend(ann.user_id, because)
        assert wrong.value.field == "because"
    assert await whole(sql) == before


async def test_of_two_admins_who_demote_each_other_at_once_one_stays(database: Database, sql: Sql) -> None:
    people = [UserId(await sign_up(sql)) for _ in range(2)]
    for _ in range(10):
        await sql.execute("UPDATE users SET role = 'admin', suspended_at = NULL")

        async def act(admin_id: UserId, user_id: UserId) -> str:
            try:
                async with database.transaction() as connection:
                    await custody.set_role(connection, Order(admin_id, user_id, "coup", NOW), Role.USER)
            except LastAdmin as error:
                return error.reason
            return "done"

        outcomes = await asyncio.gather(act(people[0], people[1]), act(people[1], people[0]))
        assert sorted(outcomes) == ["LAST_ADMIN", "done"]
        assert await sql.fetchval("SELECT count(*) FROM users WHERE role = 'admin'") == 1


async def test_suspended_admin_does_not_keep_the_mesh(database: Database, sql: Sql) -> None:
    ann, bob = UserId(await sign_up(sql)), UserId(await sign_up(sql))
    await sql.execute("UPDATE users SET role = 'admin'")
    await sql.execute("UPDATE users SET suspended_at = now() WHERE user_id = $1", ann)
    with pytest.raises(LastAdmin):
        async with database.transaction() as connection:
            await custody.suspend(connection, Order(ann, bob, "revenge", NOW))
    assert await sql.fetchval("SELECT suspended_at FROM users WHERE user_id = $1", bob) is None


async def test_report_is_filed_once_and_decided_once(social: Client, admin: Person, sql: Sql) -> None:
    ann, bob = await social.sign_up("ann"), await social.sign_up("bob")
    playlist_id = await playlist_of(sql, ann)
    reporter, desk = Desk(social, bob), Desk(social, admin)
    filed = await reporter.report("PLAYLIST", playlist_id, "OTHER", "it is mine")
    again = await reporter.report("PLAYLIST", playlist_id, "HATE")
    assert (again.report_id, again.reason) == (filed.report_id, pb.REPORT_REASON_OTHER)
    assert (filed.state, filed.decided_by, filed.subject_owner_id, filed.subject_text) == (1, "", "", "")
    [seen] = (await desk.reports("OPEN")).reports
    assert (seen.subject_owner_id, seen.subject_text, seen.text) == (ann.user_id, "A list", "it is mine")
    decided = await desk.decide(filed.report_id, "HIDE")
    assert (decided.state, decided.decided_by) == (pb.REPORT_STATE_UPHELD, admin.user_id)
    assert (await desk.decide(filed.report_id, "HIDE")).decided_at == decided.decided_at
    before = await whole(sql)
    for action, upheld in (("DELETE", True), ("NONE", True), ("NONE", False)):
        with pytest.raises(Aborted) as other:
            await desk.decide(filed.report_id, action, upheld=upheld)
        assert other.value.reason == "REPORT_DECIDED"
    assert await whole(sql) == before
    row = await sql.fetchrow("SELECT * FROM playlists WHERE playlist_id = $1", playlist_id)
    assert row is not None
    assert (row["visibility"], row["hidden_from"], row["version"]) == ("PRIVATE", "PUBLIC", 2)
    told = await sql.fetch(
        "SELECT user_id::text, kind, actor_id, playlist_id::text, subject_id::text FROM notifications"
    )
    assert {tuple(row) for row in told} == {
        (ann.user_id, "CONTENT_HIDDEN", None, playlist_id, filed.report_id),
        (bob.user_id, "REPORT_DECIDED", None, None, filed.report_id),
    }
    assert [one.action for one in (await desk.log(playlist_id)).entries] == ["hide_playlist"]
    assert [one.action for one in (await desk.log(filed.report_id)).entries] == ["decide_report"]
    assert (await reporter.report("USER", ann.user_id)).report_id != filed.report_id


async def test_decisions_do_what_they_say(social: Client, admin: Person, sql: Sql) -> None:
    ann, bob, eve = [await social.sign_up(name) for name in ("ann", "bob", "eve")]
    reporter, desk = Desk(social, bob), Desk(social, admin)
    playlist_id = await playlist_of(sql, ann)
    hidden, deleted, kept = [await comment_of(sql, eve, playlist_id) for _ in range(3)]
    await sql.execute("INSERT INTO playlist_counts (playlist_id, comments) VALUES ($1, 3)", playlist_id)
    for comment_id, action in ((hidden, "HIDE"), (deleted, "DELETE"), (kept, "NONE")):
        await desk.decide((await reporter.report("COMMENT", comment_id)).report_id, action)
    rows = await sql.fetch("SELECT comment_id::text, text, hidden_at, deleted_at FROM comments ORDER BY comment_id")
    found = {row["comment_id"]: (row["text"], row["hidden_at"] is None, row["deleted_at"] is None) for row in rows}
    assert found == {hidden: ("rude", False, True), deleted: ("", True, False), kept: ("rude", True, True)}

    async def is_counted() -> bool:
        counted = "SELECT comments FROM playlist_counts WHERE playlist_id = $1"
        return bool(await sql.fetchval(counted, playlist_id) == 1)

    await until(is_counted)
    with pytest.raises(NotFound) as gone:
        await reporter.report("COMMENT", hidden)
    assert gone.value.reason == "COMMENT_NOT_FOUND"
    await desk.decide((await reporter.report("PLAYLIST", playlist_id)).report_id, "DELETE")
    assert await sql.fetchval("SELECT count(*) FROM playlists") == 0
    assert await sql.fetchval("SELECT count(*) FROM comments") == 0
    await desk.decide((await reporter.report("USER", eve.user_id)).report_id, "SUSPEND")
    assert await sql.fetchval("SELECT suspended_because FROM users WHERE user_id = $1", eve.user_id) == "seen"
    assert [one.action for one in (await desk.log(eve.user_id)).entries] == ["suspend_user"]
    texts = [one.subject_text for one in (await desk.reports()).reports]
    assert texts == ["", "", "", "", "eve"]


async def test_whose_it_is_reads_that_it_was_hidden_and_admins_look_at_it(
    social: Client, admin: Person, sql: Sql
) -> None:
    ann, bob, eve = [await social.sign_up(name) for name in ("ann", "bob", "eve")]
    reporter, desk = Desk(social, bob), Desk(social, admin)
    playlist_id, private = await playlist_of(sql, ann), await playlist_of(sql, ann, "PRIVATE")
    comment_id = await comment_of(sql, eve, playlist_id)
    reports = [
        (await reporter.report(kind, subject_id)).report_id
        for kind, subject_id in (("COMMENT", comment_id), ("PLAYLIST", playlist_id))
    ]
    for report_id in reports:
        await desk.decide(report_id, "HIDE")

    async def told(who: Person) -> list[tuple[str, str, str, str]]:
        stub: notifications_pb2_grpc.NotificationServiceAsyncStub = social.stub(
            notifications_pb2_grpc.NotificationServiceStub
        )
        request = notifications_pb2.ListNotificationsRequest()
        answer = await stub.ListNotifications(request, timeout=TIMEOUT_S, metadata=who.metadata)
        hidden = notifications_pb2.NOTIFICATION_KIND_CONTENT_HIDDEN
        shown = [one for one in answer.notifications if one.kind == hidden]
        return [(one.playlist_id, one.comment_id, one.actor_id, one.report_id) for one in shown]

    assert await told(ann) == [(playlist_id, "", "", "")]
    assert await told(eve) == [(playlist_id, comment_id, "", "")]
    assert await told(bob) == await told(admin) == []

    async def opened(who: Person, wanted: str) -> tuple[int, int, int]:
        """Return how often it is there: alone, among others, and its comments."""
        alone, said = 0, 0
        with contextlib.suppress(NotFound):
            one = playlists_pb2.GetPlaylistRequest(playlist_id=wanted)
            answer = await social.playlists.GetPlaylist(one, timeout=TIMEOUT_S, metadata=who.metadata)
            alone = int(answer.playlist.playlist_id == wanted)
        with contextlib.suppress(NotFound):
            comments = engagement_pb2.ListCommentsRequest(playlist_id=wanted)
            stub: engagement_pb2_grpc.EngagementServiceAsyncStub = social.stub(
                engagement_pb2_grpc.EngagementServiceStub
            )
            said = len((await stub.ListComments(comments, timeout=TIMEOUT_S, metadata=who.metadata)).comments)
        editing: editing_pb2_grpc.EditingServiceAsyncStub = social.stub(editing_pb2_grpc.EditingServiceStub)
        many = editing_pb2.BatchGetPlaylistsRequest(playlist_ids=[wanted])
        found = await editing.BatchGetPlaylists(many, timeout=TIMEOUT_S, metadata=who.metadata)
        return alone, len(found.playlists), said

    assert await opened(admin, playlist_id) == (1, 1, 1)
    assert await opened(ann, playlist_id) == (1, 1, 0)
    assert await opened(bob, playlist_id) == await opened(eve, playlist_id) == (0, 0, 0)
    assert await opened(admin, private) == (0, 0, 0)
    await desk.show("PLAYLIST", playlist_id)
    await sql.execute("UPDATE playlists SET visibility = 'PRIVATE' WHERE playlist_id = $1", playlist_id)
    assert await opened(admin, playlist_id) == (0, 0, 0)


async def test_what_was_hidden_is_shown_again_as_it_was(social: Client, admin: Person, sql: Sql) -> None:
    ann, bob, eve = [await social.sign_up(name) for name in ("ann", "bob", "eve")]
    reporter, desk = Desk(social, bob), Desk(social, admin)
    public, unlisted = await playlist_of(sql, ann), await playlist_of(sql, ann, "UNLISTED")
    comment_id = await comment_of(sql, eve, public)
    await sql.execute("INSERT INTO playlist_counts (playlist_id, comments) VALUES ($1, 1)", public)
    told = (
        "SELECT array_agg(notification_id) FROM notifications "
        "WHERE kind NOT IN ('REPORT_DECIDED', 'BADGE', 'CONTENT_HIDDEN')"
    )
    place = "SELECT visibility, listed_at FROM playlists WHERE playlist_id = ANY ($1::uuid[]) ORDER BY playlist_id"
    before, was_told = await sql.fetch(place, [public, unlisted]), await sql.fetchval(told)
    acts = await sql.fetch("SELECT * FROM activities ORDER BY activity_id")
    things = (("COMMENT", comment_id), ("PLAYLIST", public), ("PLAYLIST", unlisted))
    for kind, subject_id in things:
        await desk.decide((await reporter.report(kind, subject_id)).report_id, "HIDE")
    assert {row["visibility"] for row in await sql.fetch(place, [public, unlisted])} == {"PRIVATE"}
    for _ in range(2):  # what is not hidden stays as it is
        for kind, subject_id in things:
            await desk.show(kind, subject_id)
    assert await sql.fetch(place, [public, unlisted]) == before
    versions = "SELECT version FROM playlists WHERE playlist_id = ANY ($1::uuid[])"
    assert [row["version"] for row in await sql.fetch(versions, [public, unlisted])] == [3, 3]
    assert await sql.fetch("SELECT * FROM activities ORDER BY activity_id") == acts
    assert await sql.fetchval(told) == was_told
    assert await sql.fetchval("SELECT hidden_at FROM comments") is None
    for kind, subject_id in things:
        newest, oldest = (await desk.log(subject_id)).entries
        assert (newest.action, oldest.action) == (f"show_{kind.lower()}", f"hide_{kind.lower()}")
        assert (newest.because, newest.actor_id) == ("looked again", admin.user_id)
        assert (await reporter.report(kind, subject_id)).state == pb.REPORT_STATE_OPEN

    async def is_counted() -> bool:
        counted = await sql.fetchval("SELECT comments FROM playlist_counts WHERE playlist_id = $1", public)
        of_ann = await sql.fetchval("SELECT public_playlists FROM person_counts WHERE user_id = $1", ann.user_id)
        return (counted, of_ann) == (1, 1) and await sql.fetchval("SELECT count(*) FROM signals") == 0

    await until(is_counted)


async def test_only_what_can_be_hidden_is_shown_again(social: Client, admin: Person, sql: Sql) -> None:
    ann, desk = await social.sign_up("ann"), Desk(social, admin)
    playlist_id = await playlist_of(sql, ann)
    gone = await comment_of(sql, ann, playlist_id)
    await sql.execute("UPDATE comments SET hidden_at = now(), deleted_at = now(), text = ''")
    before = await whole(sql)
    for kind, subject_id in (("PLAYLIST", new_id()), ("PLAYLIST", "none"), ("COMMENT", gone)):
        with pytest.raises(NotFound) as missing:
            await desk.show(kind, subject_id)
        assert missing.value.reason == f"{kind}_NOT_FOUND"
    for kind, because, field in (("USER", "x", "subject_kind"), ("PLAYLIST", "", "because")):
        with pytest.raises(InvalidArgument) as wrong:
            await desk.show(kind, playlist_id, because)
        assert wrong.value.field == field
    assert await whole(sql) == before


async def test_playlist_that_moderation_deletes_is_taken_back_from_all_counts(
    social: Client, admin: Person, sql: Sql
) -> None:
    ann, bob = await social.sign_up("ann"), await social.sign_up("bob")
    playlist_id = await playlist_of(sql, ann)
    await sql.execute("INSERT INTO likes VALUES ($1, $2, $3)", bob.user_id, playlist_id, NOW)
    await sql.execute("INSERT INTO saves VALUES ($1, $2, uuidv7(), $3)", bob.user_id, playlist_id, NOW)
    await comment_of(sql, bob, playlist_id)
    await until(lambda: sql.fetchval("SELECT count(*) = 0 FROM signals"))
    columns = "likes_given, likes_received, saves_received, comments"
    for person, amounts in ((ann, "0, 1, 1, 0"), (bob, "1, 0, 0, 1")):
        await sql.execute(
            f"INSERT INTO person_counts (user_id, {columns}) VALUES ($1, {amounts}) ON CONFLICT (user_id) DO UPDATE"
            f" SET ({columns}) = ROW ({amounts})", person.user_id,
        )  # fmt: skip
    report_id = (await Desk(social, bob).report("PLAYLIST", playlist_id)).report_id
    await Desk(social, admin).decide(report_id, "DELETE")

    async def is_taken_back() -> bool:
        rows = await sql.fetch(f"SELECT {columns} FROM person_counts")
        return all(tuple(row) == (0, 0, 0, 0) for row in rows)

    await until(is_taken_back)


async def test_decision_is_refused_where_it_makes_no_sense(social: Client, admin: Person, sql: Sql) -> None:
    ann, desk = await social.sign_up("ann"), Desk(social, admin)
    of_person = (await desk.report("USER", ann.user_id)).report_id
    of_admin = (await Desk(social, ann).report("USER", admin.user_id)).report_id
    before = await whole(sql)
    for action, upheld in (("HIDE", True), ("DELETE", True), ("SUSPEND", False)):
        with pytest.raises(InvalidArgument) as wrong:
            await desk.decide(of_person, action, upheld=upheld)
        assert (wrong.value.reason, wrong.value.field) == ("MALFORMED", "action")
    with pytest.raises(FailedPrecondition) as own:
        await desk.decide(of_admin, "SUSPEND")
    assert own.value.reason == "OWN_ACCOUNT"
    for report_id in (new_id(), "none"):
        with pytest.raises(NotFound) as gone:
            await desk.decide(report_id)
        assert gone.value.reason == "REPORT_NOT_FOUND"
    assert await whole(sql) == before


async def test_of_two_decisions_at_once_one_holds(social: Client, admin: Person, sql: Sql) -> None:
    ann, bob = await social.sign_up("ann"), await social.sign_up("bob")
    report_id = (await Desk(social, bob).report("PLAYLIST", await playlist_of(sql, ann))).report_id
    desk = Desk(social, admin)

    async def attempt(action: str) -> str:
        try:
            await desk.decide(report_id, action)
        except Aborted as error:
            return error.reason
        return "done"

    outcomes = await asyncio.gather(*(attempt(action) for action in ("HIDE", "DELETE", "SUSPEND", "NONE")))
    assert sorted(outcomes) == ["REPORT_DECIDED"] * 3 + ["done"]
    assert await sql.fetchval("SELECT count(*) FROM audit_log WHERE action = 'decide_report'") == 1


async def test_people_report_what_they_see_and_not_their_own(social: Client, admin: Person, sql: Sql) -> None:
    ann, bob = await social.sign_up("ann"), await social.sign_up("bob")
    private, public = await playlist_of(sql, ann, "PRIVATE"), await playlist_of(sql, ann)
    own_comment = await comment_of(sql, bob, public)
    desk, before = Desk(social, bob), await whole(sql)
    for kind, subject_id in (("PLAYLIST", private), ("PLAYLIST", new_id()), ("COMMENT", new_id()), ("USER", "ann")):
        with pytest.raises(NotFound) as gone:
            await desk.report(kind, subject_id)
        assert gone.value.reason == f"{kind}_NOT_FOUND"
    for kind, subject_id in (("USER", bob.user_id), ("COMMENT", own_comment)):
        with pytest.raises(FailedPrecondition) as own:
            await desk.report(kind, subject_id)
        assert own.value.reason == "OWN_CONTENT"
    for kind, reason, text, field in (
        ("ROOT", "SPAM", "", "subject_kind"),
        ("UNSPECIFIED", "SPAM", "", "subject_kind"),
        ("USER", "UNSPECIFIED", "", "reason"),
        ("USER", "OTHER", " ", "text"),
        ("USER", "SPAM", "x" * 1001, "text"),
    ):
        with pytest.raises(InvalidArgument) as wrong:
            await desk.report(kind, ann.user_id, reason, text)
        assert wrong.value.field == field
    assert await whole(sql) == before


async def test_reports_of_a_day_are_bounded(mesh: Mesh, sql: Sql) -> None:
    mesh.settings = mesh.settings.model_copy(update={"reports_per_user_and_day": 2})
    social = await mesh.start()
    people = [await social.sign_up() for _ in range(4)]
    desk = Desk(social, people[0])
    await desk.report("USER", people[1].user_id)
    await desk.report("USER", people[2].user_id)
    with pytest.raises(ResourceExhausted) as full:
        await desk.report("USER", people[3].user_id)
    assert (full.value.reason, full.value.limit) == ("REPORT_QUOTA_REACHED", "2")
    assert (await desk.report("USER", people[2].user_id)).subject_id == people[2].user_id
    await sql.execute("UPDATE reports SET created_at = created_at - interval '1 day'")
    assert (await desk.report("USER", people[3].user_id)).subject_id == people[3].user_id


async def test_lists_go_on_where_they_stopped(social: Client, admin: Person) -> None:
    people = [await social.sign_up(name) for name in ("mara", "marc", "Marius", "zoe")]
    desk = Desk(social, admin)
    for person in people:
        await desk.report("USER", person.user_id)
        await desk.suspend(person.user_id)
    first = await desk.reports("OPEN", 3)
    rest = await desk.reports("OPEN", 3, first.next_page_token)
    assert [one.subject_id for one in (*first.reports, *rest.reports)] == [one.user_id for one in people]
    assert rest.next_page_token == ""
    newest = await desk.log(size=3)
    oldest = await desk.log(size=3, token=newest.next_page_token)
    found = [one.subject_id for one in (*newest.entries, *oldest.entries)]
    assert found == [one.user_id for one in reversed(people)]
    page = await desk.search("MAR", 2)
    more = await desk.search("MAR", 2, page.next_page_token)
    assert [one.user.username for one in (*page.accounts, *more.accounts)] == ["mara", "marc", "Marius"]
    assert [one.user.username for one in (await desk.search("zoe@exam")).accounts] == ["zoe"]
    assert len((await desk.search("")).accounts) == 5
    for query in ("%", "_oe", "\\"):
        assert list((await desk.search(query)).accounts) == []
    with pytest.raises(InvalidArgument):
        await desk.reports("UPHELD", 3, first.next_page_token)


async def test_audit_log_goes_with_what_it_tells_of(database: Database, sql: Sql) -> None:
    ann, bob = UserId(await sign_up(sql)), UserId(await sign_up(sql))

    async def fail_after_suspending() -> None:
        async with database.transaction() as connection:
            await custody.suspend(connection, Order(ann, bob, "spam", NOW))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_after_suspending()
    assert await sql.fetchval("SELECT count(*) FROM audit_log") == 0
    async with database.transaction() as connection:
        await custody.suspend(connection, Order(ann, bob, "spam", NOW))
    with pytest.raises(asyncpg.RestrictViolationError):
        await sql.execute("UPDATE audit_log SET because = ''")


async def test_suspension_is_told(database: Database, sql: Sql) -> None:
    ann, bob = UserId(await sign_up(sql)), UserId(await sign_up(sql))
    session_id = await begin_session(sql, bob)
    async with database.transaction() as connection:
        await custody.suspend(connection, Order(ann, bob, "spam", NOW))
    async with database.transaction() as connection:
        await custody.reinstate(connection, Order(ann, bob, "sorry", NOW))
    async with database.transaction() as connection:
        await custody.set_role(connection, Order(ann, bob, "help", NOW), Role.ADMIN)
    told = await sql.fetch("SELECT key, subject FROM outbox ORDER BY id")
    assert [(row["key"], row["subject"].rpartition(".")[2]) for row in told] == [
        (session_id, "session_revoked"),
        (bob, "user_suspended"),
        (bob, "user_reinstated"),
        (bob, "user_changed"),
    ]


async def test_registered_root_is_noted_once(social: Client, admin: Person) -> None:
    root_id = await social.register_root(admin)
    assert await social.register_root(admin) == root_id
    [entry] = (await Desk(social, admin).log()).entries
    assert (entry.action, entry.subject_kind, entry.subject_id) == ("register_root", pb.SUBJECT_KIND_ROOT, root_id)
    assert json.loads(entry.detail) == {"location": "/music"}


# What admins write in bulk is in the rows themselves; all else is in the audit log under these names.
AUDITED = {
    "CatalogService/RegisterRoot": "register_root",
    "EncoderService/SwitchEncoder": "switch_encoder",
    "EncoderService/RollBackEncoder": "roll_back_encoder",
    "WorkService/ReplayDeadLetters": "replay_dead_letter",
    "PlaylistJobService/ReplayJobs": "replay_job",
    "ModerationService/DecideReport": "decide_report",
    "ModerationService/ShowContent": "show_playlist, show_comment",
    "ModerationService/SuspendUser": "suspend_user",
    "ModerationService/ReinstateUser": "reinstate_user",
    "ModerationService/SetRole": "set_role",
}
IN_BULK = {"CatalogService/RegisterTracks", "IngestService/MarkMissing", "IngestService/ImportEmbeddings"}


def test_each_write_of_admins_is_in_the_log_or_in_bulk() -> None:
    writes = {
        rpc.rpartition("museed.social.v1.")[2]
        for rpc, access in ACCESS.items()
        if access is Access.ADMIN and not rpc.rpartition("/")[2].startswith(("Get", "List", "Search", "Export"))
    }
    assert writes == set(AUDITED) | IN_BULK
