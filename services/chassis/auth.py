"""Says who is asking: verifies access tokens against social's keys, and knows which sessions ended."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

import jwt

from services.chassis.errors import DomainError, PermissionDenied, Unauthenticated, Unavailable

logger = logging.getLogger(__name__)

ISSUER = "museed"
AUDIENCE = "museed"
ALGORITHM = "EdDSA"
_LEEWAY_S = 5.0
# An unknown key id asks social again, but forged ones must not make us ask without end.
_MIN_KEY_REFRESH_INTERVAL_S = 5.0


class Access(StrEnum):
    """Who may call an RPC. Every RPC has one; whether this very thing is theirs is decided by its owner, social."""

    PUBLIC = "PUBLIC"
    USER = "USER"
    ADMIN = "ADMIN"
    WORKER = "WORKER"


class TokenKind(StrEnum):
    """What a token stands for: a person's session, or one job of theirs."""

    ACCESS = "access"
    JOB = "job"


@dataclass(frozen=True, slots=True)
class Viewer:
    """A verified caller. `session_id` is empty for job tokens, `job_id` for sessions."""

    user_id: str
    role: str
    kind: TokenKind
    session_id: str = ""
    job_id: str = ""


_viewer: ContextVar[Viewer | None] = ContextVar("viewer", default=None)
_token: ContextVar[str] = ContextVar("token", default="")


def viewer() -> Viewer | None:
    """Return the caller of this request, None for a guest."""
    return _viewer.get()


def require_viewer() -> Viewer:
    """Return the caller of this request.

    Raises:
        Unauthenticated: The caller is a guest.
    """
    found = _viewer.get()
    if found is None:
        raise Unauthenticated("log in first", reason="LOGIN_REQUIRED")
    return found


def bearer_token() -> str:
    """Return the token of this request, to pass on downstream; empty for guests."""
    return _token.get()


def bind(token: str, who: Viewer | None) -> None:
    """Bind this task to a caller; downstream calls of `services.chassis.channel` carry the token on."""
    _token.set(token)
    _viewer.set(who)


def check(access: Access, who: Viewer | None) -> None:
    """Refuse a caller who may not use an RPC of this access.

    Raises:
        Unauthenticated: A guest where somebody is needed.
        PermissionDenied: Somebody else than is needed.
    """
    if access is Access.PUBLIC:
        return
    if who is None:
        raise Unauthenticated("log in first", reason="LOGIN_REQUIRED")
    if access is Access.WORKER:
        allowed = who.kind is TokenKind.JOB
    elif access is Access.ADMIN:
        allowed = who.kind is TokenKind.ACCESS and who.role == "admin"
    else:
        allowed = who.kind is TokenKind.ACCESS
    if not allowed:
        raise PermissionDenied(f"this needs the {access.value.lower()} role", reason="PERMISSION_DENIED")


class Revocations:
    """The sessions that ended while access tokens of theirs may still be alive, re-read from social all the time.

    Args:
        fetch: Returns the ids of the sessions that ended; raises DomainError when social is away.
        interval_s: How often to ask.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Iterable[str]]], interval_s: float = 2.0) -> None:
        self._fetch = fetch
        self._interval_s = interval_s
        self._ended: frozenset[str] = frozenset()

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._ended

    async def run(self) -> None:
        """Follow social for ever. While it is away the last list stays: nobody can log out without it either."""
        while True:
            try:
                self._ended = frozenset(await self._fetch())
            except DomainError as error:
                logger.warning("revocations_stale", extra={"reason": error.reason})
            await asyncio.sleep(self._interval_s)


class TokenVerifier:
    """Verifies signature, issuer, audience, lifetime and revocation of access and job tokens.

    Args:
        fetch_jwks: Returns social's public keys as JSON text; raises DomainError when social is away.
        revoked: Session ids whose tokens are void.
    """

    def __init__(
        self, fetch_jwks: Callable[[], Awaitable[str]], revoked: "Revocations | frozenset[str]" = frozenset()
    ) -> None:
        self._fetch_jwks = fetch_jwks
        self._revoked = revoked
        self._keys: dict[str, jwt.PyJWK] = {}
        self._refreshed_at = float("-inf")
        self._refreshing = asyncio.Lock()

    async def verify(self, token: str) -> Viewer:
        """Return whom a token stands for.

        Raises:
            Unauthenticated: TOKEN_INVALID, TOKEN_EXPIRED or SESSION_REVOKED.
            Unavailable: Social's keys are not known yet and cannot be had.
        """
        try:
            key = await self._key(str(jwt.get_unverified_header(token).get("kid", "")))
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iat", "sub", "iss", "aud"]},
            )
            found = Viewer(
                user_id=str(claims["sub"]),
                role=str(claims["role"]),
                kind=TokenKind(claims["kind"]),
                session_id=str(claims.get("sid", "")),
                job_id=str(claims.get("job", "")),
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("the token has expired, refresh it", reason="TOKEN_EXPIRED") from error
        except (jwt.PyJWTError, KeyError, ValueError) as error:
            raise Unauthenticated("the token is not valid", reason="TOKEN_INVALID") from error
        if found.session_id and found.session_id in self._revoked:
            raise Unauthenticated("the session has ended, log in again", reason="SESSION_REVOKED")
        return found

    async def _key(self, key_id: str) -> jwt.PyJWK:
        if key_id in self._keys:
            return self._keys[key_id]
        async with self._refreshing:
            due = time.monotonic() - self._refreshed_at >= _MIN_KEY_REFRESH_INTERVAL_S
            if key_id not in self._keys and due:
                if self._keys:  # then asking in vain counts too: forged ids must not make us ask again and again
                    self._refreshed_at = time.monotonic()
                try:
                    keys = json.loads(await self._fetch_jwks())["keys"]
                except DomainError as error:
                    raise Unavailable("tokens cannot be verified now", reason="KEYS_UNAVAILABLE") from error
                self._keys = {str(entry["kid"]): jwt.PyJWK.from_dict(entry) for entry in keys}
                self._refreshed_at = time.monotonic()
        if key_id not in self._keys:
            raise jwt.InvalidKeyError("unknown key id")
        return self._keys[key_id]
