"""An account's life and a report's way, through the gateway before a real social."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from tests.integration.social.conftest import Mesh, until
from tests.integration.social.gateway_process import TOKENS, Door, gateway_before
from tests.integration.social.mailbox import Mailbox

SIGN_UP = f"""mutation($input: SignUpInput!) {{
  result: signUp(input: $input) {{ ... on SignUpSuccess {{ {TOKENS} }} }} }}"""
ME = "{ result: me { user { userId nickname } email emailVerifiedAt locale isListed role } }"
REPORTS = """query($input: ReportState!) { result: reports(state: $input) { nodes { reportId subjectKind subjectText
  reporter { username } subjectOwner { username } state } } }"""
LOG = "query($input: ID!) { result: auditLog(subjectId: $input) { nodes { action because actor { username } } } }"


async def sign_up(door: Door, name: str) -> str:
    """Make an account and return its access token."""
    account = {"username": name, "email": f"{name}@example.org", "password": f"secret of {name}"}
    token: str = (await door.run(SIGN_UP, "", account))["tokens"]["accessToken"]
    return token


async def test_an_account_is_verified_changed_taken_along_and_deleted(mesh: Mesh, tmp_path: Path) -> None:
    mails = Mailbox.of(mesh, tmp_path / "mails")
    mesh.settings = mesh.settings.model_copy(update={"blob_store_url": f"file://{tmp_path / 'blobs'}"})
    await mesh.start()
    async with gateway_before(mesh, tmp_path) as door:
        await sign_up(door, "admin")
        token = await sign_up(door, "mina")
        credentials = {"login": "mina", "password": "secret of mina"}
        log_in = f"""mutation($input: LogInInput!) {{
          result: logIn(input: $input) {{ ... on LogInSuccess {{ {TOKENS} }} }} }}"""
        await door.run(log_in, "", credentials, **{"User-Agent": "Radio/1.0"})
        sessions = (await door.run("{ result: mySessions { nodes { userAgent network isCurrent kind } } }", token))[
            "nodes"
        ]
        assert [(one["userAgent"].partition("/")[0], one["isCurrent"]) for one in sessions] == [
            ("Radio", False),
            ("python-httpx", True),
        ]
        assert {(one["network"], one["kind"]) for one in sessions} == {("127.0.0.0/24", "LOGIN")}
        first = await mails.token("mina@example.org", "Confirm")
        # As the page behind the mail's link does it: with nobody's token.
        await door.do("verifyEmail", {"token": first})
        again = await door.run(
            "mutation($input: VerifyEmailInput!) { result: verifyEmail(input: $input) { ... on UserError { code } } }",
            "",
            {"token": first},
        )
        assert again == {"code": "MAIL_TOKEN_REFUSED"}
        await door.do("changeEmail", {"password": "secret of mina", "email": "mina@example.com"}, token)
        await door.do("verifyEmail", {"token": await mails.token("mina@example.com", "Confirm")})
        await door.do("updateProfile", {"nickname": "미나", "locale": "ko", "isListed": False}, token)
        me = await door.run(ME, token)
        user_id = me["user"].pop("userId")
        assert me.pop("emailVerifiedAt") is not None
        assert me == {
            "user": {"nickname": "미나"},
            "email": "mina@example.com",
            "locale": "ko",
            "isListed": False,
            "role": "USER",
        }
        asked = await door.do("requestDataExport", {"idempotencyKey": "key-1"}, token, "exportId")
        assert await door.do("requestDataExport", {}, token, "exportId") == asked
        document = "query($input: ID!) { dataExport(id: $input) { sizeBytes downloadUrl } }"
        found: dict[str, Any] = {}

        async def is_written() -> bool:
            body = (await door.post(document, token, asked["exportId"])).json()
            if "errors" in body:
                assert body["errors"][0]["extensions"]["reason"] == "EXPORT_NOT_READY"
                return False
            found.update(body["data"]["dataExport"])
            return True

        await until(is_written)
        answer = await door.http.get(found["downloadUrl"])
        assert len(answer.content) == found["sizeBytes"]
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            account = json.loads(archive.read("account.jsonl"))
        assert (account["user_id"], account["nickname"], account["email"]) == (user_id, "미나", "mina@example.com")
        stranger = await sign_up(door, "eve")
        body = (await door.post(document, stranger, asked["exportId"])).json()
        assert body["errors"][0]["extensions"]["reason"] == "EXPORT_NOT_FOUND"
        await door.do("deleteAccount", {"password": "secret of mina"}, token)

        async def is_over() -> bool:
            return (await door.http.get(found["downloadUrl"])).status_code == 401

        await until(is_over)
        user = "query($input: ID!) { result: user(id: $input) { username } }"
        body = (await door.post(user, stranger, user_id)).json()
        assert body["errors"][0]["extensions"]["reason"] == "USER_NOT_FOUND"


async def test_a_report_is_decided_and_the_person_suspended_and_reinstated(mesh: Mesh, tmp_path: Path) -> None:
    await mesh.start()
    async with gateway_before(mesh, tmp_path) as door:
        admin, mina, eve = [await sign_up(door, name) for name in ("admin", "mina", "eve")]
        eve_id = (await door.run(ME, eve))["user"]["userId"]
        about = {"subjectKind": "USER", "subjectId": eve_id, "reason": "SPAM", "text": "all day"}
        filed = await door.do("reportContent", about, mina, "report { reportId state subjectText }")
        assert (filed["report"]["state"], filed["report"]["subjectText"]) == ("OPEN", None)
        (listed,) = (await door.run(REPORTS, admin, "OPEN"))["nodes"]
        assert listed == {
            "reportId": filed["report"]["reportId"],
            "subjectKind": "USER",
            "subjectText": "eve",
            "reporter": {"username": "mina"},
            "subjectOwner": {"username": "eve"},
            "state": "OPEN",
        }
        decision = {"reportId": listed["reportId"], "isUpheld": True, "action": "SUSPEND", "because": "spam"}
        decided = await door.do("decideReport", decision, admin, "report { state decidedBy { username } }")
        assert decided["report"] == {"state": "UPHELD", "decidedBy": {"username": "admin"}}

        async def is_over() -> bool:
            return await door.reason(eve) == "SESSION_REVOKED"

        await until(is_over)
        log_in = "mutation($input: LogInInput!) { result: logIn(input: $input) { ... on UserError { code value } } }"
        credentials = {"login": "eve", "password": "secret of eve"}
        assert await door.run(log_in, "", credentials) == {"code": "ACCOUNT_SUSPENDED", "value": "spam"}
        account = "account { suspendedBecause user { username } }"
        found = await door.do("reinstateUser", {"userId": eve_id, "because": "a mistake"}, admin, account)
        assert found["account"] == {"suspendedBecause": None, "user": {"username": "eve"}}
        await door.log_in("eve", "secret of eve")
        log = (await door.run(LOG, admin, eve_id))["nodes"]
        assert [(line["action"], line["because"], line["actor"]["username"]) for line in log] == [
            ("reinstate_user", "a mistake", "admin"),
            ("suspend_user", "spam", "admin"),
        ]
        refused = (await door.post(REPORTS, mina, "OPEN")).json()
        assert refused["errors"][0]["extensions"]["code"] == "PERMISSION_DENIED"
