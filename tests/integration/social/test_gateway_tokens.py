"""What tokens open at the gateway before a real social: forged ones nothing, ended ones nothing any more."""

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.exceptions import ConnectionClosed

from services.chassis import auth
from services.chassis.errors import DomainError
from services.social.domain.ids import JobId, UserId, new_id
from tests.integration.gateway.socket_client import SocketClient, dialled, initialised
from tests.integration.social.conftest import TIMEOUT_S, Client, Mesh, Person, Sql, make_library, until
from tests.integration.social.gateway_process import TOKENS, Door, gateway_before
from tests.integration.social.mailbox import Mailbox, view
from tests.integration.social.test_accounts import let_grace_pass
from tests.integration.social.test_programs import issuer

JWKS = "/.well-known/jwks.json"
UNKNOWN = "0190a000-0000-7000-8000-000000000000"


@pytest.fixture
async def door(mesh: Mesh, social: Client, tmp_path: Path) -> AsyncIterator[Door]:
    async with gateway_before(mesh, tmp_path) as running:
        yield running


def signed(claims: dict[str, Any], key: Any, algorithm: str, **headers: Any) -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers=headers)


def by_hand(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """Write a token that no library would."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


async def forgeries(door: Door, sql: Sql, who: Person) -> dict[str, tuple[str, str]]:
    """Return tokens that must open nothing, each with the reason that is told."""
    made = await issuer(sql)
    ours = made._private_key
    (row,) = (await door.http.get(JWKS)).json()["keys"]
    kid, public = row["kid"], ours.public_key()
    claims = jwt.decode(who.access_token, options={"verify_signature": False})
    header, payload, signature = who.access_token.split(".")
    now, own = int(time.time()), Ed25519PrivateKey.generate()
    own_row = {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": base64.urlsafe_b64encode(own.public_key().public_bytes_raw()).rstrip(b"=").decode(),
    }
    admin = base64.urlsafe_b64encode(json.dumps({**claims, "role": "admin"}).encode()).rstrip(b"=").decode()

    def real(**changes: Any) -> str:
        """Sign as social does, which it would not."""
        changed = {name: value for name, value in (claims | changes).items() if value is not None}
        return signed(changed, ours, "EdDSA", kid=kid)

    invalid = {
        "alg none": signed(claims, "", "none", kid=kid),
        "alg None without a signature": by_hand({"alg": "None", "kid": kid}, claims),
        "no alg": by_hand({"kid": kid}, claims, base64.urlsafe_b64decode(signature + "==")),
        "HS256 with the public key": signed(claims, public.public_bytes_raw(), "HS256", kid=kid),
        "HS256 with the public key in words": by_hand({"alg": "HS256", "kid": kid}, claims, b"x" * 32),
        "HS512 with the key set": signed(claims, json.dumps(row) * 2, "HS512", kid=kid),
        "another key under our kid": signed(claims, own, "EdDSA", kid=kid),
        "wrong kid": signed(claims, ours, "EdDSA", kid="0" * 16),
        "kid of a path": signed(claims, own, "EdDSA", kid="../../../dev/null"),
        "no kid": signed(claims, ours, "EdDSA"),
        "a key of its own in the header": signed(claims, own, "EdDSA", kid=kid, jwk=own_row),
        "an address of keys in the header": signed(claims, own, "EdDSA", kid="x", jku="http://127.0.0.1:1/keys"),
        "a header that must be understood": signed(claims, ours, "EdDSA", kid=kid, crit=["b32"], b32=True),
        "wrong aud": real(aud="others"),
        "no aud": real(aud=None),
        "wrong iss": real(iss="others"),
        "no exp": real(exp=None),
        "no sub": real(sub=None),
        "no role": real(role=None),
        "not yet": real(nbf=now + 3600),
        "a kind of the future": real(kind="root"),
        "a program's without scopes": real(kind="api"),
        "a program's without a session": real(kind="api", scope="read", sid=None),
        "a worker's": made.job_token(UserId(who.user_id), JobId(new_id()), datetime.now(UTC), timedelta(hours=1)),
        "another role under the old signature": f"{header}.{admin}.{signature}",
        "a signature of zeros": f"{header}.{payload}.{'A' * len(signature)}",
        "no signature": f"{header}.{payload}.",
        "a refresh token": who.refresh_token,
        "a word": "nonsense",
        "too many parts": f"{who.access_token}.{signature}",
    }
    return {name: (token, "TOKEN_INVALID") for name, token in invalid.items()} | {
        "expired": (real(exp=now - 60), "TOKEN_EXPIRED")
    }


async def closed_with(client: SocketClient) -> tuple[int, str]:
    """Wait for the end of a socket; what comes before does not matter."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            try:
                await client.receive()
            except ConnectionClosed:
                return client.connection.close_code or 0, client.connection.close_reason or ""


async def test_real_keys_are_published_and_forged_tokens_open_no_door(door: Door, social: Client, sql: Sql) -> None:
    who = await social.sign_up()
    assert await door.reason(who.access_token) is None
    # The keys that are published are those that sign: partners read them with clients of theirs.
    key = await asyncio.to_thread(jwt.PyJWKClient(door.url + JWKS).get_signing_key_from_jwt, who.access_token)
    claims = jwt.decode(who.access_token, key, algorithms=[auth.ALGORITHM], audience=auth.AUDIENCE)
    assert claims["sub"] == who.user_id
    found: dict[str, list[tuple[str, str]]] = {}
    wanted: dict[str, list[tuple[str, str]]] = {}
    for name, (token, reason) in (await forgeries(door, sql, who)).items():
        headers = {"Authorization": f"Bearer {token}"}
        upload = await door.http.post("/uploads", content=b"ID3", headers=headers)
        stream = await door.http.get(f"/tracks/{UNKNOWN}/stream", headers=headers)
        async with dialled(door.url) as client:
            await client.send(type="connection_init", payload={"authorization": headers["Authorization"]})
            code, said = await closed_with(client)
        # Past the gateway: social believes it no more than the gateway does.
        past = replace(who, access_token=token)
        with pytest.raises(DomainError) as refused:
            await view(social, past)
        found[name] = [
            ("graphql", str(await door.reason(token))),
            (f"upload {upload.status_code}", upload.json()["error"]["reason"]),
            (f"stream {stream.status_code}", stream.json()["error"]["reason"]),
            (f"socket {code}", said),
            ("social", refused.value.reason),
        ]
        doors = ("graphql", "upload 401", "stream 401", "socket 4403", "social")
        wanted[name] = [(each, reason) for each in doors]
    # Social knows its workers, and has nothing of this for them.
    wanted["a worker's"][-1] = ("social", "PERMISSION_DENIED")
    assert found == wanted


async def test_a_cookie_that_was_copied_ends_the_session_of_both(door: Door, social: Client, sql: Sql) -> None:
    who = await social.sign_up()
    document = """mutation($input: RefreshInput!) { result: refresh(input: $input) { __typename
      ... on RefreshSuccess { tokens { accessToken } } ... on UserError { code } } }"""
    name = "__Host-museed-refresh"

    async def refresh(token: str) -> tuple[dict[str, Any], str]:
        response = await door.post(document, "", {}, Origin=door.url, Cookie=f"{name}={token}")
        door.http.cookies.clear()
        kept = response.headers["set-cookie"].partition(";")[0].partition("=")
        return response.json()["data"]["result"], kept[2]

    result, second = await refresh(who.refresh_token)
    access = result["tokens"]["accessToken"]
    assert await door.reason(access) is None
    result, third = await refresh(second)
    assert result["__typename"] == "RefreshSuccess"
    # Another tab that was a little late has the same cookie in the end.
    result, kept = await refresh(second)
    assert (result["__typename"], kept) == ("RefreshSuccess", third)
    # The thief's turn, with a token that was traded a while ago.
    await let_grace_pass(sql)
    result, kept = await refresh(second)
    assert (result["code"], kept.strip('"')) == ("REFRESH_TOKEN_REUSED", "")
    result, kept = await refresh(third)
    assert (result["code"], kept.strip('"')) == ("SESSION_REVOKED", "")

    async def is_over() -> bool:
        return await door.reason(access) == "SESSION_REVOKED"

    await until(is_over)


class Ends:
    """Every way in which a session ends."""

    def __init__(self, door: Door, admin: Person, mails: Mailbox, sql: Sql) -> None:
        self.door, self.admin, self.mails, self.sql = door, admin, mails, sql

    async def another(self, who: Person) -> str:
        return (await self.door.log_in(who.username, who.password))["accessToken"]

    async def log_out(self, who: Person) -> None:
        await self.door.do("logOut", token=who.access_token)

    async def revoked_from_another(self, who: Person) -> None:
        session_id = jwt.decode(who.access_token, options={"verify_signature": False})["sid"]
        await self.door.do("revokeSession", {"sessionId": session_id}, await self.another(who))

    async def others_revoked(self, who: Person) -> None:
        found = await self.door.do("revokeOtherSessions", token=await self.another(who), wanted="revokedCount")
        assert found["revokedCount"] == 1

    async def password_changed(self, who: Person) -> None:
        change = {"currentPassword": who.password, "newPassword": "quite another one"}
        found = await self.door.do("changePassword", change, await self.another(who), wanted=TOKENS)
        assert await self.door.reason(found["tokens"]["accessToken"]) is None

    async def password_reset(self, who: Person) -> None:
        await self.door.do("requestPasswordReset", {"email": f"{who.username}@example.org"})
        token = await self.mails.token(f"{who.username}@example.org", "new password")
        await self.door.do("resetPassword", {"token": token, "newPassword": "quite another one"})
        await self.door.log_in(who.username, "quite another one")

    async def refresh_token_reused(self, who: Person) -> None:
        await self.door.do("refresh", {"refreshToken": who.refresh_token})
        await let_grace_pass(self.sql)
        document = "mutation($input: RefreshInput!) { result: refresh(input: $input) { ... on UserError { code } } }"
        assert await self.door.run(document, "", {"refreshToken": who.refresh_token}) == {
            "code": "REFRESH_TOKEN_REUSED"
        }

    async def suspended(self, who: Person) -> None:
        await self.door.do("suspendUser", {"userId": who.user_id, "because": "spam"}, self.admin.access_token)

    async def role_changed(self, who: Person) -> None:
        change = {"userId": who.user_id, "role": "ADMIN", "because": "help"}
        await self.door.do("setRole", change, self.admin.access_token)

    async def deleted(self, who: Person) -> None:
        await self.door.do("deleteAccount", {"password": who.password}, await self.another(who))

    def all(self) -> list[Callable[[Person], Awaitable[None]]]:
        return [
            self.log_out,
            self.revoked_from_another,
            self.others_revoked,
            self.password_changed,
            self.password_reset,
            self.refresh_token_reused,
            self.suspended,
            self.role_changed,
            self.deleted,
        ]


STREAM = "query($input: ID!) { result: track(id: $input) { streamUrl } }"


async def test_every_end_of_a_session_ends_its_tokens_sockets_and_addresses(
    mesh: Mesh, tmp_path: Path, sql: Sql
) -> None:
    mails = Mailbox.of(mesh, tmp_path / "mails")
    social = await mesh.start()
    library = await make_library(mesh, social, 1)
    async with gateway_before(mesh, tmp_path) as door, contextlib.AsyncExitStack() as stack:
        ends = Ends(door, library.admin, mails, sql)
        open_things = []
        for end in ends.all():
            who = await social.sign_up()
            client = await stack.enter_async_context(initialised(door.url, f"Bearer {who.access_token}"))
            url = (await door.run(STREAM, who.access_token, library.track_ids[0]))["streamUrl"]
            # The file itself is not there; that it is looked for says that the address is good.
            assert (await door.http.get(url)).json()["error"]["reason"] == "MEDIA_NOT_FOUND"
            open_things.append((end, who, client, url))
        bystander = await social.sign_up()
        stays = await stack.enter_async_context(initialised(door.url, f"Bearer {bystander.access_token}"))
        for end, who, client, url in open_things:
            await end(who)
            assert await closed_with(client) == (4403, "SESSION_REVOKED"), end.__name__

            async def is_over(who: Person = who, url: str = url) -> bool:
                answer = await door.http.get(url)
                reasons = (await door.reason(who.access_token), answer.json()["error"]["reason"])
                return reasons == ("SESSION_REVOKED", "SESSION_REVOKED")

            await until(is_over)
        await stays.send(type="ping")
        assert await stays.receive() == {"type": "pong"}
        assert await door.reason(bystander.access_token) is None


async def test_a_program_gets_what_its_scopes_allow_until_its_token_is_revoked(door: Door, social: Client) -> None:
    who = await social.sign_up()
    wanted = "secret apiToken { tokenId scopes }"
    made = await door.do("createApiToken", {"name": "radio", "scopes": ["READ"]}, who.access_token, wanted)
    exchange = {"secret": made["secret"]}
    token = (await door.do("exchangeApiToken", exchange, wanted="accessToken"))["accessToken"]
    me = await door.run("{ result: me { user { username } } }", token)
    assert me == {"user": {"username": who.username}}
    for document in (
        'mutation { result: updateProfile(input: {nickname: "x"}) { ... on UserError { code } } }',
        "mutation { result: requestEmailVerification { ... on UserError { code } } }",
    ):
        assert (await door.run(document, token))["code"] in ("SESSION_REQUIRED", "SCOPE_MISSING")
    async with initialised(door.url, f"Bearer {token}") as client:
        await door.do("revokeApiToken", {"tokenId": made["apiToken"]["tokenId"]}, who.access_token)
        assert await closed_with(client) == (4403, "SESSION_REVOKED")
    assert await door.reason(token) == "SESSION_REVOKED"
    document = """mutation($input: ExchangeApiTokenInput!) {
      result: exchangeApiToken(input: $input) { ... on UserError { code } } }"""
    assert await door.run(document, "", exchange) == {"code": "API_TOKEN_REFUSED"}
    assert await door.reason(who.access_token) is None
