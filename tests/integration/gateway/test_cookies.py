"""The refresh token in a browser's cookie: set, traded, forgotten, and for nobody else's pages."""

from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.chassis.errors import Unauthenticated
from tests.integration.gateway.conftest import Gateway, serving_gateway
from tests.integration.gateway.socket_client import initialised

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME = "__Host-museed-refresh"
REFUSED = "... on UserError { code field value }"
LOG_IN = f"""mutation($input: LogInInput!) {{ result: logIn(input: $input) {{ __typename
  ... on LogInSuccess {{ tokens {{ accessToken refreshToken }} }} {REFUSED} }} }}"""
SIGN_UP = f"""mutation($input: SignUpInput!) {{ result: signUp(input: $input) {{ __typename
  ... on SignUpSuccess {{ tokens {{ refreshToken }} }} {REFUSED} }} }}"""
REFRESH = f"""mutation($input: RefreshInput!) {{ result: refresh(input: $input) {{ __typename
  ... on RefreshSuccess {{ viewer {{ user {{ username }} }} tokens {{ refreshToken }} }} {REFUSED} }} }}"""
CHANGE_PASSWORD = f"""mutation($input: ChangePasswordInput!) {{ result: changePassword(input: $input) {{ __typename
  ... on ChangePasswordSuccess {{ tokens {{ refreshToken }} }} {REFUSED} }} }}"""
MINA = {"login": "mina", "password": "correct horse"}
IN_COOKIE = {**MINA, "refreshTokenPlace": "COOKIE"}


async def sent(
    gateway: Gateway, document: str, input: dict[str, Any] | None = None, **headers: str
) -> tuple[dict[str, Any], list["Morsel[str]"]]:
    """Send a mutation; returns its result, and the cookies that come with it."""
    variables = {"input": input} if input is not None else {}
    response = await gateway.http.post("/graphql", json={"query": document, "variables": variables}, headers=headers)
    # What a client of ours keeps is for no other test.
    gateway.http.cookies.clear()
    assert response.status_code == 200, response.text
    assert "errors" not in response.json(), response.text
    result: dict[str, Any] = response.json()["data"]["result"]
    return result, cookies_of(response)


def cookies_of(response: httpx.Response) -> list["Morsel[str]"]:
    jar: SimpleCookie = SimpleCookie()
    for line in response.headers.get_list("set-cookie"):
        jar.load(line)
    return list(jar.values())


def shape(cookie: "Morsel[str]") -> dict[str, Any]:
    return {"name": cookie.key, "value": cookie.value} | {name: value for name, value in cookie.items() if value}


async def test_a_page_of_ours_gets_a_cookie_that_no_script_sees(gateway: Gateway) -> None:
    for document, input in (
        (LOG_IN, IN_COOKIE),
        (SIGN_UP, {**IN_COOKIE, "username": "mina2", "email": "mina@example.org"}),
        (CHANGE_PASSWORD, {"currentPassword": "a", "newPassword": "b", "refreshTokenPlace": "COOKIE"}),
    ):
        input = {name: value for name, value in input.items() if document is not SIGN_UP or name != "login"}
        token = {LOG_IN: "refresh-mina", SIGN_UP: "refresh-mina2", CHANGE_PASSWORD: "refresh_token 0"}[document]
        result, cookies = await sent(gateway, document, input, Origin=gateway.url, **gateway.bearer())
        assert result["tokens"]["refreshToken"] == ""
        (cookie,) = cookies
        expires = {CHANGE_PASSWORD: "Fri, 02 Jan 2026 03:04:05 GMT"}.get(document, "Sun, 01 Feb 2026 03:04:05 GMT")
        assert shape(cookie) == {
            "name": NAME,
            "value": token,
            "expires": expires,
            "path": "/",
            "secure": True,
            "httponly": True,
            "samesite": "strict",
        }


async def test_the_body_is_where_it_goes_unless_asked_otherwise(gateway: Gateway) -> None:
    result, cookies = await sent(gateway, LOG_IN, MINA)
    assert (result["tokens"]["refreshToken"], cookies) == ("refresh-mina", [])
    result, cookies = await sent(
        gateway, REFRESH, {"refreshToken": "refresh-mina"}, Origin=gateway.url, Cookie=f"{NAME}=refresh-other"
    )
    assert (result["viewer"]["user"]["username"], result["tokens"]["refreshToken"]) == ("mina", "refresh-mina")
    assert cookies == []


async def test_the_cookie_is_traded_for_the_next_one(gateway: Gateway) -> None:
    result, (cookie,) = await sent(gateway, REFRESH, {}, Origin=gateway.url, Cookie=f"other=1; {NAME}=refresh-mina")
    assert result == {
        "__typename": "RefreshSuccess",
        "viewer": {"user": {"username": "mina"}},
        "tokens": {"refreshToken": ""},
    }
    assert (cookie.key, cookie.value) == (NAME, "refresh-mina")
    assert gateway.social.requests["RefreshSession"].refresh_token == "refresh-mina"


async def test_without_a_cookie_there_is_nothing_to_trade(gateway: Gateway) -> None:
    result, cookies = await sent(gateway, REFRESH, {}, Origin=gateway.url, Cookie="museed-refresh=refresh-mina")
    assert (result["__typename"], result["code"], cookies) == ("UnauthenticatedError", "REFRESH_COOKIE_MISSING", [])
    assert gateway.behind.spent() == {}


async def test_a_cookie_that_is_refused_is_forgotten(gateway: Gateway) -> None:
    gateway.social.faults["RefreshSession"] = Unauthenticated("used before", reason="REFRESH_TOKEN_REUSED")
    result, (cookie,) = await sent(gateway, REFRESH, {}, Origin=gateway.url, Cookie=f"{NAME}=stolen")
    assert (result["code"], cookie.key, cookie.value, cookie["max-age"]) == ("REFRESH_TOKEN_REUSED", NAME, "", "0")
    # A browser obeys only where path and Secure are those of the cookie.
    assert (cookie["path"], cookie["secure"]) == ("/", True)


@pytest.mark.parametrize(
    "document",
    [
        "mutation { result: logOut { __typename } }",
        'mutation { result: revokeSession(input: {sessionId: "0190A000-0000-7000-8000-000000000001"}) { __typename } }',
        'mutation { result: deleteAccount(input: {password: "x"}) { __typename } }',
    ],
    ids=["logOut", "revokeSession", "deleteAccount"],
)
async def test_the_end_of_the_session_takes_the_cookie_along(document: str, gateway: Gateway) -> None:
    who = gateway.bearer(sid="0190a000-0000-7000-8000-000000000001")
    result, (cookie,) = await sent(gateway, document, None, Cookie=f"{NAME}=refresh-mina", **who)
    assert result["__typename"].endswith("Success")
    assert (cookie.key, cookie["max-age"]) == (NAME, "0")
    _, cookies = await sent(gateway, document, None, **who)
    assert cookies == []


async def test_another_session_takes_nothing_along(gateway: Gateway) -> None:
    document = (
        'mutation { result: revokeSession(input: {sessionId: "0190a000-0000-7000-8000-000000000002"}) { __typename } }'
    )
    who = gateway.bearer(sid="0190a000-0000-7000-8000-000000000001")
    result, cookies = await sent(gateway, document, None, Cookie=f"{NAME}=refresh-mina", **who)
    assert (result["__typename"], cookies) == ("RevokeSessionSuccess", [])


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "https://evil.example",
        "null",
        "http://127.0.0.1:1",
        "https://127.0.0.1.evil.example",
        "nonsense",
        "file://",
    ],
)
@pytest.mark.parametrize(
    ("document", "input"),
    [
        (LOG_IN, IN_COOKIE),
        (SIGN_UP, {"username": "eve", "email": "e@example.org", "password": "x", "refreshTokenPlace": "COOKIE"}),
        (REFRESH, {}),
        (CHANGE_PASSWORD, {"currentPassword": "a", "newPassword": "b", "refreshTokenPlace": "COOKIE"}),
    ],
    ids=["logIn", "signUp", "refresh", "changePassword"],
)
async def test_pages_of_others_neither_set_nor_spend_a_cookie(
    document: str, input: dict[str, Any], origin: str | None, gateway: Gateway
) -> None:
    headers = {"Cookie": f"{NAME}=refresh-mina", **({"Origin": origin} if origin is not None else {})}
    result, cookies = await sent(gateway, document, input, **headers, **gateway.bearer())
    assert result == {
        "__typename": "ForbiddenError",
        "code": "ORIGIN_REFUSED",
        "field": "Origin",
        "value": origin or "none",
    }
    assert cookies == []
    assert gateway.behind.spent() == {}


async def test_a_cookie_opens_nothing_but_refresh(gateway: Gateway) -> None:
    headers = {"Cookie": f"{NAME}=refresh-mina", "Origin": gateway.url}
    assert await gateway.data("{ me { email } }", headers=headers) == {"me": None}
    out = (await gateway.data("mutation { logOut { ... on UserError { code } } }", headers=headers))["logOut"]
    assert out == {"code": "LOGIN_REQUIRED"}
    upload = await gateway.http.post("/uploads", content=b"ID3", headers={**headers, "Content-Type": "audio/mpeg"})
    stream = await gateway.http.get("/tracks/0190a000-0000-7000-8000-000000000000/stream", headers=headers)
    for response in (upload, stream):
        assert (response.status_code, response.json()["error"]["reason"]) == (401, "LOGIN_REQUIRED")
    assert "RefreshSession" not in gateway.behind.spent()


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_what_forms_can_send_reaches_no_cookie(kind: str, gateway: Gateway) -> None:
    response = await gateway.http.post(
        "/graphql",
        content=b'{"query": "mutation { refresh(input: {}) { __typename } }"}',
        headers={"Content-Type": kind, "Cookie": f"{NAME}=refresh-mina", "Origin": gateway.url},
    )
    assert response.status_code == 415
    assert "RefreshSession" not in gateway.behind.spent()


async def test_sockets_have_no_cookies(gateway: Gateway) -> None:
    async with initialised(gateway.url, None) as client:
        await client.subscribe("1", LOG_IN, {"input": IN_COOKIE})
        result = (await client.receive())["payload"]["data"]["result"]
        assert (result["__typename"], result["code"]) == ("ConflictError", "COOKIE_NEEDS_HTTP")
    assert "LogIn" not in gateway.behind.spent()


async def test_an_allowed_origin_may_send_cookies_and_read_answers(tmp_path: Path) -> None:
    app = "https://app.example"
    async with serving_gateway(tmp_path, cors_origins=(app,), cookie_same_site="none") as gateway:
        preflight = await gateway.http.options(
            "/graphql",
            headers={
                "Origin": app,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type",
            },
        )
        assert preflight.headers["access-control-allow-credentials"] == "true"
        assert preflight.headers["access-control-allow-origin"] == app
        result, (cookie,) = await sent(gateway, LOG_IN, IN_COOKIE, Origin=app)
        assert (result["__typename"], cookie["samesite"]) == ("LogInSuccess", "none")
        refused, cookies = await sent(gateway, LOG_IN, IN_COOKIE, Origin="https://other.example")
        assert (refused["code"], cookies) == ("ORIGIN_REFUSED", [])
        # A page of plain HTTP could be anybody's who sits on the wire.
        refused, _ = await sent(gateway, LOG_IN, IN_COOKIE, Origin="http://app.example")
        assert refused["code"] == "ORIGIN_REFUSED"


async def test_any_origin_is_no_origin_for_cookies(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path, cors_origins=("*",)) as gateway:
        answer = await gateway.http.post(
            "/graphql", json={"query": "{ me { email } }"}, headers={"Origin": "https://a.example"}
        )
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        refused, _ = await sent(gateway, LOG_IN, IN_COOKIE, Origin="https://a.example")
        assert refused["code"] == "ORIGIN_REFUSED"


async def test_without_tls_the_cookie_has_another_name_and_one_path(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path, cookie_secure=False, cookie_same_site="lax") as gateway:
        _, (cookie,) = await sent(gateway, LOG_IN, IN_COOKIE, Origin=gateway.url)
        assert (cookie.key, cookie["path"], cookie["secure"], cookie["samesite"]) == (
            "museed-refresh",
            "/graphql",
            "",
            "lax",
        )
        result, _ = await sent(gateway, REFRESH, {}, Origin=gateway.url, Cookie="museed-refresh=refresh-mina")
        assert result["__typename"] == "RefreshSuccess"


async def test_answers_of_graphql_are_stored_nowhere(gateway: Gateway) -> None:
    answer = await gateway.http.post("/graphql", json={"query": "{ me { email } }"})
    assert answer.headers["cache-control"] == "no-store"
