"""API tokens: what somebody may ask for, and what is kept of it."""

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.chassis.scopes import Scope
from services.social.domain import fields
from services.social.domain.accounts import Role
from services.social.domain.ids import ApiTokenId
from services.social.errors import Malformed, Missing, OutOfRange
from services.social.errors.sessions import AdminScopeRefused

LONGEST_NAME = 100
MOST_TOKENS = 50
DEFAULT_LIFE, LONGEST_LIFE = timedelta(days=90), timedelta(days=366)

# So that a secret which stands where it should not is known for what it is.
_PREFIX = "museed_"
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A checked wish for a token."""

    name: str
    scopes: frozenset[Scope]
    expires_at: datetime | None

    def digest(self) -> bytes:
        """Return what tells this wish from others under the same idempotency key."""
        ends = None if self.expires_at is None else self.expires_at.isoformat()
        return hashlib.sha256(json.dumps([self.name, sorted(self.scopes), ends]).encode()).digest()


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token without its secret.

    Attributes:
        token_id: The token.
        name: What its owner calls it.
        scopes: What it may do.
        created_at: When it was made.
        expires_at: When it ends.
        used_at: When it was last exchanged; None before the first time.
    """

    token_id: ApiTokenId
    name: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


def check_token(
    name: str, scopes: Sequence[Scope], expires_at: datetime | None, role: Role, now: datetime
) -> TokenRequest:
    """Check what somebody wants of a token.

    Args:
        name: 1 to 100 characters.
        scopes: At least one, each once.
        expires_at: Aware; None takes 90 days.
        role: Of the person.
        now: Aware.

    Raises:
        Missing, Malformed, OutOfRange: With the field.
        AdminScopeRefused: ADMIN for somebody who is none.
    """
    called = fields.line(name, "name", longest=LONGEST_NAME, is_required=True)
    if not scopes:
        raise Missing("scopes")
    if len(set(scopes)) < len(scopes):
        raise Malformed("scopes", " ".join(scopes), "each scope once")
    if Scope.ADMIN in scopes and role is not Role.ADMIN:
        raise AdminScopeRefused
    if expires_at is not None and expires_at <= now:
        raise OutOfRange("expires_at", expires_at.isoformat(), now.isoformat())
    if expires_at is not None and expires_at > now + LONGEST_LIFE:
        raise OutOfRange("expires_at", expires_at.isoformat(), (now + LONGEST_LIFE).isoformat())
    return TokenRequest(called, frozenset(scopes), expires_at)


def new_secret() -> str:
    """Make a secret with 256 random bits."""
    return _PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def hash_secret(secret: str) -> bytes:
    """Return what is kept of a secret: SHA-256, which suffices for 256 random bits."""
    return hashlib.sha256(secret.encode(errors="replace")).digest()
