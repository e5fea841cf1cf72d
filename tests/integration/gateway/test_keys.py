"""The public keys over HTTP, and the pages that mails link to."""

import asyncio
import json
import re
from base64 import b64encode
from hashlib import sha256

import jwt
import pytest

from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/.well-known/jwks.json"


async def test_partners_verify_our_tokens_with_a_client_of_theirs(gateway: Gateway) -> None:
    answer = await gateway.http.get(PATH)
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert answer.json() == json.loads(await gateway.signer.jwks())
    token = gateway.signer.token(sub="user-7")
    partner = jwt.PyJWKClient(gateway.url + PATH)
    key = await asyncio.to_thread(partner.get_signing_key_from_jwt, token)
    claims = jwt.decode(token, key, algorithms=["EdDSA"], audience="museed")
    assert claims["sub"] == "user-7"
    unchanged = await gateway.http.get(PATH, headers={"If-None-Match": answer.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    head = await gateway.http.head(PATH)
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.asyncio(loop_scope="function")
async def test_social_is_asked_for_its_keys_once(own_gateway: Gateway) -> None:
    gateway = own_gateway
    gateway.social.delays_s["GetJwks"] = 0.2
    # A token that is no good stands in nobody's way, and is not sent on.
    headers = {"Authorization": "Bearer nonsense"}
    answers = await asyncio.gather(*(gateway.http.get(PATH, headers=headers) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert (gateway.social.calls["GetJwks"], gateway.social.seen_tokens["GetJwks"]) == (1, "")
    await gateway.behind.social_server.drain(0)
    assert (await gateway.http.get(PATH)).status_code == 200


@pytest.mark.asyncio(loop_scope="function")
async def test_without_social_and_without_keys_the_answer_is_an_error(own_gateway: Gateway) -> None:
    await own_gateway.behind.social_server.drain(0)
    answer = await own_gateway.http.get(PATH)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "UNAVAILABLE")


async def test_clients_read_what_is_said_of_codes(gateway: Gateway) -> None:
    answer = await gateway.http.get("/codes.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["BAD_CREDENTIALS"]["ko"] == "아이디 또는 비밀번호가 올바르지 않습니다."
    unchanged = await gateway.http.get("/codes.json", headers={"If-None-Match": answer.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    head = await gateway.http.head("/codes.json")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(("path", "field"), [("/verify-email", ""), ("/reset-password", "newPassword")])
async def test_links_of_mails_open_a_page_whose_script_is_pinned(path: str, field: str, gateway: Gateway) -> None:
    answer = await gateway.http.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    (script,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    assert f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in policy
    assert "unsafe" not in policy
    assert re.findall(r'<input name="(\w+)"', answer.text) == ([field] if field else [])
    # What the page sends is a document of this schema.
    (document,) = re.findall(r'data-mutation="([^"]*)"', answer.text)
    found = await gateway.data(document, {"input": {"token": "t-1", **({field: "correct horse"} if field else {})}})
    assert found["result"]["__typename"].endswith("Success")
