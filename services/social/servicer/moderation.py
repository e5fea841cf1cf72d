"""gRPC in: reports, decisions, suspensions, roles, and the log of what admins did."""

from collections.abc import Callable
from datetime import datetime

import grpc

from museed.social.v1 import moderation_pb2, moderation_pb2_grpc
from services.chassis.auth import require_viewer
from services.social.actions import custody, moderating, reporting
from services.social.actions.custody import Order
from services.social.domain import fields, paging
from services.social.domain.ids import JobId, UserId, is_id, new_id
from services.social.domain.moderation import (
    LONGEST_SEARCH,
    Report,
    ReportState,
    Subject,
    check_because,
    check_decision,
    check_report_text,
    check_role,
)
from services.social.errors.moderation import ReportNotFound, SubjectNotFound
from services.social.servicer import moderation_messages as to
from services.social.store import audit, reports
from services.social.store import custody as custody_rows
from services.social.store.database import Database
from services.social.workers.background import Bells

_DEFAULT_PAGE, _DEFAULT_AUDIT_PAGE, _LARGEST_PAGE = 20, 50, 100
_LONGEST_SUBJECT = 200


class ModerationServicer(moderation_pb2_grpc.ModerationServiceServicer):
    """Serves ModerationService.

    Args:
        database: The truth.
        ended: Rung with the id of a job that was called off.
        reports_per_day: Reports that a person may file in 24 hours.
        clock: Time of day.
    """

    def __init__(self, database: Database, ended: Bells, reports_per_day: int, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._ended = ended
        self._reports_per_day = reports_per_day
        self._clock = clock

    async def ReportContent(
        self,
        request: moderation_pb2.ReportContentRequest,
        context: grpc.aio.ServicerContext[moderation_pb2.ReportContentRequest, moderation_pb2.ReportContentResponse],
    ) -> moderation_pb2.ReportContentResponse:
        """File a report."""
        kind, reason = to.reportable(request.subject_kind), to.reason(request.reason)
        text = check_report_text(request.text, reason)
        if not is_id(request.subject_id):
            raise SubjectNotFound(kind, request.subject_id)
        said = Report(
            new_id(),
            UserId(require_viewer().user_id),
            kind,
            request.subject_id,
            reason,
            text,
            ReportState.OPEN,
            self._clock(),
        )
        async with self._database.transaction() as connection:
            filed = await reporting.file(connection, said, self._reports_per_day)
        return moderation_pb2.ReportContentResponse(report=to.report_for_reporter(filed))

    async def ListReports(
        self,
        request: moderation_pb2.ListReportsRequest,
        context: grpc.aio.ServicerContext[moderation_pb2.ListReportsRequest, moderation_pb2.ListReportsResponse],
    ) -> moderation_pb2.ListReportsResponse:
        """List reports, oldest first."""
        state = to.report_state(request.state)
        size = paging.page_size(request.page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
        scope = f"ListReports {request.state}"
        key = paging.decode_token(scope, request.page_token, [is_id])
        async with self._database.connection() as connection:
            found = await reports.page(connection, state, None if key is None else str(key[0]), size + 1)
        page = paging.cut(found, size, scope, lambda one: (one.report_id,))
        return moderation_pb2.ListReportsResponse(
            reports=[to.report(one) for one in page.items], next_page_token=page.next_token
        )

    async def DecideReport(
        self,
        request: moderation_pb2.DecideReportRequest,
        context: grpc.aio.ServicerContext[moderation_pb2.DecideReportRequest, moderation_pb2.DecideReportResponse],
    ) -> moderation_pb2.DecideReportResponse:
        """Decide a report."""
        decision = check_decision(request.is_upheld, to.action(request.action), request.because)
        report_id, admin_id = request.report_id, UserId(require_viewer().user_id)
        if not is_id(report_id):
            raise ReportNotFound(report_id)
        async with self._database.transaction() as connection:
            cancelled = await reporting.decide(connection, report_id, decision, admin_id, self._clock())
            decided = await reports.find(connection, report_id)
        self._ring(cancelled)
        assert decided is not None, "it was decided in this transaction"
        return moderation_pb2.DecideReportResponse(report=to.report(decided))

    async def ShowContent(
        self,
        request: moderation_pb2.ShowContentRequest,
        context: grpc.aio.ServicerContext[moderation_pb2.ShowContentRequest, moderation_pb2.ShowContentResponse],
    ) -> moderation_pb2.ShowContentResponse:
        """Show again what was hidden."""
        kind, subject_id = to.hideable(request.subject_kind), request.subject_id
        because = check_because(request.because)
        if not is_id(subject_id):
            raise SubjectNotFound(kind, subject_id)
        admin_id = UserId(require_viewer().user_id)
        async with self._database.transaction() as connection:
            await moderating.show(connection, moderating.Order(admin_id, kind, subject_id, because, self._clock()))
        return moderation_pb2.ShowContentResponse()

    async def SuspendUser(
        self,
        request: moderation_pb2.SuspendUserRequest,
        context: grpc.aio.ServicerContext[moderation_pb2.SuspendUserRequest, moderation_pb2.SuspendUserResponse],
    ) -> moderation_pb2.SuspendUserResponse:
        """Suspend a person."""
        order = self._order(request.user_id, request.because)
        async with self._database.transaction() as connection:
            cancelled = await custody.suspend(connection, order)
            account = await custody.find_account(connection, order.user_id)
        self._ring(cancelled)
        return moderation_pb2.SuspendUserResponse(account=to.account(account))

    async def ReinstateUser(
        self,
        request: moderation_pb2.ReinstateUserRequest,
        context: grpc.aio.ServicerContext[moderation_pb2.ReinstateUserRequest, moderation_pb2.ReinstateUserResponse],
    ) -> moderation_pb2.ReinstateUserResponse:
        """End a suspension."""
        order = self._order(request.user_id, request.because)
        async with self._database.transaction() as connection:
            await custody.reinstate(connection, order)
            account = await custody.find_account(connection, order.user_id)
        return moderation_pb2.ReinstateUserResponse(account=to.account(account))

    async def SetRole(
        self,
        request: moderation_pb2.SetRoleRequest,
        context: grpc.aio.ServicerContext[moderation_pb2.SetRoleRequest, moderation_pb2.SetRoleResponse],
    ) -> moderation_pb2.SetRoleResponse:
        """Change a role."""
        role = check_role(request.role)
        order = self._order(request.user_id, request.because)
        async with self._database.transaction() as connection:
            await custody.set_role(connection, order, role)
            account = await custody.find_account(connection, order.user_id)
        return moderation_pb2.SetRoleResponse(account=to.account(account))

    async def ListAuditLog(
        self,
        request: moderation_pb2.ListAuditLogRequest,
        context: grpc.aio.ServicerContext[moderation_pb2.ListAuditLogRequest, moderation_pb2.ListAuditLogResponse],
    ) -> moderation_pb2.ListAuditLogResponse:
        """List what admins did, newest first."""
        subject_id = fields.line(request.subject_id, "subject_id", longest=_LONGEST_SUBJECT)
        size = paging.page_size(request.page_size, _DEFAULT_AUDIT_PAGE, _LARGEST_PAGE)
        scope = f"ListAuditLog {subject_id}"
        key = paging.decode_token(scope, request.page_token, [is_id])
        async with self._database.connection() as connection:
            before = None if key is None else str(key[0])
            found = await audit.entries(connection, subject_id, before, size + 1)
        page = paging.cut(found, size, scope, lambda one: (one.entry_id,))
        return moderation_pb2.ListAuditLogResponse(
            entries=[to.audit_entry(one) for one in page.items], next_page_token=page.next_token
        )

    async def SearchUsers(
        self,
        request: moderation_pb2.SearchUsersRequest,
        context: grpc.aio.ServicerContext[moderation_pb2.SearchUsersRequest, moderation_pb2.SearchUsersResponse],
    ) -> moderation_pb2.SearchUsersResponse:
        """Find people."""
        query = fields.line(request.query, "query", longest=LONGEST_SEARCH)
        size = paging.page_size(request.page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
        scope = f"SearchUsers {query}"
        key = paging.decode_token(scope, request.page_token, [paging.is_text])
        async with self._database.connection() as connection:
            found = await custody_rows.search(connection, query, None if key is None else str(key[0]), size + 1)
        page = paging.cut(found, size, scope, lambda one: (custody_rows.key_of(one),))
        return moderation_pb2.SearchUsersResponse(
            accounts=[to.account(one) for one in page.items], next_page_token=page.next_token
        )

    def _order(self, user_id: str, because: str) -> Order:
        """Read whom something is done to, and why."""
        said = check_because(because)
        if not is_id(user_id):
            raise SubjectNotFound(Subject.USER, user_id, "user_id")
        return Order(UserId(require_viewer().user_id), UserId(user_id), said, self._clock())

    def _ring(self, job_ids: list[JobId]) -> None:
        """Wake who waits for jobs that were called off."""
        for job_id in job_ids:
            self._ended.ring(job_id)
