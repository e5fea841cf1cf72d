"""Stream tokens: with one, anybody may play the tracks of one playlist."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.social.domain.ids import PlaylistId, StreamTokenId
from services.social.errors import OutOfRange

MOST_TOKENS = 20
LIFE = timedelta(days=30)
LONGEST_LIFE = timedelta(days=366)
LONGEST_SECRET = 100
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class StreamToken:
    """A token without its secret, which nobody knows but who made it."""

    token_id: StreamTokenId
    playlist_id: PlaylistId
    created_at: datetime
    expires_at: datetime


def new_secret() -> str:
    """Make a secret with 256 random bits that can stand in an address."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def hash_secret(secret: str) -> bytes:
    """Return what is kept of a secret: SHA-256, which suffices for 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def check_expiry(given: datetime | None, now: datetime) -> datetime:
    """Return when a token ends: in 30 days where nobody says it.

    Raises:
        OutOfRange: In the past, or later than in 366 days.
    """
    if given is None:
        return now + LIFE
    if given <= now:
        raise OutOfRange("expires_at", given.isoformat(), now.isoformat())
    if given > now + LONGEST_LIFE:
        raise OutOfRange("expires_at", given.isoformat(), (now + LONGEST_LIFE).isoformat())
    return given
