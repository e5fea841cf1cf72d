"""Whom a task is bound to."""

import time
from typing import cast
from unittest.mock import Mock

import jwt
import pytest

from services.chassis import auth, tokens
from services.chassis.errors import Unauthenticated
from services.chassis.scopes import Scope
from services.gateway.auth import Authenticator
from services.gateway.clients import Upstream
from tests.fakes.tokens import TokenSigner


class Keys:
    """All of an upstream that is asked for here."""

    def __init__(self, signer: TokenSigner) -> None:
        self.fetch_jwks = signer.jwks

    async def fetch_revoked_sessions(self) -> list[str]:
        return []


async def test_a_refused_token_leaves_the_task_bound_to_nobody() -> None:
    signer = TokenSigner()
    authenticator = Authenticator(cast(Upstream, Keys(signer)))
    good = signer.token()
    viewer = await authenticator.bind(f"Bearer {good}")
    assert viewer is not None
    assert (viewer.user_id, auth.viewer(), auth.bearer_token()) == ("user-1", viewer, good)
    for bad in (f"Bearer {signer.token(exp=1)}", f"Bearer {signer.job_token()}", "Basic x"):
        await authenticator.bind(f"bearer  {good} ")
        assert auth.viewer() == viewer
        with pytest.raises(Unauthenticated):
            await authenticator.bind(bad)
        assert (auth.viewer(), auth.bearer_token()) == (None, "")


async def test_programs_are_let_in_with_their_scopes() -> None:
    signer = TokenSigner()
    viewer = await Authenticator(cast(Upstream, Keys(signer))).bind(f"Bearer {signer.api_token('read')}")
    assert viewer is not None
    assert (viewer.user_id, viewer.kind, viewer.scopes) == ("user-1", auth.TokenKind.API, frozenset({Scope.READ}))


@pytest.mark.parametrize("header", [None, ""])
async def test_no_token_is_a_guest(header: str | None) -> None:
    auth.bind("left over", None)
    authenticator = Authenticator(cast(Upstream, Keys(TokenSigner())))
    assert await authenticator.bind(header) is None
    assert (auth.viewer(), auth.bearer_token()) == (None, "")


async def test_a_token_is_read_once_and_its_end_and_its_session_are_looked_at_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signer, decode = TokenSigner(), Mock(side_effect=jwt.decode)
    monkeypatch.setattr(jwt, "decode", decode)
    verifier = tokens.TokenVerifier(signer.jwks, ended := tokens.Revocations(_no_sessions))
    now = time.time()
    token, other = signer.token(exp=int(now) + 60), signer.token(sid="session-2")
    first = await verifier.verify(token)
    assert await verifier.verify(token) is first
    assert (await verifier.verify(other)).session_id == "session-2"
    assert decode.call_count == 2
    ended.hear_of("session-2")
    with pytest.raises(Unauthenticated) as revoked:
        await verifier.verify(other)
    monkeypatch.setattr(time, "time", lambda: int(now) + 66.0)
    with pytest.raises(Unauthenticated) as expired:
        await verifier.verify(token)
    assert (revoked.value.reason, expired.value.reason) == ("SESSION_REVOKED", "TOKEN_EXPIRED")


async def test_a_key_that_is_withdrawn_takes_the_tokens_with_it_that_were_read_by_it() -> None:
    keys = {"signer": TokenSigner("key-1")}
    verifier = tokens.TokenVerifier(lambda: keys["signer"].jwks())
    token = keys["signer"].token()
    assert (await verifier.verify(token)).user_id == "user-1"
    keys["signer"] = TokenSigner("key-2")
    verifier._asked_at = float("-inf")
    assert (await verifier.verify(keys["signer"].token())).user_id == "user-1"
    with pytest.raises(Unauthenticated) as refused:
        await verifier.verify(token)
    assert refused.value.reason == "TOKEN_INVALID"


async def test_not_more_tokens_are_remembered_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_MAX_KNOWN", 2)
    signer = TokenSigner()
    verifier = tokens.TokenVerifier(signer.jwks)
    made = [signer.token(sub=f"user-{number}") for number in range(3)]
    for token in made:
        await verifier.verify(token)
    assert list(verifier._known) == made[1:]


async def _no_sessions() -> list[str]:
    return []
