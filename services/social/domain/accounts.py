"""People: what a sign-up, a password and a profile must look like, and what becomes of a refresh token."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from services.social.domain import fields
from services.social.domain.common_passwords import is_frequent, is_name
from services.social.domain.ids import SessionId, UserId
from services.social.errors import Malformed, Missing, OutOfRange, RefreshRefused
from services.social.errors.credentials import PasswordCommon

REFRESH_LIFE = timedelta(days=30)

LONGEST_NICKNAME = 50
LONGEST_EMAIL = 254
SHORTEST_USERNAME, LONGEST_USERNAME = 3, 30
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 128

_USERNAME = re.compile(r"[A-Za-z0-9_.-]+")
# One @, no spaces, a local part of at most 64: whether it takes mail only a mail tells. Nothing that would make two
# addresses of one, or a name with an address, where it stands in a header (RFC 5322, section 3.2.3).
_EMAIL = re.compile(r"[^\s@()<>\[\]:;,\"\\]{1,64}@[^\s@.()<>\[\]:;,\"\\]+(\.[^\s@.()<>\[\]:;,\"\\]+)*")

LOCALES = ("en", "ko")


class Role(StrEnum):
    """What a person may do beyond their own things."""

    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Person:
    """An account without its secrets.

    Attributes:
        user_id: The person.
        username: Unique, as it was typed.
        nickname: Shown to others.
        email: Unique, as it was typed.
        role: What they may do.
        created_at: When they signed up.
        email_verified_at: When they opened a link that was sent to the address.
        locale: Language of mails, one of `LOCALES`.
        is_listed: Whether strangers find them in lists and recommendations.
        is_suspended: Whether an admin keeps them out.
        is_deleted: Whether they left; the row stays without a name.
    """

    user_id: UserId
    username: str
    nickname: str
    email: str
    role: Role
    created_at: datetime
    email_verified_at: datetime | None = None
    locale: str = "en"
    is_listed: bool = True
    is_suspended: bool = False
    is_deleted: bool = False

    @property
    def is_active(self) -> bool:
        """Whether they may act: neither suspended nor gone."""
        return not (self.is_suspended or self.is_deleted)


@dataclass(frozen=True, slots=True)
class Login:
    """A person with what proves it.

    Attributes:
        person: The account.
        password_hash: As argon2 encodes it; empty matches nothing.
        changed_at: When the password was last changed; None while it is the first.
        suspended_because: Why an admin keeps them out, if one does.
    """

    person: Person
    password_hash: str = field(repr=False)
    changed_at: datetime | None
    suspended_because: str = ""


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


def login_key(login: str) -> str:
    """Return what a login is looked up by: a folded username or address; what is too long to be one is cut."""
    return folded(login[: fields.MOST_COMPOSED * LONGEST_EMAIL].replace("\0", ""))[:LONGEST_EMAIL]


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
    address = check_email(email)
    check_password(password, "password", (name, address))
    return NewAccount(name, shown, address)


def check_email(email: str) -> str:
    """Return an e-mail address without space around it.

    Raises:
        Missing, OutOfRange, Malformed: Also where it is more, or less, than one plain address.
    """
    address = fields.line(email, "email", longest=LONGEST_EMAIL, is_required=True)
    if not _EMAIL.fullmatch(address):
        raise Malformed("email", address, "an e-mail address")
    return address


def check_password(password: str, field: str, names: Sequence[str]) -> None:
    """Check a password that somebody chooses.

    Args:
        password: As it was typed.
        field: Its name in the request.
        names: Username and address of the person.

    Raises:
        Missing, OutOfRange, PasswordCommon: The value is never repeated, only its length.
    """
    if not password:
        raise Missing(field)
    if len(password) < SHORTEST_PASSWORD:
        raise OutOfRange(field, len(password), SHORTEST_PASSWORD, "characters")
    if len(password) > LONGEST_PASSWORD:
        raise OutOfRange(field, len(password), LONGEST_PASSWORD, "characters")
    if is_frequent(password):
        raise PasswordCommon(field, "one of the most frequent passwords")
    if is_name(password, names):
        raise PasswordCommon(field, "the username or the e-mail address")


@dataclass(frozen=True, slots=True)
class ProfileEdit:
    """What somebody changes of what others see of them; None stays."""

    nickname: str | None
    locale: str | None
    is_listed: bool | None


def check_profile(nickname: str | None, locale: str | None, is_listed: bool | None) -> ProfileEdit:
    """Check a change of a profile.

    Raises:
        Missing, OutOfRange, Malformed: With the field.
    """
    if nickname is not None:
        nickname = fields.line(nickname, "nickname", longest=LONGEST_NICKNAME, is_required=True)
    if locale is not None and locale not in LOCALES:
        raise Malformed("locale", locale, " or ".join(LOCALES))
    return ProfileEdit(nickname, locale, is_listed)


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
    # It was used a moment ago: by another tab, or by who did not get the answer. No caller sees it.
    RACED = "RACED"

    def refusal(self) -> RefreshRefused:
        """Return the error that tells a verdict other than TRADED."""
        return RefreshRefused("the session cannot be continued, log in again", reason=self.value)


def judge_refresh(shown: ShownRefreshToken | None, now: datetime, grace: timedelta) -> RefreshVerdict:
    """Decide what becomes of a refresh token, of which a second use within the grace is no reuse."""
    if shown is None:
        return RefreshVerdict.UNKNOWN
    if shown.revoked_at is not None:
        return RefreshVerdict.REVOKED
    if shown.used_at is not None:
        return RefreshVerdict.RACED if now - shown.used_at < grace else RefreshVerdict.REUSED
    if shown.expires_at <= now:
        return RefreshVerdict.EXPIRED
    return RefreshVerdict.TRADED
