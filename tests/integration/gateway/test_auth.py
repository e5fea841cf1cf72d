"""Tokens at the door: bound and carried on, or refused with a reason."""

import asyncio
import json
import time

import jwt
import pytest

from tests.fakes.tokens import TokenSigner
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

ME = "{ me { email } }"


async def test_the_callers_token_travels_upstream(gateway: Gateway) -> None:
    headers = gateway.bearer()
    await gateway.data(ME, headers=headers)
    assert gateway.social.seen_tokens["GetViewer"] == headers["Authorization"].removeprefix("Bearer ")
    # What is fetched for everybody is fetched as nobody, so that a dead token cannot stand in its way.
    assert gateway.social.seen_tokens["GetJwks"] == ""


@pytest.mark.parametrize(
    ("forwarded", "network"),
    [(None, "127.0.0.0/24"), ("203.0.113.77", "203.0.113.0/24"), ("2001:db8::77", "2001:db8::/64"), ("nonsense", "")],
)
async def test_the_callers_network_travels_upstream(forwarded: str | None, network: str, gateway: Gateway) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded is not None else {}
    # What a caller says of its network itself is not heard.
    await gateway.data(ME, headers={**gateway.bearer(), **headers, "museed-client": "198.51.100.0/24"})
    assert gateway.social.seen_clients["GetViewer"] == network


async def test_programs_get_what_their_scopes_allow(gateway: Gateway) -> None:
    headers = {"Authorization": f"Bearer {gateway.signer.api_token('write')}"}
    refusal = (await gateway.run(ME, headers=headers))["errors"][0]["extensions"]
    assert (refusal["code"], refusal["reason"]) == ("PERMISSION_DENIED", "SCOPE_MISSING")
    headers = {"Authorization": f"Bearer {gateway.signer.api_token('read')}"}
    assert (await gateway.data(ME, headers=headers))["me"] is not None
    response = await gateway.http.post("/uploads", content=b"ID3", headers={**headers, "Content-Type": "audio/mpeg"})
    assert (response.status_code, response.json()["error"]["reason"]) == (403, "SCOPE_MISSING")
    # Refused before a byte of it is taken.
    assert not [path for path in gateway.blobs.rglob("*") if path.is_file()]


def forged_tokens(signer: TokenSigner) -> dict[str, tuple[str, str]]:
    good = signer.token()
    header, payload, signature = good.split(".")
    claims = jwt.decode(good, options={"verify_signature": False})
    return {
        "expired": (signer.token(exp=int(time.time()) - 60), "TOKEN_EXPIRED"),
        "alg none": (jwt.encode(claims, "", algorithm="none", headers={"kid": "key-1"}), "TOKEN_INVALID"),
        "hmac with the public key": (
            jwt.encode(claims, "k" * 32, algorithm="HS256", headers={"kid": "key-1"}),
            "TOKEN_INVALID",
        ),
        "another key": (TokenSigner().token(), "TOKEN_INVALID"),
        "unknown kid": (TokenSigner("key-9").token(), "TOKEN_INVALID"),
        "wrong audience": (signer.token(aud="others"), "TOKEN_INVALID"),
        "wrong issuer": (signer.token(iss="others"), "TOKEN_INVALID"),
        "no expiry": (signer.token(exp=None), "TOKEN_INVALID"),
        "changed payload": (f"{header}.{payload[:-2]}AA.{signature}", "TOKEN_INVALID"),
        "no signature": (f"{header}.{payload}.", "TOKEN_INVALID"),
        "a worker's": (signer.job_token(), "TOKEN_INVALID"),
        "nonsense": ("nonsense", "TOKEN_INVALID"),
    }


async def test_forged_tokens_are_refused_everywhere(gateway: Gateway) -> None:
    for name, (token, reason) in forged_tokens(gateway.signer).items():
        headers = {"Authorization": f"Bearer {token}"}
        body = await gateway.run(ME, headers=headers)
        assert body["data"] is None, name
        assert [error["extensions"] for error in body["errors"]] == [{"code": "UNAUTHENTICATED", "reason": reason}], (
            name
        )
        upload = await gateway.http.post("/uploads", content=b"x", headers=headers)
        stream = await gateway.http.get("/tracks/0190a000-0000-7000-8000-000000000000/stream", headers=headers)
        for response in (upload, stream):
            assert response.status_code == 401, name
            assert response.json()["error"]["reason"] == reason, name
            assert response.headers["www-authenticate"] == "Bearer"
    assert gateway.behind.spent() == {}


@pytest.mark.parametrize("header", ["Basic bWluYTp4", "Bearer", "token"])
async def test_another_scheme_is_refused(gateway: Gateway, header: str) -> None:
    body = await gateway.run(ME, headers={"Authorization": header})
    assert body["errors"][0]["extensions"]["reason"] == "TOKEN_INVALID"


async def test_revoked_session_is_refused_once_it_is_known(gateway: Gateway) -> None:
    headers = gateway.bearer(sid="session-9")
    assert (await gateway.data(ME, headers=headers))["me"] is not None
    gateway.social.revoked.append("session-9")
    following = asyncio.create_task(gateway.parts.authenticator.revocations.run())
    try:
        async with asyncio.timeout(60):
            while "session-9" not in gateway.parts.authenticator.revocations:
                await asyncio.sleep(0.01)
        body = await gateway.run(ME, headers=headers)
    finally:
        following.cancel()
    assert body["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED", "reason": "SESSION_REVOKED"}


@pytest.mark.asyncio(loop_scope="function")
async def test_unknown_keys_are_a_coded_error_and_guests_go_on(own_gateway: Gateway) -> None:
    gateway = own_gateway
    await gateway.behind.social_server.drain(0)
    body = await gateway.run(ME, headers=gateway.bearer())
    assert body["errors"][0]["extensions"] == {
        "code": "UNAVAILABLE",
        "reason": "KEYS_UNAVAILABLE",
        "retryAfterMs": 1000,
    }
    assert await gateway.data(ME) == {"me": None}


async def test_a_dead_token_stands_in_the_way_of_a_mixed_mutation(gateway: Gateway) -> None:
    document = """mutation {
      logIn(input: {login: "mina", password: "correct horse"}) { __typename }
      logOut { __typename }
    }"""
    body = await gateway.run(document, headers=gateway.bearer(exp=1))
    assert (body["data"], body["errors"][0]["extensions"]["reason"]) == (None, "TOKEN_EXPIRED")
    assert "LogIn" not in gateway.behind.spent()


async def test_no_token_is_ever_logged(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    headers = gateway.bearer()
    await gateway.data(ME, headers=headers)
    await gateway.run(ME, headers={"Authorization": "Bearer forged.forged.forged"})
    lines = json.dumps([record.__dict__ for record in caplog.records], default=str)
    assert headers["Authorization"].removeprefix("Bearer ") not in lines
    assert "forged" not in lines
