"""Tokens of social as the chassis of every other service verifies them."""

import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest

from services.chassis.auth import TokenKind, Viewer
from services.chassis.errors import Unauthenticated
from services.chassis.scopes import Scope
from services.chassis.tokens import TokenVerifier
from services.social.domain.accounts import Role
from services.social.domain.ids import JobId, SessionId, UserId
from services.social.domain.tokens import (
    SigningKey,
    TokenIssuer,
    hash_refresh_token,
    new_refresh_token,
    new_signing_key,
)


def verifier(issuer: TokenIssuer) -> TokenVerifier:
    async def fetch() -> str:
        return issuer.jwks

    return TokenVerifier(fetch, frozenset({"ended"}))


async def test_access_token_names_person_role_and_session() -> None:
    issuer = TokenIssuer([new_signing_key()])
    now = datetime.now(UTC)
    token, expires_at = issuer.access_token(UserId("u"), Role.ADMIN, SessionId("s"), now)
    assert expires_at == now.replace(microsecond=0) + timedelta(minutes=15)
    assert await verifier(issuer).verify(token) == Viewer("u", "admin", TokenKind.ACCESS, session_id="s")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert set(claims) == {"sub", "role", "kind", "sid", "iss", "aud", "iat", "exp"}


async def test_token_for_programs_names_its_scopes_and_is_revoked_by_its_session() -> None:
    issuer = TokenIssuer([new_signing_key()])
    now = datetime.now(UTC)
    scopes = frozenset({Scope.WRITE, Scope.READ})
    token, expires_at = issuer.api_access_token(UserId("u"), Role.USER, SessionId("s"), scopes, now)
    assert expires_at == now.replace(microsecond=0) + timedelta(minutes=15)
    assert await verifier(issuer).verify(token) == Viewer("u", "user", TokenKind.API, session_id="s", scopes=scopes)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["kind"], claims["scope"]) == ("api", "read write")
    ended, _ = issuer.api_access_token(UserId("u"), Role.USER, SessionId("ended"), scopes, now)
    with pytest.raises(Unauthenticated) as refusal:
        await verifier(issuer).verify(ended)
    assert refusal.value.reason == "SESSION_REVOKED"


@pytest.mark.parametrize(
    ("scopes", "role"), [({Scope.ADMIN}, "admin"), ({Scope.READ, Scope.WRITE}, "user"), ((), "user")]
)
async def test_program_of_an_admin_is_one_only_with_the_scope(scopes: set[Scope], role: str) -> None:
    issuer = TokenIssuer([new_signing_key()])
    token, _ = issuer.api_access_token(UserId("u"), Role.ADMIN, SessionId("s"), frozenset(scopes), datetime.now(UTC))
    found = await verifier(issuer).verify(token)
    assert (found.role, found.scopes) == (role, frozenset(scopes))


async def test_job_token_names_owner_and_job_without_their_role() -> None:
    issuer = TokenIssuer([new_signing_key()])
    token = issuer.job_token(UserId("u"), JobId("j"), datetime.now(UTC), timedelta(minutes=1))
    assert await verifier(issuer).verify(token) == Viewer("u", "user", TokenKind.JOB, job_id="j")


async def test_expired_and_revoked_and_foreign_tokens_are_refused() -> None:
    issuer = TokenIssuer([new_signing_key()])
    now = datetime.now(UTC)
    expired, _ = issuer.access_token(UserId("u"), Role.USER, SessionId("s"), now - timedelta(minutes=16))
    ended, _ = issuer.access_token(UserId("u"), Role.USER, SessionId("ended"), now)
    foreign, _ = TokenIssuer([new_signing_key()]).access_token(UserId("u"), Role.USER, SessionId("s"), now)
    reasons = []
    for token in (expired, ended, foreign):
        with pytest.raises(Unauthenticated) as refusal:
            await verifier(issuer).verify(token)
        reasons.append(refusal.value.reason)
    assert reasons == ["TOKEN_EXPIRED", "SESSION_REVOKED", "TOKEN_INVALID"]


async def test_older_key_still_verifies_while_the_newest_signs() -> None:
    old, new = new_signing_key(), new_signing_key()
    token, _ = TokenIssuer([old]).access_token(UserId("u"), Role.USER, SessionId("s"), datetime.now(UTC))
    both = TokenIssuer([new, old])
    assert (await verifier(both).verify(token)).user_id == "u"
    signed, _ = both.access_token(UserId("u"), Role.USER, SessionId("s"), datetime.now(UTC))
    assert jwt.get_unverified_header(signed)["kid"] == new.key_id


def test_key_set_holds_public_halves_only() -> None:
    key = SigningKey("k", bytes(range(32)))
    entry = json.loads(TokenIssuer([key]).jwks)["keys"][0]
    assert entry == {
        "kty": "OKP",
        "crv": "Ed25519",
        "use": "sig",
        "alg": "EdDSA",
        "kid": "k",
        "x": "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg",
    }
    assert "private" not in repr(key)


def test_refresh_tokens_are_long_random_and_kept_as_digest() -> None:
    first, second = new_refresh_token(), new_refresh_token()
    assert first != second
    assert len(first) == 43
    assert hash_refresh_token("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
