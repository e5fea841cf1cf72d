"""Says who is asking, and who may ask for what."""

import logging
import re
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

from services.chassis.errors import PermissionDenied, Unauthenticated
from services.chassis.scopes import Scope, scope_claim, scope_of

logger = logging.getLogger(__name__)

ISSUER = "museed"
AUDIENCE = "museed"
ALGORITHM = "EdDSA"
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
