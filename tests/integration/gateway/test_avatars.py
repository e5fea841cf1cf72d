"""Pictures of people over HTTP: cached by what they show, harmless, under the rules of who may see whom."""

import pytest

from museed.social.v1 import badges_pb2
from services.chassis.errors import NotFound
from services.gateway.ids import encode_global_id
from tests.fakes.upstreams import new_id
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>\n'


@pytest.fixture
def path(gateway: Gateway) -> str:
    gateway.social.answers["GetAvatar"] = badges_pb2.GetAvatarResponse(svg=SVG, etag="abc")
    return f"/users/{new_id()}/avatar.svg"


async def test_guest_sees_a_picture_that_anybody_may_keep(gateway: Gateway, path: str) -> None:
    response = await gateway.http.get(path)
    assert (response.status_code, response.content) == (200, SVG)
    assert gateway.social.requests["GetAvatar"].user_id == path.split("/")[2]
    kept = ("content-type", "etag", "cache-control", "vary", "content-security-policy", "x-content-type-options")
    assert [response.headers[name] for name in kept] == [
        "image/svg+xml",
        '"abc"',
        "public, max-age=300",
        "Authorization, Origin",
        "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        "nosniff",
    ]
    head = await gateway.http.head(path)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(SVG)))
    known = await gateway.http.get(path, headers={"If-None-Match": '"abc"'})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", '"abc"')


async def test_social_is_asked_as_the_viewer(gateway: Gateway, path: str) -> None:
    bearer = gateway.bearer()
    response = await gateway.http.get(path, headers=bearer)
    assert response.headers["cache-control"] == "private, max-age=300"
    assert gateway.social.seen_tokens["GetAvatar"] == bearer["Authorization"].removeprefix("Bearer ")
    await gateway.http.get(path)
    assert gateway.social.seen_tokens["GetAvatar"] == ""


async def test_who_is_not_there_has_no_picture(gateway: Gateway, path: str) -> None:
    gateway.social.faults["GetAvatar"] = NotFound("there is no such person", reason="USER_NOT_FOUND", field="user_id")
    response = await gateway.http.get(path)
    assert (response.status_code, response.json()["error"]["reason"]) == (404, "USER_NOT_FOUND")
    assert response.headers["content-type"] == "application/json"
    for name, reason in (("x", "ID_INVALID"), (encode_global_id("Track", new_id()), "ID_OF_ANOTHER_TYPE")):
        wrong = await gateway.http.get(f"/users/{name}/avatar.svg")
        assert (wrong.status_code, wrong.json()["error"]["reason"]) == (400, reason)
    bad = await gateway.http.get(path, headers={"Authorization": "Bearer x"})
    assert bad.status_code == 401
