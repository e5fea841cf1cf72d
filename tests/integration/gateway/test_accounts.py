"""Accounts over HTTP: sessions, credentials, API tokens; what goes upstream and what comes back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from museed.social.v1 import accounts_pb2, api_tokens_pb2, sessions_pb2
from services.chassis.errors import InvalidArgument
from tests.fakes.answers import NOW
from tests.fakes.upstreams import new_id, timestamp
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

ERROR = "... on UserError { code message field value limit retryAfterMs }"
THEN = "2026-01-02T03:04:05+00:00"


def mutation(name: str, input_type: str, success: str) -> str:
    head = (
        f"mutation($input: {input_type}!) {{ result: {name}(input: $input)"
        if input_type
        else (f"mutation {{ result: {name}")
    )
    return f"{head} {{ __typename {success} {ERROR} }} }}"


async def run(gateway: Gateway, document: str, input: dict[str, Any] | None = None, **claims: Any) -> dict[str, Any]:
    data = await gateway.data(document, {"input": input} if input is not None else {}, gateway.bearer(**claims))
    result: dict[str, Any] = data["result"]
    return result


def a_viewer(**more: Any) -> accounts_pb2.Viewer:
    user = accounts_pb2.User(user_id=new_id(), username="mina", nickname="Mina", created_at=timestamp())
    return accounts_pb2.Viewer(user=user, email="mina@example.org", role="user", **more)


VIEWER = "viewer { user { nickname } email role emailVerifiedAt locale isListed }"


async def test_viewer_tells_all_of_the_own_account(gateway: Gateway) -> None:
    gateway.social.answers["UpdateProfile"] = sessions_pb2.UpdateProfileResponse(
        viewer=a_viewer(email_verified_at=timestamp(), locale="ko", is_listed=True)
    )
    document = mutation("updateProfile", "UpdateProfileInput", f"... on UpdateProfileSuccess {{ {VIEWER} }}")
    wanted = {"nickname": "Mina", "locale": "ko", "isListed": False}
    assert await run(gateway, document, wanted) == {
        "__typename": "UpdateProfileSuccess",
        "viewer": {
            "user": {"nickname": "Mina"},
            "email": "mina@example.org",
            "role": "USER",
            "emailVerifiedAt": THEN,
            "locale": "ko",
            "isListed": True,
        },
    }
    assert gateway.social.requests["UpdateProfile"] == sessions_pb2.UpdateProfileRequest(
        nickname="Mina", locale="ko", is_listed=False
    )
    # What is left out, and what is null, stays as it is.
    await run(gateway, document, {"nickname": None})
    assert gateway.social.requests["UpdateProfile"] == sessions_pb2.UpdateProfileRequest()
    me = await gateway.data("{ me { emailVerifiedAt isListed } }", headers=gateway.bearer())
    assert me == {"me": {"emailVerifiedAt": None, "isListed": False}}


async def test_role_of_a_newer_social_gives_no_right(gateway: Gateway) -> None:
    assert await gateway.data("{ me { role } }", headers=gateway.bearer(role="moderator")) == {"me": {"role": "USER"}}


async def test_sessions_are_listed_page_by_page_with_where_they_came_from(gateway: Gateway) -> None:
    first, second = new_id(), new_id()
    gateway.social.answers["ListSessions"] = sessions_pb2.ListSessionsResponse(
        sessions=[
            sessions_pb2.Session(
                session_id=first,
                kind=sessions_pb2.SESSION_KIND_LOGIN,
                user_agent="radio/1.0",
                client="192.0.2.0/24",
                created_at=timestamp(),
                seen_at=timestamp(),
                is_current=True,
            ),
            sessions_pb2.Session(session_id=second, kind=sessions_pb2.SESSION_KIND_API, created_at=timestamp()),
        ],
        next_page_token="more",
    )
    document = """query($after: String) { mySessions(first: 2, after: $after) { pageInfo { hasNextPage endCursor }
      nodes { sessionId kind userAgent network createdAt seenAt isCurrent } } }"""
    page = (await gateway.data(document, headers=gateway.bearer()))["mySessions"]
    assert page["nodes"] == [
        {
            "sessionId": first,
            "kind": "LOGIN",
            "userAgent": "radio/1.0",
            "network": "192.0.2.0/24",
            "createdAt": THEN,
            "seenAt": THEN,
            "isCurrent": True,
        },
        {
            "sessionId": second,
            "kind": "API",
            "userAgent": "",
            "network": "",
            "createdAt": THEN,
            "seenAt": None,
            "isCurrent": False,
        },
    ]
    await gateway.data(document, {"after": page["pageInfo"]["endCursor"]}, gateway.bearer())
    assert gateway.social.requests["ListSessions"] == sessions_pb2.ListSessionsRequest(page_size=2, page_token="more")
    assert gateway.behind.spent() == {"ListSessions": 2}


async def test_sessions_are_ended_one_or_all_others(gateway: Gateway) -> None:
    session_id = new_id()
    document = mutation("revokeSession", "RevokeSessionInput", "... on RevokeSessionSuccess { sessionId }")
    assert await run(gateway, document, {"sessionId": session_id.upper()}) == {
        "__typename": "RevokeSessionSuccess",
        "sessionId": session_id,
    }
    assert gateway.social.requests["RevokeSession"].session_id == session_id
    refused = await run(gateway, document, {"sessionId": "nonsense"})
    assert (refused["__typename"], refused["code"], refused["field"]) == (
        "InvalidInputError",
        "ID_INVALID",
        "sessionId",
    )
    gateway.social.answers["RevokeOtherSessions"] = sessions_pb2.RevokeOtherSessionsResponse(revoked_count=3)
    document = mutation("revokeOtherSessions", "", "... on RevokeOtherSessionsSuccess { revokedCount }")
    assert (await run(gateway, document))["revokedCount"] == 3


@pytest.mark.parametrize(
    ("document", "input", "rpc", "sent"),
    [
        (
            mutation(
                "requestPasswordReset", "RequestPasswordResetInput", "... on RequestPasswordResetSuccess { isAccepted }"
            ),
            {"email": "mina@example.org"},
            "RequestPasswordReset",
            sessions_pb2.RequestPasswordResetRequest(email="mina@example.org"),
        ),
        (
            mutation("resetPassword", "ResetPasswordInput", "... on ResetPasswordSuccess { isReset }"),
            {"token": "t-1", "newPassword": "correct horse"},
            "ResetPassword",
            sessions_pb2.ResetPasswordRequest(token="t-1", new_password="correct horse"),
        ),
        (
            mutation("verifyEmail", "VerifyEmailInput", "... on VerifyEmailSuccess { isVerified }"),
            {"token": "t-2"},
            "VerifyEmail",
            sessions_pb2.VerifyEmailRequest(token="t-2"),
        ),
    ],
    ids=["requestPasswordReset", "resetPassword", "verifyEmail"],
)
async def test_links_work_whatever_token_is_in_the_header(
    document: str, input: dict[str, Any], rpc: str, sent: object, gateway: Gateway
) -> None:
    assert (await run(gateway, document, input, exp=1))["__typename"].endswith("Success")
    assert gateway.social.requests[rpc] == sent
    assert gateway.social.seen_tokens[rpc] == ""


async def test_password_and_address_are_changed(gateway: Gateway) -> None:
    tokens = accounts_pb2.TokenPair(
        access_token="a", access_expires_at=timestamp(), refresh_token="r", refresh_expires_at=timestamp()
    )
    gateway.social.answers["ChangePassword"] = sessions_pb2.ChangePasswordResponse(tokens=tokens)
    document = mutation(
        "changePassword", "ChangePasswordInput", "... on ChangePasswordSuccess { tokens { accessToken refreshToken } }"
    )
    result = await run(gateway, document, {"currentPassword": "old", "newPassword": "new password"})
    assert result["tokens"] == {"accessToken": "a", "refreshToken": "r"}
    assert gateway.social.requests["ChangePassword"] == sessions_pb2.ChangePasswordRequest(
        current_password="old", new_password="new password"
    )
    gateway.social.faults["ChangePassword"] = InvalidArgument(
        "this is a common password", reason="PASSWORD_COMMON", field="new_password"
    )
    assert await run(gateway, document, {"currentPassword": "old", "newPassword": "password"}) == {
        "__typename": "InvalidInputError",
        "code": "PASSWORD_COMMON",
        "message": "this is a common password",
        "field": "newPassword",
        "value": None,
        "limit": None,
        "retryAfterMs": None,
    }
    document = mutation("changeEmail", "ChangeEmailInput", "... on ChangeEmailSuccess { email }")
    assert (await run(gateway, document, {"password": "p", "email": "a@example.org"}))["email"] == "a@example.org"
    assert gateway.social.requests["ChangeEmail"] == sessions_pb2.ChangeEmailRequest(
        password="p", email="a@example.org"
    )
    document = mutation("requestEmailVerification", "", "... on RequestEmailVerificationSuccess { isSent }")
    assert (await run(gateway, document))["isSent"] is True


async def test_what_begins_a_session_tells_the_program(gateway: Gateway) -> None:
    headers = {**gateway.bearer(), "User-Agent": "Radio/1.0 (뮤직; 😀)" + "x" * 300}
    document = """mutation {
      signUp(input: {username: "a", email: "b", password: "c"}) { __typename }
      logIn(input: {login: "mina", password: "correct horse"}) { __typename }
      changePassword(input: {currentPassword: "a", newPassword: "b"}) { __typename }
      createApiToken(input: {name: "a", scopes: [READ]}) { __typename }
      logOut { __typename }
    }"""
    raw = {name.encode(): value.encode() for name, value in headers.items()}
    response = await gateway.http.post("/graphql", json={"query": document}, headers=raw)
    assert "errors" not in response.json()
    said = "Radio/1.0 (?; ?)"
    seen = gateway.social.seen_programs
    for rpc in ("SignUp", "LogIn", "ChangePassword", "CreateApiToken"):
        assert seen[rpc].startswith(said), rpc
        assert len(seen[rpc]) <= 200
    assert seen["LogOut"] == ""


async def test_an_api_token_shows_its_secret_once(gateway: Gateway) -> None:
    token = api_tokens_pb2.ApiToken(
        token_id=new_id(),
        name="radio",
        scopes=[api_tokens_pb2.API_SCOPE_READ, api_tokens_pb2.API_SCOPE_WRITE],
        created_at=timestamp(),
        expires_at=timestamp(NOW + timedelta(days=30)),
    )
    gateway.social.answers["CreateApiToken"] = api_tokens_pb2.CreateApiTokenResponse(token=token, secret="s-1")
    document = mutation(
        "createApiToken",
        "CreateApiTokenInput",
        "... on CreateApiTokenSuccess { apiToken { tokenId name scopes createdAt expiresAt usedAt } secret }",
    )
    wanted = {
        "name": "radio",
        "scopes": ["READ", "WRITE"],
        "expiresAt": "2026-02-01T12:04:05+09:00",
        "idempotencyKey": "key-1",
    }
    assert await run(gateway, document, wanted) == {
        "__typename": "CreateApiTokenSuccess",
        "apiToken": {
            "tokenId": token.token_id,
            "name": "radio",
            "scopes": ["READ", "WRITE"],
            "createdAt": THEN,
            "expiresAt": "2026-02-01T03:04:05+00:00",
            "usedAt": None,
        },
        "secret": "s-1",
    }
    assert gateway.social.requests["CreateApiToken"] == api_tokens_pb2.CreateApiTokenRequest(
        idempotency_key="key-1",
        name="radio",
        scopes=token.scopes,
        expires_at=timestamp(datetime(2026, 2, 1, 3, 4, 5, tzinfo=UTC)),
    )
    gateway.social.answers["CreateApiToken"] = api_tokens_pb2.CreateApiTokenResponse(token=token)
    assert (await run(gateway, document, {"name": "radio", "scopes": ["READ"]}))["secret"] is None
    request = gateway.social.requests["CreateApiToken"]
    assert (len(request.idempotency_key), request.HasField("expires_at")) == (36, False)
    refused = await run(gateway, document, {**wanted, "expiresAt": "0001-01-01T00:00:00+09:00"})
    assert (refused["code"], refused["field"]) == ("OUT_OF_RANGE", "expiresAt")


async def test_api_tokens_are_listed_exchanged_and_revoked(gateway: Gateway) -> None:
    document = "{ myApiTokens(first: 3) { nodes { tokenId name usedAt } pageInfo { hasNextPage } } }"
    found = (await gateway.data(document, headers=gateway.bearer()))["myApiTokens"]
    assert [node["name"] for node in found["nodes"]] == ["name 0", "name 1", "name 2"]
    assert found["nodes"][0]["usedAt"] == THEN
    gateway.social.answers["ExchangeApiToken"] = api_tokens_pb2.ExchangeApiTokenResponse(
        access_token="a", access_expires_at=timestamp(), scopes=[api_tokens_pb2.API_SCOPE_READ]
    )
    document = mutation(
        "exchangeApiToken",
        "ExchangeApiTokenInput",
        "... on ExchangeApiTokenSuccess { accessToken accessExpiresAt scopes }",
    )
    # As programs do it: with what they have left in the header.
    assert await run(gateway, document, {"secret": "s-1"}, exp=1) == {
        "__typename": "ExchangeApiTokenSuccess",
        "accessToken": "a",
        "accessExpiresAt": THEN,
        "scopes": ["READ"],
    }
    assert gateway.social.requests["ExchangeApiToken"].secret == "s-1"
    token_id = new_id()
    document = mutation("revokeApiToken", "RevokeApiTokenInput", "... on RevokeApiTokenSuccess { tokenId }")
    assert (await run(gateway, document, {"tokenId": token_id}))["tokenId"] == token_id
    assert gateway.social.requests["RevokeApiToken"].token_id == token_id


async def test_a_program_makes_no_tokens(gateway: Gateway) -> None:
    headers = {"Authorization": f"Bearer {gateway.signer.api_token('read write admin')}"}
    document = mutation("createApiToken", "CreateApiTokenInput", "")
    found = await gateway.data(document, {"input": {"name": "a", "scopes": ["READ"]}}, headers)
    assert (found["result"]["__typename"], found["result"]["code"]) == ("ForbiddenError", "SESSION_REQUIRED")
