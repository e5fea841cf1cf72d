"""Sessions of people: what can be told of them, and why they end."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.social.domain import fields
from services.social.domain.ids import SessionId

LONGEST_USER_AGENT = 200


class SessionKind(StrEnum):
    """What a session stands for: a log-in with its refresh tokens, or an API token."""

    LOGIN = "LOGIN"
    API = "API"


class Ending(StrEnum):
    """Why somebody's session was ended."""

    LOGGED_OUT = "LOGGED_OUT"
    REVOKED = "REVOKED"
    PASSWORD_CHANGED = "PASSWORD_CHANGED"
    PASSWORD_RESET = "PASSWORD_RESET"
    SUSPENDED = "SUSPENDED"
    ROLE_CHANGED = "ROLE_CHANGED"
    ACCOUNT_DELETED = "ACCOUNT_DELETED"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a session comes from, as far as it was said; it proves nothing.

    Attributes:
        user_agent: At most 200 characters.
        client: A network, shortened to /24 or /64.
    """

    user_agent: str = ""
    client: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """A living session.

    Attributes:
        session_id: The session.
        kind: What it stands for.
        origin: Where it was started.
        created_at: When it was started.
        seen_at: When it last asked for new tokens; None before the first time.
    """

    session_id: SessionId
    kind: SessionKind
    origin: Origin
    created_at: datetime
    seen_at: datetime | None


def origin(user_agent: str, client: str) -> Origin:
    """Return where a session comes from, cut to what is kept."""
    return Origin(fields.line(user_agent[:LONGEST_USER_AGENT], "user_agent", longest=LONGEST_USER_AGENT), client)
