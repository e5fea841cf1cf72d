"""Every route for every kind of caller: the table is made from the application, so a new route is in it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from starlette.routing import Route, WebSocketRoute

from museed.social.v1 import badges_pb2, catalog_pb2
from services.chassis import auth
from services.gateway.app import make_app
from services.gateway.context import RequestContext, upload_subject
from services.gateway.exports import export_url
from tests.integration.gateway.access_rows import Need
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.schema_paths import UUID
from tests.integration.gateway.test_access_matrix import CALLERS, DOORS, furnish, refusal, tokens

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Opened by a signed address alone, whoever asks.
SIGNED = "SIGNED"
# Judged field by field: `test_access_matrix`.
ELSEWHERE = "ELSEWHERE"
TUS = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}

# Who is let in, by method and path; `Need.TOKENLESS` does not look at the header at all.
ROWS: dict[str, Need | str] = {
    "GET /": Need.TOKENLESS,
    "GET /healthz": Need.TOKENLESS,
    "GET /readyz": Need.TOKENLESS,
    "GET /.well-known/jwks.json": Need.TOKENLESS,
    "GET /codes.json": Need.TOKENLESS,
    "GET /favicon.ico": Need.TOKENLESS,
    "GET /verify-email": Need.TOKENLESS,
    "GET /reset-password": Need.TOKENLESS,
    "* /graphql": ELSEWHERE,
    "SOCKET /graphql": ELSEWHERE,
    "OPTIONS /uploads": Need.TOKENLESS,
    "POST /uploads": Need.USER_WRITE,
    "HEAD /uploads/{upload_id}": Need.USER_WRITE,
    "PATCH /uploads/{upload_id}": Need.USER_WRITE,
    "DELETE /uploads/{upload_id}": Need.USER_WRITE,
    "POST /uploads/{upload_id}": Need.USER_WRITE,
    "GET /uploads/{upload_id}/stream": Need.USER_READ,
    "GET /tracks/{track_id}/stream": Need.USER_READ,
    "GET /stream/{secret}/{track_id}": Need.TOKENLESS,
    "GET /tracks/{track_id}/cover": Need.TOKENLESS,
    "GET /albums/{album_id}/cover": Need.TOKENLESS,
    "GET /users/{user_id}/avatar.svg": Need.PUBLIC_READ,
    "GET /playlists/{playlist_id}/export.{format}": Need.PUBLIC_READ,
    "POST /playlists/import": Need.USER_WRITE,
    "GET /p/{slug}": Need.TOKENLESS,
    "GET /trends.csv": Need.ADMIN,
    "GET /exports/{export_id}": SIGNED,
}
QUERIES = {"POST /playlists/import": "?format=m3u8", "GET /trends.csv": "?dimension=GENRE"}
HEADERS = {
    "POST /uploads/{upload_id}": {**TUS, "X-HTTP-Method-Override": "PATCH"},
    **{f"{method} /uploads/{{upload_id}}": TUS for method in ("HEAD", "PATCH", "DELETE")},
}
_BAD = {"expired": "TOKEN_EXPIRED", "revoked": "SESSION_REVOKED", "job": "TOKEN_INVALID", "made up": "TOKEN_INVALID"}


def routes(gateway: Gateway) -> Iterator[str]:
    with ThreadPoolExecutor(1) as threads:
        for route in make_app(gateway.parts, gateway.health, threads).routes:
            if isinstance(route, WebSocketRoute):
                yield f"SOCKET {route.path}"
            else:
                assert isinstance(route, Route), route
                # Starlette lets HEAD do what GET does.
                methods = (route.methods or {"*"}) - ({"HEAD"} if "GET" in (route.methods or ()) else set())
                yield from (f"{method} {route.path}" for method in sorted(methods))


async def ask(gateway: Gateway, row: str, headers: dict[str, str], method: str = "", query: str = "") -> httpx.Response:
    named, _, path = row.partition(" ")
    for part in ("upload_id", "track_id", "album_id", "user_id", "playlist_id", "export_id", "slug", "secret"):
        path = path.replace(f"{{{part}}}", UUID)
    path = path.replace("{format}", "m3u8") + (query or QUERIES.get(row, ""))
    content = b"#EXTM3U\n" if named in ("POST", "PATCH") else None
    return await gateway.http.request(
        method or named, path, headers={**HEADERS.get(row, {}), **headers}, content=content
    )


def reason(response: httpx.Response) -> str | None:
    if response.status_code < 400 or "json" not in response.headers.get("content-type", ""):
        return None
    found: dict[str, str] = response.json().get("error", {})  # probes tell their state
    return found.get("reason")


@pytest.fixture
def furnished(gateway: Gateway) -> Gateway:
    furnish(gateway)
    gateway.social.answers["GetAvatar"] = badges_pb2.GetAvatarResponse(svg=b"<svg/>", etag="1")
    return gateway


async def test_every_route_has_a_row_and_every_row_a_route(gateway: Gateway) -> None:
    assert sorted(routes(gateway)) == sorted(ROWS)


@pytest.mark.parametrize("caller", CALLERS)
async def test_routes_let_in_whom_their_rows_say(furnished: Gateway, caller: str) -> None:
    headers = tokens(furnished)[caller]
    wrong: list[str] = []
    for row, need in ROWS.items():
        if not isinstance(need, Need):
            continue
        wanted = refusal(need, caller)
        for method in ("", "HEAD") if row.startswith("GET ") else ("",):
            furnished.behind.spent()
            response = await ask(furnished, row, headers, method)
            calls = furnished.behind.spent()
            is_told = bool(response.content)
            found = reason(response) if is_told else {401: "LOGIN_REQUIRED", 403: wanted}.get(response.status_code)
            if (found if found in DOORS else None) != wanted:
                wrong.append(f"{method or row} of {row} for {caller}: {response.status_code} {found}, not {wanted}")
            # Social decides over what is anybody's; everything else is refused before anybody is asked.
            if wanted and need not in (Need.PUBLIC_READ, Need.ADMIN) and calls:
                wrong.append(f"{row} called {calls} for {caller}, who is not let in")
            if response.status_code >= 500 and row != "GET /readyz":
                wrong.append(f"{row} for {caller}: {response.status_code}")
    assert wrong == [], "\n".join(wrong)


@pytest.mark.parametrize("kind", _BAD)
async def test_routes_that_look_at_tokens_take_no_bad_ones(furnished: Gateway, kind: str) -> None:
    signer = furnished.signer
    furnished.social.revoked.append("session-over")  # the list is read anew meanwhile
    furnished.parts.authenticator.revocations.hear_of("session-over")
    made: dict[str, Callable[[], str]] = {
        "expired": lambda: signer.token(exp=1),
        "revoked": lambda: signer.token(sid="session-over"),
        "job": signer.job_token,
        "made up": lambda: "a.b.c",
    }
    headers = {"Authorization": f"Bearer {made[kind]()}"}
    for row, need in ROWS.items():
        if isinstance(need, Need):
            response = await ask(furnished, row, headers)
            wanted = None if need is Need.TOKENLESS else _BAD[kind]
            found = reason(response) if response.content else {401: wanted}.get(response.status_code)
            assert (found if found in _BAD.values() else None) == wanted, (row, found)


async def test_a_signed_address_opens_what_it_was_made_for_and_no_other_kind_of_thing(gateway: Gateway) -> None:
    upload = catalog_pb2.Upload(upload_id=UUID, digest=b"\x01" * 32, content_type="audio/ogg")
    auth.bind("", auth.Viewer("user-1", "user", auth.TokenKind.ACCESS, session_id="session-1"))
    try:
        context = RequestContext(gateway.parts)
        urls = {
            "GET /tracks/{track_id}/stream": context.stream_url(UUID),
            "GET /uploads/{upload_id}/stream": context.upload_stream_url(upload),
            "GET /exports/{export_id}": export_url(gateway.parts, UUID, b"\x01" * 32),
        }
    finally:
        auth.bind("", None)
    queries: dict[str, Any] = {row: "?" + url.partition("?")[2] for row, url in urls.items()}
    for made_for, query in queries.items():
        for row in urls:
            found = reason(await ask(gateway, row, {}, query=query))
            assert (found == "SIGNATURE_INVALID") == (row != made_for), (made_for, row, found)
    # Guests' addresses open what is everybody's, and nothing that is somebody's.
    guest = "?" + gateway.parts.signer.query(upload_subject(UUID), guest_nonce="x", facts={"digest": "", "type": ""})
    assert reason(await ask(gateway, "GET /uploads/{upload_id}/stream", {}, query=guest)) == "SIGNATURE_INVALID"
    guest = "?" + gateway.parts.signer.query(f"export {UUID}", guest_nonce="x", facts={"digest": "01" * 32})
    assert reason(await ask(gateway, "GET /exports/{export_id}", {}, query=guest)) == "SIGNATURE_INVALID"
