"""Makes tokens: signed ones that every service can verify, and opaque ones that only social can trade."""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.chassis.auth import ALGORITHM, AUDIENCE, ISSUER, TokenKind
from services.chassis.scopes import Scope, scope_claim
from services.social.domain.accounts import Role
from services.social.domain.ids import JobId, SessionId, UserId

ACCESS_LIFE = timedelta(minutes=15)
_REFRESH_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key: the id that tokens name it by, and the private half, 32 bytes, that repr does not show."""

    key_id: str
    private_bytes: bytes = field(repr=False)

    def private_key(self) -> Ed25519PrivateKey:
        """Return the key in the form that signs."""
        return Ed25519PrivateKey.from_private_bytes(self.private_bytes)

    def public_bytes(self) -> bytes:
        """Return the public half, 32 bytes."""
        return self.private_key().public_key().public_bytes_raw()


def new_signing_key() -> SigningKey:
    """Make a key whose id is a digest of its public half."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    return SigningKey(hashlib.sha256(public).hexdigest()[:16], private.private_bytes_raw())


def jwks(keys: Sequence[SigningKey]) -> str:
    """Return the public halves as a JSON Web Key Set (RFC 8037)."""
    entries = [
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "use": "sig",
            "alg": ALGORITHM,
            "kid": key.key_id,
            "x": base64.urlsafe_b64encode(key.public_bytes()).decode().rstrip("="),
        }
        for key in keys
    ]
    return json.dumps({"keys": entries})


class TokenIssuer:
    """Signs access tokens of sessions and of API tokens, and job tokens.

    Args:
        keys: Newest first; the first signs.
    """

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        self._key_id = keys[0].key_id
        self._private_key = keys[0].private_key()
        self._keys = tuple(keys)
        self.jwks = jwks(keys)

    def derived_keys(self, purpose: str) -> list[bytes]:
        """Return a secret of 32 bytes for another purpose from each key, newest first (HKDF, RFC 5869)."""
        return [
            HKDF(hashes.SHA256(), length=32, salt=None, info=f"museed {purpose}".encode()).derive(key.private_bytes)
            for key in self._keys
        ]

    def access_token(self, user_id: UserId, role: Role, session_id: SessionId, now: datetime) -> tuple[str, datetime]:
        """Return a token for a person's session, and when it ends."""
        claims = {"sub": user_id, "role": role.value, "kind": TokenKind.ACCESS.value, "sid": session_id}
        return self._sign(claims, now, ACCESS_LIFE)

    def api_access_token(
        self, user_id: UserId, role: Role, session_id: SessionId, scopes: frozenset[Scope], now: datetime
    ) -> tuple[str, datetime]:
        """Return what an API token is traded for, and when it ends.

        Args:
            user_id: Whose it is.
            role: Theirs; it counts where `scopes` has ADMIN.
            session_id: By which the API token is revoked.
            scopes: What it may be used for.
            now: Aware.
        """
        claims = {
            "sub": user_id,
            "role": role.value,
            "kind": TokenKind.API.value,
            "sid": session_id,
            "scope": scope_claim(scopes),
        }
        return self._sign(claims, now, ACCESS_LIFE)

    def job_token(self, user_id: UserId, job_id: JobId, now: datetime, life: timedelta) -> str:
        """Return a token for work on one job in its owner's name, without any other right of theirs."""
        claims = {"sub": user_id, "role": Role.USER.value, "kind": TokenKind.JOB.value, "job": job_id}
        return self._sign(claims, now, life)[0]

    def _sign(self, claims: dict[str, str], now: datetime, life: timedelta) -> tuple[str, datetime]:
        expires_at = now.replace(microsecond=0) + life
        payload = {**claims, "iss": ISSUER, "aud": AUDIENCE, "iat": int(now.timestamp()), "exp": expires_at}
        token = jwt.encode(payload, self._private_key, algorithm=ALGORITHM, headers={"kid": self._key_id})
        return token, expires_at


def new_refresh_token() -> str:
    """Make an opaque token with 256 random bits."""
    return secrets.token_urlsafe(_REFRESH_TOKEN_BYTES)


class RefreshChain:
    """Tells what a refresh token is traded for: the same whenever it is asked, and nobody else can tell.

    So an answer can be given again, while the database has hashes alone.

    Args:
        keys: 32 bytes each, newest first; the first is used, the others tell what was traded before.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    def after(self, token: str) -> str:
        """Return what a token is traded for, with 256 bits that follow from it and from the key."""
        return self.all_after(token)[0]

    def all_after(self, token: str) -> list[str]:
        """Return what a token may have been traded for."""
        digests = (hmac.digest(key, token.encode(), hashlib.sha256) for key in self._keys)
        return [base64.urlsafe_b64encode(digest).decode().rstrip("=") for digest in digests]


def hash_refresh_token(token: str) -> bytes:
    """Return what is kept of a refresh token: SHA-256, which suffices for 256 random bits."""
    return hashlib.sha256(token.encode()).digest()
