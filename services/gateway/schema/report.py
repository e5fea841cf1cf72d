"""Reports of people, and what admins decide about them."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Self

import strawberry
from strawberry import field

from museed.social.v1 import moderation_pb2
from services.gateway.context import Info
from services.gateway.ids import decode_id
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import identity, member, mutation, resolver
from services.gateway.schema.moderation import SubjectKind, subject_id_of
from services.gateway.schema.paging import After, Connection, First, connection_from_page, page_request
from services.gateway.schema.user import User, load_user
from services.gateway.schema.values import optional_datetime, to_datetime


@strawberry.enum(description="Why something is reported.")
class ReportReason(Enum):
    """Social's reasons."""

    SPAM = member(moderation_pb2.REPORT_REASON_SPAM, "Advertising, or nonsense in bulk.")
    ABUSE = member(moderation_pb2.REPORT_REASON_ABUSE, "Against a person: insults, threats, pretending to be them.")
    HATE = member(moderation_pb2.REPORT_REASON_HATE, "Against a group of people.")
    SEXUAL = member(moderation_pb2.REPORT_REASON_SEXUAL, "Sexual content.")
    COPYRIGHT = member(moderation_pb2.REPORT_REASON_COPYRIGHT, "Rights of another are hurt.")
    OTHER = member(moderation_pb2.REPORT_REASON_OTHER, "Something else: the text says what.")


@strawberry.enum(description="Where a report stands.")
class ReportState(Enum):
    """Social's states."""

    OPEN = member(moderation_pb2.REPORT_STATE_OPEN, "It waits for an admin.")
    UPHELD = member(moderation_pb2.REPORT_STATE_UPHELD, "An admin agreed.")
    REJECTED = member(moderation_pb2.REPORT_STATE_REJECTED, "An admin did not agree.")


@strawberry.enum(description="What is done about what was reported.")
class ModerationAction(Enum):
    """Social's actions."""

    NONE = member(moderation_pb2.MODERATION_ACTION_NONE, "Nothing.")
    HIDE = member(
        moderation_pb2.MODERATION_ACTION_HIDE, "Only its owner and admins see it, until `showContent`; not for people."
    )
    DELETE = member(moderation_pb2.MODERATION_ACTION_DELETE, "It is deleted; not for people.")
    SUSPEND = member(moderation_pb2.MODERATION_ACTION_SUSPEND, "Its owner, or the person, is suspended.")


@strawberry.type(description="A report of a person, a playlist or a comment.")
class Report:
    """What somebody reported, as they and admins see it."""

    id: strawberry.ID = identity("Report", "report_id")
    report_id: strawberry.ID = field(description="Its UUID.")
    reporter_id: strawberry.ID = field(description="UUID of who reported.")
    subject_kind: SubjectKind | None = field(description="What it is about.")
    subject_id: strawberry.ID = field(description="UUID of what it is about.")
    reason: ReportReason = field(description="Why.")
    text: str = field(description="What the reporter wrote.")
    state: ReportState = field(description="Where it stands.")
    created_at: datetime = field(description="When it was filed.")
    decided_at: datetime | None = field(description="When it was decided; null while it is open.")
    decided_by_id: strawberry.ID | None = field(
        description="UUID of the admin who decided; null while it is open, and for others than admins."
    )
    subject_owner_id: strawberry.ID | None = field(
        description="UUID of whose the subject is; null once it is gone, and for others than admins."
    )
    subject_text: str | None = field(
        description="The subject in words as it is now, whatever its visibility; null once it is gone, and for others "
        "than admins."
    )

    @resolver("Who reported; null where the caller would not see them.")
    async def reporter(self, info: Info) -> User | None:
        """Load them together with all others of the document."""
        return await load_user(info.context, self.reporter_id)

    @resolver("Whose the subject is; null where it is gone or the caller would not see them.")
    async def subject_owner(self, info: Info) -> User | None:
        """Load them together with all others of the document."""
        return await load_user(info.context, self.subject_owner_id)

    @resolver("The admin who decided.")
    async def decided_by(self, info: Info) -> User | None:
        """Load them together with all others of the document."""
        return await load_user(info.context, self.decided_by_id)

    @classmethod
    def from_message(cls, message: moderation_pb2.Report) -> Self:
        """Translate social's message."""
        return cls(
            report_id=strawberry.ID(message.report_id),
            reporter_id=strawberry.ID(message.reporter_id),
            subject_kind=SubjectKind(message.subject_kind) if message.subject_kind else None,
            subject_id=strawberry.ID(message.subject_id),
            reason=ReportReason(message.reason),
            text=message.text,
            state=ReportState(message.state),
            created_at=to_datetime(message.created_at),
            decided_at=optional_datetime(message, "decided_at"),
            decided_by_id=strawberry.ID(message.decided_by) if message.decided_by else None,
            subject_owner_id=strawberry.ID(message.subject_owner_id) if message.subject_owner_id else None,
            subject_text=message.subject_text or None,
        )


@strawberry.input(description="What is wrong with what.")
class ReportContentInput:
    """For `reportContent`."""

    subject_kind: SubjectKind = field(description="USER, PLAYLIST or COMMENT.")
    subject_id: strawberry.ID = field(description="Global id or UUID of the person, playlist or comment.")
    reason: ReportReason = field(description="Why.")
    text: str | None = field(default=None, description="At most 1,000 characters; needed for OTHER.")


@strawberry.input(description="What an admin decides.")
class DecideReportInput:
    """For `decideReport`."""

    report_id: strawberry.ID = field(description="UUID of the report.")
    is_upheld: bool = field(description="Whether the reporter is right.")
    action: ModerationAction = field(
        default=ModerationAction.NONE, description="What is done; something only where the report is upheld."
    )
    because: str = field(description="Why, 1 to 1,000 characters; kept in the audit log.")


@strawberry.type(description="The report is filed; a second one of the same while it is open returns the first.")
class ReportContentSuccess:
    """Of `reportContent`."""

    report: Report = field(description="The report.")


@strawberry.type(description="The report is decided, and what was decided is done.")
class DecideReportSuccess:
    """Of `decideReport`."""

    report: Report = field(description="The report.")


ReportContentResult = Annotated[ReportContentSuccess | Refusal, strawberry.union("ReportContentResult")]
DecideReportResult = Annotated[DecideReportSuccess | Refusal, strawberry.union("DecideReportResult")]
StateFilter = Annotated[ReportState | None, strawberry.argument(description="Only those; else all.")]


@strawberry.type
class ReportQuery:
    """Queries about reports."""

    @resolver("Reports, oldest first. Admins only.")
    async def reports(
        self, info: Info, state: StateFilter = None, first: First = 20, after: After = None
    ) -> Connection[Report] | None:
        """List them."""
        page = page_request(first, after)
        request = moderation_pb2.ListReportsRequest(
            state=state.value if state is not None else moderation_pb2.REPORT_STATE_UNSPECIFIED,
            page_size=page.size,
            page_token=page.token,
        )
        answer = await info.context.call(info.context.parts.upstream.moderation.ListReports, request)
        return connection_from_page(
            page, [Report.from_message(each) for each in answer.reports], answer.next_page_token
        )


@strawberry.type
class ReportMutation:
    """Mutations of reports."""

    @mutation("Reports a person, a playlist or a comment that the caller can see.")
    async def report_content(self, info: Info, input: ReportContentInput) -> ReportContentResult:
        """Pass it on."""
        request = moderation_pb2.ReportContentRequest(
            subject_kind=input.subject_kind.value,
            subject_id=subject_id_of(input.subject_kind, input.subject_id),
            reason=input.reason.value,
            text=input.text or "",
        )
        answer = await info.context.call(info.context.parts.upstream.moderation.ReportContent, request)
        return ReportContentSuccess(report=Report.from_message(answer.report))

    @mutation("Decides a report; the same decision again does nothing. Admins only.")
    async def decide_report(self, info: Info, input: DecideReportInput) -> DecideReportResult:
        """Pass it on."""
        request = moderation_pb2.DecideReportRequest(
            report_id=decode_id(input.report_id, "Report", "reportId"),
            is_upheld=input.is_upheld,
            action=input.action.value,
            because=input.because,
        )
        answer = await info.context.call(info.context.parts.upstream.moderation.DecideReport, request)
        return DecideReportSuccess(report=Report.from_message(answer.report))
