"""Says who is asking: verifies access tokens against social's keys, and knows which sessions ended."""

import asyncio
import contextvars
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import jwt

from services.chassis.errors import DomainError, PermissionDenied, Unauthenticated, Unavailable
from services.chassis.scopes import Scope, scope_claim, scope_of, scopes_in

logger = logging.getLogger(__name__)

ISSUER = "museed"
AUDIENCE = "museed"
ALGORITHM = "EdDSA"
_LEEWAY_S = 5.0
# An unknown key id asks social again, but forged ones must not make us ask without end.
_MIN_KEY_REFRESH_INTERVAL_S = 5.0
# So long after social was asked in vain, whoever needs a key that is not known is refused at once.
_KEYS_AWAY_S = 1.0
_SCHEME = "bearer "
# Metadata in which the gateway says from which network a request came, and what is taken of it.
CLIENT_HEADER = "museed-client"
_CLIENT = re.compile(r"[0-9A-Za-z.:/_-]{1,64}")


class Access(StrEnum):
    """Who may call an RPC. Every RPC has one; whether this very thing is theirs is decided by its owner, social."""

    PUBLIC = "PUBLIC"
    USER = "USER"
    SESSION = "SESSION"  # USER without API tokens: passwords, tokens, and what else decides over an account
    ADMIN = "ADMIN"
    WORKER = "WORKER"


class TokenKind(StrEnum):
    """What a token stands for: a person's session, one job of theirs, or a program to which they gave some rights.

    API is a kind of its own, so that a verifier which knows nothing of scopes refuses it.
    """

    ACCESS = "access"
    JOB = "job"
    API = "api"


@dataclass(frozen=True, slots=True)
class Viewer:
    """A verified caller.

    Attributes:
        user_id: The person.
        role: Whose rights the caller has: "user" for an API token without the scope ADMIN, whoever's it is.
        kind: What the token stands for.
        session_id: Empty for job tokens. API tokens have one, too, by which they are revoked.
        job_id: Empty but for job tokens.
        scopes: What an API token may be used for; empty for others, which have no such bounds.
    """

    user_id: str
    role: str
    kind: TokenKind
    session_id: str = ""
    job_id: str = ""
    scopes: frozenset[Scope] = frozenset()

    @property
    def is_person(self) -> bool:
        """Whether the token is a person's, as a session or as an API token, and not a job's."""
        return self.kind is not TokenKind.JOB


_viewer: ContextVar[Viewer | None] = ContextVar("viewer", default=None)
_token: ContextVar[str] = ContextVar("token", default="")
_client: ContextVar[str] = ContextVar("client", default="")


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


def token_of(authorization: str) -> str:
    """Return the token of an authorization header; the scheme's case does not matter (RFC 7235, section 2.1).

    Raises:
        Unauthenticated: It is of another scheme, with reason TOKEN_INVALID.
    """
    if authorization[: len(_SCHEME)].lower() != _SCHEME:
        raise Unauthenticated("the authorization must be: Bearer TOKEN", reason="TOKEN_INVALID")
    return authorization[len(_SCHEME) :].strip()


def bearer_token() -> str:
    """Return the token of this request, to pass on downstream; empty for guests."""
    return _token.get()


def bind(token: str, who: Viewer | None) -> None:
    """Bind this task to a caller; downstream calls of `services.chassis.channel` carry the token on."""
    _token.set(token)
    _viewer.set(who)


def client() -> str:
    """Return the network of this request as the gateway says it, at most 64 characters to count by; empty if unknown.

    It proves nothing: whoever reaches a service without the gateway may say anything.
    """
    return _client.get()


def bind_client(said: str | None) -> None:
    """Bind this task to the network of a caller, as `client` tells it; what does not look like one counts as empty."""
    _client.set(said if said is not None and _CLIENT.fullmatch(said) else "")


def check(access: Access, who: Viewer | None, rpc: str = "") -> None:
    """Refuse a caller who may not use an RPC of this access.

    An API token needs the scope of the RPC wherever it is shown, also where a guest would be let in.

    Args:
        access: Of the RPC.
        who: The caller, None for a guest.
        rpc: Its name, see `scope_of`; empty for what changes something and is no RPC.

    Raises:
        Unauthenticated: A guest where somebody is needed.
        PermissionDenied: SESSION_REQUIRED or SCOPE_MISSING for API tokens, PERMISSION_DENIED for others than is needed.
    """
    if who is None:
        if access is Access.PUBLIC:
            return
        raise Unauthenticated("log in first", reason="LOGIN_REQUIRED")
    if access is Access.WORKER:
        allowed = who.kind is TokenKind.JOB
    elif access is Access.ADMIN:
        _check_scope(who, Scope.ADMIN)
        allowed = who.is_person and who.role == "admin"
    else:
        if access is Access.SESSION and who.kind is TokenKind.API:
            raise PermissionDenied("this needs a log-in, no API token will do", reason="SESSION_REQUIRED")
        _check_scope(who, scope_of(rpc))
        allowed = who.is_person or access is Access.PUBLIC
    if not allowed:
        role = "user" if access is Access.SESSION else access.value.lower()
        raise PermissionDenied(f"this needs the {role} role", reason="PERMISSION_DENIED")


def _check_scope(who: Viewer, needed: Scope) -> None:
    if who.kind is TokenKind.API and needed not in who.scopes:
        has = scope_claim(who.scopes)
        raise PermissionDenied(
            f"the token's scope is {has}, this needs {needed.value}", reason="SCOPE_MISSING", value=has, limit=needed
        )


class Revocations:
    """The sessions that ended while access tokens of theirs may still be alive, re-read from social all the time.

    Args:
        fetch: Returns the ids of the sessions that ended; raises DomainError when social is away.
        interval_s: How often to ask.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Iterable[str]]], interval_s: float = 2.0) -> None:
        self._fetch = fetch
        self.interval_s = interval_s
        self._ended: frozenset[str] = frozenset()
        self._is_read = False
        self._failed_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._ended

    async def run(self) -> None:
        """Follow social for ever. While it is away the last list stays: nobody can log out without it either."""
        while True:
            await self._read()
            await asyncio.sleep(self.interval_s)

    async def be_read(self) -> None:
        """Wait for the first list, once for all who want it: a process that has just begun believes no session unasked.

        Raises:
            Unavailable: KEYS_UNAVAILABLE: social cannot be asked now.
        """
        if not self._is_read and time.monotonic() - self._failed_at >= _KEYS_AWAY_S:
            if self._reading is None:
                # In a context of its own, as keys are asked for.
                self._reading = asyncio.create_task(self._read(), context=contextvars.Context())
            await asyncio.shield(self._reading)
        if not self._is_read:
            raise _keys_unavailable()

    async def _read(self) -> None:
        try:
            self._ended = frozenset(await self._fetch())
            self._is_read = True
        except DomainError as error:
            self._failed_at = time.monotonic()
            logger.warning("revocations_stale", extra={"reason": error.reason})
        finally:
            self._reading = None


class TokenVerifier:
    """Verifies signature, issuer, audience, lifetime and revocation of tokens of every kind.

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
        self._asked_at = float("-inf")
        self._is_social_away = False
        self._refreshing: asyncio.Task[None] | None = None

    async def verify(self, token: str) -> Viewer:
        """Return whom a token stands for.

        Raises:
            Unauthenticated: TOKEN_INVALID, TOKEN_EXPIRED or SESSION_REVOKED.
            Unavailable: KEYS_UNAVAILABLE: the token's key, or whether its session has ended, is not known, and social
                cannot be asked now.
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
            found = _viewer_of(claims)
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("the token has expired, refresh it", reason="TOKEN_EXPIRED") from error
        except (jwt.PyJWTError, KeyError, ValueError) as error:
            raise Unauthenticated("the token is not valid", reason="TOKEN_INVALID") from error
        if found.session_id and isinstance(self._revoked, Revocations):
            await self._revoked.be_read()
        if found.session_id and found.session_id in self._revoked:
            raise Unauthenticated("the session has ended, log in again", reason="SESSION_REVOKED")
        return found

    async def _key(self, key_id: str) -> jwt.PyJWK:
        if key_id not in self._keys:
            await self._ask()
        if key_id in self._keys:
            return self._keys[key_id]
        if self._is_social_away:
            raise _keys_unavailable()
        raise jwt.InvalidKeyError("unknown key id")

    async def _ask(self) -> None:
        """Ask social for its keys, once for all who want them, and not again soon after."""
        if self._refreshing is None:
            if time.monotonic() - self._asked_at < (
                _KEYS_AWAY_S if self._is_social_away else _MIN_KEY_REFRESH_INTERVAL_S
            ):
                return
            # In a context of its own: a caller who waits for 1 ms must not decide how long all others may.
            self._refreshing = asyncio.create_task(self._refresh(), context=contextvars.Context())
        await asyncio.shield(self._refreshing)

    async def _refresh(self) -> None:
        try:
            keys = json.loads(await self._fetch_jwks())["keys"]
            self._keys = {str(entry["kid"]): jwt.PyJWK.from_dict(entry) for entry in keys}
            self._is_social_away = False
        # All but the first: what it answers is no set of keys.
        except (DomainError, KeyError, TypeError, ValueError, jwt.PyJWTError) as error:
            self._is_social_away = True
            logger.warning("keys_unavailable", extra={"error": repr(error)})
        finally:
            self._asked_at = time.monotonic()
            self._refreshing = None


def _keys_unavailable() -> Unavailable:
    return Unavailable(
        "tokens cannot be verified now", reason="KEYS_UNAVAILABLE", retry_after_ms=int(1000 * _KEYS_AWAY_S)
    )


def _viewer_of(claims: Mapping[str, Any]) -> Viewer:
    """Return whom claims name.

    Raises:
        KeyError: One is missing. API tokens need `sid`: they could not be revoked else.
        ValueError: Of no kind that is known here.
    """
    user_id, role, kind = str(claims["sub"]), str(claims["role"]), TokenKind(claims["kind"])
    if kind is not TokenKind.API:
        return Viewer(user_id, role, kind, session_id=str(claims.get("sid", "")), job_id=str(claims.get("job", "")))
    scopes = scopes_in(str(claims["scope"]))
    role = role if Scope.ADMIN in scopes else "user"
    return Viewer(user_id, role, kind, session_id=str(claims["sid"]), scopes=scopes)
