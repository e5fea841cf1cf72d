"""Says who sends a request, and binds the task to them so that every upstream call carries their token on."""

import jwt

from services.chassis import auth
from services.chassis.auth import TokenKind, Viewer
from services.chassis.errors import Unauthenticated
from services.chassis.tokens import Revocations, TokenVerifier
from services.gateway.clients import Upstream


class Authenticator:
    """Verifies bearer tokens against social's keys and the sessions that ended.

    Args:
        upstream: Where keys and ended sessions come from.
    """

    def __init__(self, upstream: Upstream) -> None:
        self.revocations = Revocations(upstream.fetch_revoked_sessions)
        self._verifier = TokenVerifier(upstream.fetch_jwks, self.revocations)

    async def bind(self, authorization: str | None) -> Viewer | None:
        """Bind this task to the sender of an authorization header, or to nobody.

        Returns:
            The viewer; None for a guest.

        Raises:
            Unauthenticated: TOKEN_INVALID, TOKEN_EXPIRED or SESSION_REVOKED; the task is then bound to nobody.
            Unavailable: Social's keys are not known yet and cannot be had.
        """
        auth.bind("", None)  # also so that keys are fetched as nobody
        if not authorization:
            return None
        token = auth.token_of(authorization)
        viewer = await self._verifier.verify(token)
        if viewer.kind is TokenKind.JOB:
            raise Unauthenticated("this token is for workers", reason="TOKEN_INVALID")
        auth.bind(token, viewer)
        return viewer


def expiry_of(token: str) -> float:
    """Return when a token that was verified ends, in seconds since the epoch."""
    return float(jwt.decode(token, options={"verify_signature": False})["exp"])
