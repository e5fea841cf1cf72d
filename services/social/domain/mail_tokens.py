"""Tokens in links that are sent by mail: made from their ids, so that none is kept and each can be made again."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum

from services.social.domain.ids import MailTokenId


class Purpose(StrEnum):
    """What a link does."""

    VERIFY = "VERIFY"
    RESET = "RESET"
    CHANGE_EMAIL = "CHANGE_EMAIL"


LIFE = {
    Purpose.VERIFY: timedelta(days=1),
    Purpose.RESET: timedelta(hours=1),
    Purpose.CHANGE_EMAIL: timedelta(days=1),
}


class MailTokens:
    """Makes the tokens of links.

    Args:
        keys: 32 bytes each, newest first; the first makes new tokens, the others those that they made before.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    def make(self, token_id: MailTokenId) -> str:
        """Return the token of an id: 256 bits that nobody can tell who has not the key."""
        return _token(self._keys[0], token_id)

    def make_again(self, token_id: MailTokenId, token_hash: bytes) -> str | None:
        """Return the token of an id whose hash is known, None where no key has made it."""
        made = (_token(key, token_id) for key in self._keys)
        return next((token for token in made if hash_mail_token(token) == token_hash), None)


def hash_mail_token(token: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode(errors="replace")).digest()


def _token(key: bytes, token_id: MailTokenId) -> str:
    return urlsafe_b64encode(hmac.digest(key, token_id.encode(), "sha256")).decode().rstrip("=")
