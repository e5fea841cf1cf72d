"""Translates reports, accounts and the audit log to protobuf, and back."""

import json

from museed.social.v1 import accounts_pb2, moderation_pb2
from services.social.domain.moderation import Account, Action, AuditEntry, Report, ReportReason, ReportState, Subject
from services.social.errors import Malformed, Missing
from services.social.wire import timestamp


def reportable(value: moderation_pb2.SubjectKind.ValueType) -> Subject:
    """Read what is reported.

    Raises:
        Missing, Malformed: Not a person, a playlist or a comment.
    """
    if value == moderation_pb2.SUBJECT_KIND_UNSPECIFIED:
        raise Missing("subject_kind")
    known = moderation_pb2.SubjectKind.values()
    kind = Subject(moderation_pb2.SubjectKind.Name(value).removeprefix("SUBJECT_KIND_")) if value in known else None
    if kind is None or not kind.is_reportable:
        raise Malformed("subject_kind", value, "USER, PLAYLIST or COMMENT")
    return kind


def hideable(value: moderation_pb2.SubjectKind.ValueType) -> Subject:
    """Read what was hidden.

    Raises:
        Missing, Malformed: Not a playlist or a comment.
    """
    kind = reportable(value)
    if kind is Subject.USER:
        raise Malformed("subject_kind", value, "PLAYLIST or COMMENT")
    return kind


def reason(value: moderation_pb2.ReportReason.ValueType) -> ReportReason:
    """Read why something is reported.

    Raises:
        Missing, Malformed: None of the reasons.
    """
    if value == moderation_pb2.REPORT_REASON_UNSPECIFIED:
        raise Missing("reason")
    if value not in moderation_pb2.ReportReason.values():
        raise Malformed("reason", value, "a reason")
    return ReportReason(moderation_pb2.ReportReason.Name(value).removeprefix("REPORT_REASON_"))


def report_state(value: moderation_pb2.ReportState.ValueType) -> ReportState | None:
    """Read a state; None means all.

    Raises:
        Malformed: None of the states.
    """
    if value == moderation_pb2.REPORT_STATE_UNSPECIFIED:
        return None
    if value not in moderation_pb2.ReportState.values():
        raise Malformed("state", value, "OPEN, UPHELD or REJECTED")
    return ReportState(moderation_pb2.ReportState.Name(value).removeprefix("REPORT_STATE_"))


def action(value: moderation_pb2.ModerationAction.ValueType) -> Action:
    """Read what is done; unspecified is nothing.

    Raises:
        Malformed: None of the actions.
    """
    if value == moderation_pb2.MODERATION_ACTION_UNSPECIFIED:
        return Action.NONE
    if value not in moderation_pb2.ModerationAction.values():
        raise Malformed("action", value, "NONE, HIDE, DELETE or SUSPEND")
    return Action(moderation_pb2.ModerationAction.Name(value).removeprefix("MODERATION_ACTION_"))


def report_for_reporter(found: Report) -> moderation_pb2.Report:
    """Write a report as who filed it reads it."""
    return moderation_pb2.Report(
        report_id=found.report_id,
        reporter_id=found.reporter_id,
        subject_kind=_subject_kind(found.subject_kind),
        subject_id=found.subject_id,
        reason=moderation_pb2.ReportReason.Value(f"REPORT_REASON_{found.reason.value}"),
        text=found.text,
        state=moderation_pb2.ReportState.Value(f"REPORT_STATE_{found.state.value}"),
        created_at=timestamp(found.created_at),
        decided_at=None if found.decided_at is None else timestamp(found.decided_at),
    )


def report(found: Report) -> moderation_pb2.Report:
    """Write a report as admins read it."""
    message = report_for_reporter(found)
    message.decided_by = found.decided_by or ""
    message.subject_owner_id = found.owner_id or ""
    message.subject_text = found.subject_text
    return message


def account(found: Account) -> moderation_pb2.Account:
    """Write a person as admins read them."""
    person = found.person
    return moderation_pb2.Account(
        user=accounts_pb2.User(
            user_id=person.user_id,
            username=person.username,
            nickname=person.nickname,
            created_at=timestamp(person.created_at),
        ),
        email=person.email,
        role=person.role.value,
        email_verified_at=None if found.email_verified_at is None else timestamp(found.email_verified_at),
        suspended_at=None if found.suspended_at is None else timestamp(found.suspended_at),
        suspended_because=found.suspended_because,
        deleted_at=None if found.deleted_at is None else timestamp(found.deleted_at),
    )


def audit_entry(found: AuditEntry) -> moderation_pb2.AuditEntry:
    """Write an entry of the audit log."""
    return moderation_pb2.AuditEntry(
        entry_id=found.entry_id,
        actor_id=found.actor_id or "",
        action=found.action,
        subject_kind=_subject_kind(found.subject_kind),
        subject_id=found.subject_id,
        because=found.because,
        detail=json.dumps(found.detail, ensure_ascii=False, sort_keys=True),
        request_id=found.request_id,
        at=timestamp(found.at),
    )


def _subject_kind(kind: str) -> moderation_pb2.SubjectKind.ValueType:
    """Write a kind; what another version wrote and this one does not know is unspecified."""
    name = f"SUBJECT_KIND_{kind}"
    if name not in moderation_pb2.SubjectKind.keys():  # no dictionary
        return moderation_pb2.SUBJECT_KIND_UNSPECIFIED
    return moderation_pb2.SubjectKind.Value(name)
