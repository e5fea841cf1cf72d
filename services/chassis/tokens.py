"""Verifies tokens against social's keys, and knows which sessions ended."""

import asyncio
import contextvars
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jwt

from services.chassis.auth import ALGORITHM, AUDIENCE, ISSUER, TokenKind, Viewer
from services.chassis.errors import DomainError, Unauthenticated, Unavailable
from services.chassis.scopes import Scope, scopes_in

logger = logging.getLogger(__name__)

_LEEWAY_S = 5.0
_MAX_TOKEN_CHARACTERS = 4096
# An unknown key id asks social again, but forged ones must not make us ask without end.
_MIN_KEY_REFRESH_INTERVAL_S = 5.0
# So long after social was asked in vain, whoever needs a key that is not known is refused at once.
_KEYS_AWAY_S = 1.0
# Tokens whose signature need not be checked again, of some hundred bytes each.
_MAX_KNOWN = 4096


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
        self._is_away = False
        self._failed_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._ended

    async def run(self) -> None:
        """Follow social for ever. While it is away the last list stays: nobody can log out without it either."""
        while True:
            await self._read()
            await asyncio.sleep(self.interval_s)

    def hear_of(self, session_id: str) -> None:
        """Count a session as ended that somebody tells of before the next list does."""
        self._ended |= {session_id}

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
            self._is_read, self._is_away = True, False
        except DomainError as error:
            self._failed_at = time.monotonic()
            if not self._is_away:  # told once, however long it lasts
                event = "revocations_stale" if self._is_read else "revocations_wait"
                logger.log(logging.WARNING if self._is_read else logging.INFO, event, extra={"reason": error.reason})
            self._is_away = True
        finally:
            self._reading = None


class _Known(NamedTuple):
    """A token that was verified: whom it stands for, and when it ends in seconds since the epoch."""

    viewer: Viewer
    ends_at: float


class TokenVerifier:
    """Verifies signature, issuer, audience, lifetime and revocation of tokens of every kind.

    What cannot change is verified once for each token and set of keys; its end and that of its session each time.

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
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def verify(self, token: str) -> Viewer:
        """Return whom a token stands for.

        Raises:
            Unauthenticated: TOKEN_INVALID, TOKEN_EXPIRED or SESSION_REVOKED.
            Unavailable: KEYS_UNAVAILABLE: the token's key, or whether its session has ended, is not known, and social
                cannot be asked now.
        """
        known = self._known.get(token)
        if known is None:
            known = await self._read(token)
            self._known[token] = known
            if len(self._known) > _MAX_KNOWN:
                self._known.popitem(last=False)
        elif known.ends_at <= time.time() - _LEEWAY_S:
            del self._known[token]
            raise Unauthenticated("the token has expired, refresh it", reason="TOKEN_EXPIRED")
        found = known.viewer
        if found.session_id and isinstance(self._revoked, Revocations):
            await self._revoked.be_read()
        if found.session_id and found.session_id in self._revoked:
            raise Unauthenticated("the session has ended, log in again", reason="SESSION_REVOKED")
        return found

    async def _read(self, token: str) -> _Known:
        """Verify all but the session."""
        # Ours have some 400. The library looks at each by itself, before anything is verified.
        if len(token) > _MAX_TOKEN_CHARACTERS:
            raise Unauthenticated("the token is not valid", reason="TOKEN_INVALID")
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
            return _Known(_viewer_of(claims), float(claims["exp"]))
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("the token has expired, refresh it", reason="TOKEN_EXPIRED") from error
        except (jwt.PyJWTError, KeyError, ValueError) as error:
            raise Unauthenticated("the token is not valid", reason="TOKEN_INVALID") from error

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
            self._known.clear()
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
