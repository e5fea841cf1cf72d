"""People: what a sign-up must look like, and what becomes of a refresh token that somebody shows."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.social import fields
from services.social.errors import Malformed, Missing, OutOfRange, RefreshRefused
from services.social.ids import SessionId, UserId

REFRESH_LIFE = timedelta(days=30)

LONGEST_NICKNAME = 50
LONGEST_EMAIL = 254
SHORTEST_USERNAME, LONGEST_USERNAME = 3, 30
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 128

_USERNAME = re.compile(r"[A-Za-z0-9_.-]+")
# One @, no spaces, a local part of at most 64: whether it takes mail only a mail tells.
_EMAIL = re.compile(r"[^\s@]{1,64}@[^\s@.]+(\.[^\s@.]+)*")


class Role(StrEnum):
    """What a person may do beyond their own things."""

    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Person:
    """An account without its secrets."""

    user_id: UserId
    username: str
    nickname: str
    email: str
    role: Role
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewAccount:
    """A checked sign-up, without its password."""

    username: str
    nickname: str
    email: str

    @property
    def username_key(self) -> str:
        """What must be unique of the username."""
        return folded(self.username)

    @property
    def email_key(self) -> str:
        """What must be unique of the address."""
        return folded(self.email)


def folded(text: str) -> str:
    """Return text as it is compared where case does not matter."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).strip().casefold())


def check_sign_up(username: str, nickname: str, email: str, password: str) -> NewAccount:
    """Check what somebody signs up with.

    Raises:
        Missing, OutOfRange, Malformed: With the field; a password's value is never repeated, only its length.
    """
    name = fields.line(username, "username", longest=LONGEST_USERNAME, is_required=True)
    if len(name) < SHORTEST_USERNAME:
        raise OutOfRange("username", len(name), SHORTEST_USERNAME, "characters")
    if not _USERNAME.fullmatch(name):
        raise Malformed("username", name, "made of a–z, 0–9, _, . and -")
    shown = fields.line(nickname, "nickname", longest=LONGEST_NICKNAME) or name
    address = fields.line(email, "email", longest=LONGEST_EMAIL, is_required=True)
    if not _EMAIL.fullmatch(address):
        raise Malformed("email", address, "an e-mail address")
    if not password:
        raise Missing("password")
    if len(password) < SHORTEST_PASSWORD:
        raise OutOfRange("password", len(password), SHORTEST_PASSWORD, "characters")
    if len(password) > LONGEST_PASSWORD:
        raise OutOfRange("password", len(password), LONGEST_PASSWORD, "characters")
    return NewAccount(name, shown, address)


@dataclass(frozen=True, slots=True)
class ShownRefreshToken:
    """What is known of a refresh token that somebody shows, with the session that it belongs to."""

    session_id: SessionId
    user_id: UserId
    expires_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None


class RefreshVerdict(StrEnum):
    """What becomes of a refresh token that somebody shows; the values are the reasons that a caller sees."""

    TRADED = "TRADED"
    UNKNOWN = "REFRESH_TOKEN_INVALID"
    EXPIRED = "REFRESH_TOKEN_EXPIRED"
    REVOKED = "SESSION_REVOKED"
    # Two people have the same token, and we cannot know which of them is the thief: the session ends.
    REUSED = "REFRESH_TOKEN_REUSED"

    def refusal(self) -> RefreshRefused:
        """Return the error that tells a verdict other than TRADED."""
        return RefreshRefused("the session cannot be continued, log in again", reason=self.value)


def judge_refresh(shown: ShownRefreshToken | None, now: datetime) -> RefreshVerdict:
    """Decide what becomes of a refresh token."""
    if shown is None:
        return RefreshVerdict.UNKNOWN
    if shown.revoked_at is not None:
        return RefreshVerdict.REVOKED
    if shown.used_at is not None:
        return RefreshVerdict.REUSED
    if shown.expires_at <= now:
        return RefreshVerdict.EXPIRED
    return RefreshVerdict.TRADED
