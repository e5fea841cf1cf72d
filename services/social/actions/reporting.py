"""Files reports, and does what is decided about them: each in one transaction."""

from datetime import datetime

from services.social.actions import custody, moderating
from services.social.actions.custody import Order
from services.social.domain.ids import JobId, PlaylistId, UserId
from services.social.domain.moderation import REPORT_WINDOW, Action, Decision, Report, Subject, check_action
from services.social.errors.moderation import (
    OwnContent,
    ReportAlreadyDecided,
    ReportNotFound,
    ReportQuotaReached,
    SubjectNotFound,
)
from services.social.events import moderation as events
from services.social.store import accounts, activities, audit, moderated, outbox, reports
from services.social.store import custody as custody_rows
from services.social.store.database import Connection


async def file(connection: Connection, report: Report, quota: int) -> Report:
    """File a report; while one of the same thing by the same person is open, that is returned.

    Args:
        connection: In a transaction.
        report: What is said, open.
        quota: Reports that a person may file in 24 hours.

    Raises:
        SubjectNotFound, OwnContent, ReportQuotaReached: Nothing has changed.
    """
    await accounts.lock_person(connection, report.reporter_id)
    is_seen, owner_id = await reports.find_owner(connection, report.subject_kind, report.subject_id, report.reporter_id)
    if not is_seen:
        raise SubjectNotFound(report.subject_kind, report.subject_id)
    if owner_id == report.reporter_id:
        raise OwnContent(report.subject_id)
    known = await reports.find_open(connection, report.reporter_id, report.subject_kind, report.subject_id)
    if known is not None:
        return known
    if await reports.count_since(connection, report.reporter_id, report.created_at - REPORT_WINDOW) >= quota:
        raise ReportQuotaReached(quota)
    await reports.insert(connection, report)
    await outbox.add(connection, events.report_filed(report.report_id, report.reporter_id, report.created_at))
    return report


async def decide(
    connection: Connection, report_id: str, decision: Decision, admin_id: UserId, now: datetime
) -> list[JobId]:
    """Decide a report and do what is decided; the same decision again does nothing.

    What is gone meanwhile is decided about all the same. Other reports of the same thing stay open.

    Returns:
        Jobs that were called off.

    Raises:
        ReportNotFound, ReportAlreadyDecided, Malformed, OwnAccount, LastAdmin: Nothing has changed.
    """
    report = await reports.find(connection, report_id)
    if report is None:
        raise ReportNotFound(report_id)
    check_action(decision.action, report.subject_kind)
    people = [admin_id, report.reporter_id] + ([] if report.owner_id is None else [report.owner_id])
    await custody_rows.lock_people(connection, people)
    if report.subject_kind is Subject.PLAYLIST:
        await moderated.lock_playlist(connection, PlaylistId(report.subject_id))
    state = await reports.lock(connection, report_id)
    if state is not report.state or report.decided_at is not None:
        done = await audit.action_of(connection, report_id)
        if (state, done) != (decision.state, decision.action):
            raise ReportAlreadyDecided(report_id, state.value)
        return []
    cancelled = await _act(connection, report, decision, admin_id, now)
    await reports.decide(connection, report_id, decision.state, admin_id, now)
    await activities.notify(connection, report.reporter_id, "REPORT_DECIDED", now, subject_id=report_id)
    await outbox.add(connection, events.report_decided(report_id, admin_id, now))
    detail: dict[str, object] = {
        "is_upheld": decision.is_upheld,
        "action": decision.action.value,
        "subject_kind": report.subject_kind.value,
        "subject_id": report.subject_id,
    }
    await audit.add(
        connection, admin_id, "decide_report", Subject.REPORT, report_id, now, because=decision.because, detail=detail
    )
    return cancelled


async def _act(
    connection: Connection, report: Report, decision: Decision, admin_id: UserId, now: datetime
) -> list[JobId]:
    """Do to a thing what was decided, and note that on the thing itself."""
    if decision.action is Action.NONE:
        return []
    if decision.action is Action.SUSPEND:
        if report.owner_id is None:
            return []
        return await custody.suspend(connection, Order(admin_id, report.owner_id, decision.because, now))
    order = moderating.Order(
        admin_id, report.subject_kind, report.subject_id, decision.because, now, report_id=report.report_id
    )
    await moderating.take_away(connection, order, decision.action)
    return []
