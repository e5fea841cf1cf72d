"""Addresses that act for whom they were made for: the caller's access token, sealed, for one thing alone. Pure.

Browsers fetch a file by a plain link, which carries no token, and some things social gives to nobody without one.
"""

import hashlib
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from urllib.parse import urlencode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.chassis.errors import PermissionDenied

_CONTEXT = b"museed sealed token v1"
_PARAMETER = "access"
_NONCE_BYTES = 12


class TokenSealer:
    """Seals tokens with AES-GCM, bound to what they may be used for.

    A sealed one is as good as the token: it ends with it and with its session, and opens nothing else.

    Args:
        key: At least 32 bytes, the same in every replica.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(hashlib.sha256(_CONTEXT + key).digest())

    def query(self, subject: str, token: str) -> str:
        """Return what to add to an address, so that it acts for the owner of a token.

        Args:
            subject: What the address is for, for example "playlist 0190… m3u8".
            token: Theirs; empty for a guest, who gets nothing.
        """
        if not token:
            return ""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, token.encode(), subject.encode())
        return urlencode({_PARAMETER: urlsafe_b64encode(sealed).rstrip(b"=").decode()})

    def authorization(self, subject: str, query: Mapping[str, str], header: str | None) -> str | None:
        """Return the authorization of a request: that of its address where it has one, else its header's.

        Raises:
            PermissionDenied: SIGNATURE_INVALID: the address is made up, or for something else.
        """
        given = query.get(_PARAMETER)
        if given is None:
            return header
        try:
            sealed = urlsafe_b64decode(given.encode("ascii") + b"=" * (-len(given) % 4))
            nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            return f"Bearer {self._cipher.decrypt(nonce, rest, subject.encode()).decode()}"
        except (InvalidTag, ValueError):
            raise PermissionDenied("the signature of this address is not valid", reason="SIGNATURE_INVALID") from None
