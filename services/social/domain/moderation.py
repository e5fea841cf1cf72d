"""Reports, decisions and suspensions: what they may say, and who may not be touched."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.social.domain import fields
from services.social.domain.accounts import Person, Role
from services.social.domain.ids import UserId
from services.social.errors import Malformed, Missing

LONGEST_REASON = 1_000
LONGEST_SEARCH = 200
REPORT_WINDOW = timedelta(days=1)


class Subject(StrEnum):
    """What a report, or an entry of the audit log, is about; the last four only the log knows."""

    USER = "USER"
    PLAYLIST = "PLAYLIST"
    COMMENT = "COMMENT"
    REPORT = "REPORT"
    ROOT = "ROOT"
    ENCODER = "ENCODER"
    DEAD_LETTER = "DEAD_LETTER"

    @property
    def is_reportable(self) -> bool:
        """Whether people may report it."""
        return self in (Subject.USER, Subject.PLAYLIST, Subject.COMMENT)


class ReportReason(StrEnum):
    """Why something is reported."""

    SPAM = "SPAM"
    ABUSE = "ABUSE"
    HATE = "HATE"
    SEXUAL = "SEXUAL"
    COPYRIGHT = "COPYRIGHT"
    OTHER = "OTHER"


class ReportState(StrEnum):
    """Where a report stands."""

    OPEN = "OPEN"
    UPHELD = "UPHELD"
    REJECTED = "REJECTED"


class Action(StrEnum):
    """What is done about what was reported."""

    NONE = "NONE"
    HIDE = "HIDE"
    DELETE = "DELETE"
    SUSPEND = "SUSPEND"


@dataclass(frozen=True, slots=True)
class Report:
    """A report.

    Attributes:
        decided_by: None while it is open.
        owner_id: Whose the subject is; None once it is gone.
        subject_text: The subject in words as it is now; empty once it is gone, and where nobody asked for it.
    """

    report_id: str
    reporter_id: UserId
    subject_kind: Subject
    subject_id: str
    reason: ReportReason
    text: str
    state: ReportState
    created_at: datetime
    decided_at: datetime | None = None
    decided_by: UserId | None = None
    owner_id: UserId | None = None
    subject_text: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What an admin decides about a report."""

    is_upheld: bool
    action: Action
    because: str

    @property
    def state(self) -> ReportState:
        """Where the report stands then."""
        return ReportState.UPHELD if self.is_upheld else ReportState.REJECTED


@dataclass(frozen=True, slots=True)
class Account:
    """A person as admins see them."""

    person: Person
    email_verified_at: datetime | None
    suspended_at: datetime | None
    suspended_because: str
    deleted_at: datetime | None

    @property
    def is_active_admin(self) -> bool:
        """Whether this is one of those who keep the mesh."""
        return self.person.role is Role.ADMIN and self.suspended_at is None and self.deleted_at is None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What an admin did."""

    entry_id: str
    actor_id: UserId | None
    action: str
    subject_kind: str
    subject_id: str
    because: str
    detail: dict[str, object]
    request_id: str
    at: datetime


def check_report_text(text: str, reason: ReportReason) -> str:
    """Check what a reporter writes.

    Raises:
        OutOfRange: More than 1,000 characters.
        Missing: OTHER says nothing by itself.
    """
    said = fields.text(text, "text", longest=LONGEST_REASON)
    if reason is ReportReason.OTHER and not said:
        raise Missing("text")
    return said


def check_because(because: str) -> str:
    """Check why an admin does something.

    Raises:
        Missing, OutOfRange: Not 1 to 1,000 characters.
    """
    said = fields.text(because, "because", longest=LONGEST_REASON)
    if not said:
        raise Missing("because")
    return said


def check_decision(is_upheld: bool, action: Action, because: str) -> Decision:
    """Check a decision, as far as it can be without its report.

    Raises:
        Missing, OutOfRange: Of `because`.
        Malformed: Something is done although the reporter is wrong.
    """
    if not is_upheld and action is not Action.NONE:
        raise Malformed("action", action.value, "NONE where the report is not upheld")
    return Decision(is_upheld, action, check_because(because))


def check_action(action: Action, subject: Subject) -> None:
    """Check that something can be done to what was reported.

    Raises:
        Malformed: People are neither hidden nor deleted by a decision.
    """
    if subject is Subject.USER and action in (Action.HIDE, Action.DELETE):
        raise Malformed("action", action.value, "NONE or SUSPEND for a person")


def check_role(role: str) -> Role:
    """Read a role.

    Raises:
        Missing, Malformed: Neither "user" nor "admin".
    """
    if not role:
        raise Missing("role")
    if role not in list(Role):
        raise Malformed("role", role, "user or admin")
    return Role(role)
