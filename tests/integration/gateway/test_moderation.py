"""Reports, accounts and the audit log over HTTP: for people who report, and admins who decide."""

from typing import Any

import pytest

from museed.social.v1 import accounts_pb2, engagement_pb2, moderation_pb2
from services.chassis.errors import Aborted
from tests.fakes.upstreams import new_id, timestamp
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

ERROR = "... on UserError { code message field value limit }"
THEN = "2026-01-02T03:04:05+00:00"
REPORT = """report { reportId reporterId reporter { username } subjectKind subjectId reason text state createdAt
  decidedAt
  decidedById decidedBy { username } subjectOwnerId subjectOwner { username } subjectText }"""
ACCOUNT = """account { user { username } email role emailVerifiedAt suspendedAt suspendedBecause deletedAt }"""


async def run(gateway: Gateway, field: str, input_type: str, success: str, input: dict[str, Any]) -> dict[str, Any]:
    document = f"""mutation($input: {input_type}!) {{ result: {field}(input: $input) {{ __typename
      {success} {ERROR} }} }}"""
    data = await gateway.data(document, {"input": input}, gateway.bearer(role="admin"))
    result: dict[str, Any] = data["result"]
    return result


def a_report(**more: Any) -> moderation_pb2.Report:
    fields: dict[str, Any] = {
        "report_id": new_id(),
        "reporter_id": new_id(),
        "subject_kind": moderation_pb2.SUBJECT_KIND_PLAYLIST,
        "subject_id": new_id(),
        "reason": moderation_pb2.REPORT_REASON_SPAM,
        "text": "look",
        "state": moderation_pb2.REPORT_STATE_OPEN,
        "created_at": timestamp(),
    }
    return moderation_pb2.Report(**(fields | more))


async def test_what_somebody_sees_is_reported_by_either_id(gateway: Gateway) -> None:
    report = a_report()
    gateway.social.answers["ReportContent"] = moderation_pb2.ReportContentResponse(report=report)
    success = f"... on ReportContentSuccess {{ {REPORT} }}"
    wanted = {"subjectKind": "PLAYLIST", "subjectId": report.subject_id, "reason": "SPAM", "text": "look"}
    found = await run(gateway, "reportContent", "ReportContentInput", success, wanted)
    assert found["report"] == {
        "reportId": report.report_id,
        "reporterId": report.reporter_id,
        "reporter": None,
        "subjectKind": "PLAYLIST",
        "subjectId": report.subject_id,
        "reason": "SPAM",
        "text": "look",
        "state": "OPEN",
        "createdAt": THEN,
        "decidedAt": None,
        "decidedById": None,
        "decidedBy": None,
        "subjectOwnerId": None,
        "subjectOwner": None,
        "subjectText": None,
    }
    assert gateway.social.requests["ReportContent"] == moderation_pb2.ReportContentRequest(
        subject_kind=moderation_pb2.SUBJECT_KIND_PLAYLIST,
        subject_id=report.subject_id,
        reason=moderation_pb2.REPORT_REASON_SPAM,
        text="look",
    )
    user = gateway.social.add_user("eve")
    global_id = (await gateway.data("{ me { user { id } } }", headers=gateway.bearer(sub=user.user_id)))["me"]["user"]
    about = {"subjectKind": "USER", "subjectId": global_id["id"], "reason": "ABUSE"}
    await run(gateway, "reportContent", "ReportContentInput", success, about)
    assert gateway.social.requests["ReportContent"].subject_id == user.user_id
    refused = await run(gateway, "reportContent", "ReportContentInput", success, {**about, "subjectKind": "COMMENT"})
    assert (refused["code"], refused["field"], refused["limit"]) == ("ID_OF_ANOTHER_TYPE", "subjectId", "Comment")


@pytest.mark.parametrize("count", [3, 30])
async def test_reports_cost_two_calls_however_many_there_are(count: int, gateway: Gateway) -> None:
    people = [gateway.social.add_user(f"person{number}") for number in range(count)]
    gateway.social.answers["ListReports"] = moderation_pb2.ListReportsResponse(
        reports=[
            a_report(
                reporter_id=person.user_id,
                subject_owner_id=people[0].user_id,
                decided_by=people[-1].user_id,
                decided_at=timestamp(),
                subject_text="Title",
                state=moderation_pb2.REPORT_STATE_UPHELD,
            )
            for person in people
        ]
    )
    document = """query($state: ReportState) { reports(state: $state, first: 40) { nodes { state decidedAt subjectText
      reporter { username } subjectOwner { username } decidedBy { username } } } }"""
    data = await gateway.data(document, {"state": "UPHELD"}, gateway.bearer(role="admin"))
    assert data["reports"]["nodes"][1] == {
        "state": "UPHELD",
        "decidedAt": THEN,
        "subjectText": "Title",
        "reporter": {"username": "person1"},
        "subjectOwner": {"username": "person0"},
        "decidedBy": {"username": f"person{count - 1}"},
    }
    assert gateway.social.requests["ListReports"] == moderation_pb2.ListReportsRequest(
        state=moderation_pb2.REPORT_STATE_UPHELD, page_size=40
    )
    assert gateway.behind.spent() == {"ListReports": 1, "BatchGetUsers": 1}


async def test_an_admin_decides(gateway: Gateway) -> None:
    report = a_report(state=moderation_pb2.REPORT_STATE_REJECTED, decided_at=timestamp())
    gateway.social.answers["DecideReport"] = moderation_pb2.DecideReportResponse(report=report)
    success = "... on DecideReportSuccess { report { state } }"
    wanted: dict[str, Any] = {"reportId": report.report_id, "isUpheld": False, "because": "no"}
    found = await run(gateway, "decideReport", "DecideReportInput", success, wanted)
    assert found["report"] == {"state": "REJECTED"}
    assert gateway.social.requests["DecideReport"] == moderation_pb2.DecideReportRequest(
        report_id=report.report_id, action=moderation_pb2.MODERATION_ACTION_NONE, because="no"
    )
    await run(gateway, "decideReport", "DecideReportInput", success, {**wanted, "isUpheld": True, "action": "HIDE"})
    assert gateway.social.requests["DecideReport"].action == moderation_pb2.MODERATION_ACTION_HIDE
    assert gateway.social.requests["DecideReport"].is_upheld is True
    gateway.social.faults["DecideReport"] = Aborted("it is decided", reason="REPORT_DECIDED")
    refused = await run(gateway, "decideReport", "DecideReportInput", success, wanted)
    assert (refused["__typename"], refused["code"]) == ("ConflictError", "REPORT_DECIDED")


async def test_what_was_hidden_is_shown_again(gateway: Gateway) -> None:
    subject_id = new_id()
    wanted = {"subjectKind": "COMMENT", "subjectId": subject_id, "because": "a mistake"}
    success = "... on ShowContentSuccess { subjectKind subjectId }"
    found = await run(gateway, "showContent", "ShowContentInput", success, wanted)
    assert (found["subjectKind"], found["subjectId"]) == ("COMMENT", subject_id)
    assert gateway.social.requests["ShowContent"] == moderation_pb2.ShowContentRequest(
        subject_kind=moderation_pb2.SUBJECT_KIND_COMMENT, subject_id=subject_id, because="a mistake"
    )


async def test_people_are_suspended_reinstated_and_given_roles(gateway: Gateway) -> None:
    user = accounts_pb2.User(user_id=new_id(), username="eve", nickname="Eve", created_at=timestamp())
    suspended = moderation_pb2.Account(
        user=user,
        email="eve@example.org",
        role="user",
        email_verified_at=timestamp(),
        suspended_at=timestamp(),
        suspended_because="spam",
    )
    free = moderation_pb2.Account(user=user, email="eve@example.org", role="admin")
    gateway.social.answers |= {
        "SuspendUser": moderation_pb2.SuspendUserResponse(account=suspended),
        "ReinstateUser": moderation_pb2.ReinstateUserResponse(account=free),
        "SetRole": moderation_pb2.SetRoleResponse(account=free),
    }
    whom = {"userId": user.user_id, "because": "spam"}
    found = await run(gateway, "suspendUser", "SuspendUserInput", f"... on SuspendUserSuccess {{ {ACCOUNT} }}", whom)
    assert found["account"] == {
        "user": {"username": "eve"},
        "email": "eve@example.org",
        "role": "USER",
        "emailVerifiedAt": THEN,
        "suspendedAt": THEN,
        "suspendedBecause": "spam",
        "deletedAt": None,
    }
    assert gateway.social.requests["SuspendUser"] == moderation_pb2.SuspendUserRequest(
        user_id=user.user_id, because="spam"
    )
    found = await run(
        gateway, "reinstateUser", "ReinstateUserInput", f"... on ReinstateUserSuccess {{ {ACCOUNT} }}", whom
    )
    assert (found["account"]["suspendedAt"], found["account"]["suspendedBecause"]) == (None, None)
    assert gateway.social.requests["ReinstateUser"].user_id == user.user_id
    found = await run(
        gateway, "setRole", "SetRoleInput", f"... on SetRoleSuccess {{ {ACCOUNT} }}", {**whom, "role": "ADMIN"}
    )
    assert found["account"]["role"] == "ADMIN"
    assert gateway.social.requests["SetRole"] == moderation_pb2.SetRoleRequest(
        user_id=user.user_id, role="admin", because="spam"
    )


async def test_accounts_are_searched_page_by_page(gateway: Gateway) -> None:
    gateway.social.answers["SearchUsers"] = lambda request: moderation_pb2.SearchUsersResponse(
        accounts=[
            moderation_pb2.Account(
                user=accounts_pb2.User(user_id=new_id(), username=request.query + request.page_token),
                role="user",
                deleted_at=timestamp(),
            )
        ],
        next_page_token="2" if not request.page_token else "",
    )
    document = """query($after: String) { searchAccounts(query: "mi", first: 1, after: $after) {
      nodes { user { username } deletedAt } pageInfo { hasNextPage endCursor } } }"""
    first = (await gateway.data(document, headers=gateway.bearer(role="admin")))["searchAccounts"]
    assert first["nodes"] == [{"user": {"username": "mi"}, "deletedAt": THEN}]
    after = {"after": first["pageInfo"]["endCursor"]}
    second = (await gateway.data(document, after, gateway.bearer(role="admin")))["searchAccounts"]
    assert (second["nodes"][0]["user"], second["pageInfo"]["hasNextPage"]) == ({"username": "mi2"}, False)


async def test_the_audit_log_tells_who_did_what_and_to_whom(gateway: Gateway) -> None:
    admin = gateway.social.add_user("minju")
    entry = moderation_pb2.AuditEntry(
        entry_id=new_id(),
        actor_id=admin.user_id,
        action="switch_encoder",
        subject_kind=moderation_pb2.SUBJECT_KIND_ENCODER,
        subject_id="musicnn-1",
        because="better",
        detail='{"from": "old"}',
        request_id="request-1",
        at=timestamp(),
    )
    bare = moderation_pb2.AuditEntry(entry_id=new_id(), action="tidy", at=timestamp())
    gateway.social.answers["ListAuditLog"] = moderation_pb2.ListAuditLogResponse(entries=[entry, bare])
    document = """query($subject: ID) { auditLog(subjectId: $subject) { nodes { actorId actor { username } action
      subjectKind subjectId because detail requestId at } } }"""
    who = gateway.bearer(role="admin")
    nodes = (await gateway.data(document, headers=who))["auditLog"]["nodes"]
    assert nodes[0] == {
        "actorId": admin.user_id,
        "actor": {"username": "minju"},
        "action": "switch_encoder",
        "subjectKind": "ENCODER",
        "subjectId": "musicnn-1",
        "because": "better",
        "detail": '{"from": "old"}',
        "requestId": "request-1",
        "at": THEN,
    }
    assert [nodes[1][name] for name in ("actorId", "actor", "subjectKind", "subjectId")] == [None] * 4
    assert gateway.social.requests["ListAuditLog"] == moderation_pb2.ListAuditLogRequest(page_size=50)
    global_id = (await gateway.data("{ me { user { id } } }", headers=gateway.bearer(sub=admin.user_id)))["me"]["user"]
    for given, meant in ((global_id["id"], admin.user_id), ("musicnn-1", "musicnn-1"), (admin.user_id,) * 2):
        await gateway.data(document, {"subject": given}, who)
        assert gateway.social.requests["ListAuditLog"].subject_id == meant


async def test_all_of_it_is_for_admins(gateway: Gateway) -> None:
    user_id = new_id()
    document = f"""mutation {{
      suspendUser(input: {{userId: "{user_id}", because: "x"}}) {{ {ERROR} }}
      reinstateUser(input: {{userId: "{user_id}", because: "x"}}) {{ {ERROR} }}
      setRole(input: {{userId: "{user_id}", role: ADMIN, because: "x"}}) {{ {ERROR} }}
      showContent(input: {{subjectKind: COMMENT, subjectId: "{user_id}", because: "x"}}) {{ {ERROR} }}
      decideReport(input: {{reportId: "{user_id}", isUpheld: true, because: "x"}}) {{ {ERROR} }}
    }}"""
    data = await gateway.data(document, headers=gateway.bearer())
    assert {result["code"] for result in data.values()} == {"PERMISSION_DENIED"}
    body = await gateway.run(
        "{ reports { nodes { text } } auditLog { nodes { action } } searchAccounts { nodes { email } } }",
        headers=gateway.bearer(),
    )
    assert body["data"] == {"reports": None, "auditLog": None, "searchAccounts": None}
    assert {error["extensions"]["code"] for error in body["errors"]} == {"PERMISSION_DENIED"}


async def test_what_is_shown_again_comes_along(gateway: Gateway) -> None:
    playlist = gateway.social.add_playlist([])
    success = "... on ShowContentSuccess { playlist { title } comment { text } }"
    wanted = {"subjectKind": "PLAYLIST", "subjectId": playlist.playlist_id, "because": "fine"}
    found = await run(gateway, "showContent", "ShowContentInput", success, wanted)
    assert (found["playlist"], found["comment"]) == ({"title": playlist.title}, None)
    comment = engagement_pb2.Comment(comment_id=new_id(), text="Hm", created_at=timestamp())
    gateway.social.answers["BatchGetComments"] = engagement_pb2.BatchGetCommentsResponse(comments=[comment])
    wanted = {"subjectKind": "COMMENT", "subjectId": comment.comment_id, "because": "fine"}
    found = await run(gateway, "showContent", "ShowContentInput", success, wanted)
    assert (found["playlist"], found["comment"]) == (None, {"text": "Hm"})
