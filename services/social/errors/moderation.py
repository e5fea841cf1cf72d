"""Refusals about reports, and about what admins may not do to each other."""

from services.chassis.errors import Aborted, FailedPrecondition, NotFound, ResourceExhausted


class SubjectNotFound(NotFound):
    """What is named is not there, or not for this caller to see."""

    def __init__(self, kind: str, subject_id: str, field: str = "subject_id") -> None:
        super().__init__(
            f"there is no such {kind.lower()}", reason=f"{kind}_NOT_FOUND", field=field, value=subject_id[:100]
        )


class ReportNotFound(NotFound):
    """There is no such report."""

    default_reason = "REPORT_NOT_FOUND"

    def __init__(self, report_id: str) -> None:
        super().__init__("there is no such report", field="report_id", value=report_id[:100])


class ReportAlreadyDecided(Aborted):
    """Somebody decided it, and otherwise."""

    default_reason = "REPORT_DECIDED"

    def __init__(self, report_id: str, state: str) -> None:
        super().__init__(f"the report is {state} already", field="report_id", value=report_id)


class OwnContent(FailedPrecondition):
    """One's own is not reported."""

    default_reason = "OWN_CONTENT"

    def __init__(self, subject_id: str) -> None:
        super().__init__("this is your own", field="subject_id", value=subject_id)


class ReportQuotaReached(ResourceExhausted):
    """A person has reported as much within a day as one may."""

    default_reason = "REPORT_QUOTA_REACHED"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} reports within 24 hours is the limit", value=limit, limit=limit, retry_after_ms=3_600_000
        )


class OwnAccount(FailedPrecondition):
    """An admin does neither suspend nor demote themselves."""

    default_reason = "OWN_ACCOUNT"

    def __init__(self, user_id: str) -> None:
        super().__init__("this is your own account: ask another admin", field="user_id", value=user_id)


class LastAdmin(FailedPrecondition):
    """Without this person nobody would keep the mesh."""

    default_reason = "LAST_ADMIN"

    def __init__(self, user_id: str) -> None:
        super().__init__(
            "this is the last admin: make somebody else one first", field="user_id", value=user_id, limit=1
        )
