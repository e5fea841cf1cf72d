"""Whom a task is bound to."""

from typing import cast

import pytest

from services.chassis import auth
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
