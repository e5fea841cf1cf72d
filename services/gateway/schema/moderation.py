"""What admins do with people and content, and the log of it. Social admits admins only."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Self

import strawberry
from strawberry import field

from museed.social.v1 import moderation_pb2
from services.chassis.errors import InvalidArgument
from services.gateway.context import Info
from services.gateway.ids import decode_global_id, decode_id
from services.gateway.schema.account import Role, role_of
from services.gateway.schema.comment import Comment, find_comment
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import member, mutation, resolver
from services.gateway.schema.paging import After, Connection, First, connection_from_page, page_request
from services.gateway.schema.playlist import Playlist, find_playlist
from services.gateway.schema.user import User, load_user
from services.gateway.schema.values import optional_datetime, to_datetime


@strawberry.enum(description="What a report or an entry of the audit log is about.")
class SubjectKind(Enum):
    """Social's kinds."""

    USER = member(moderation_pb2.SUBJECT_KIND_USER, "A person.")
    PLAYLIST = member(moderation_pb2.SUBJECT_KIND_PLAYLIST, "A playlist.")
    COMMENT = member(moderation_pb2.SUBJECT_KIND_COMMENT, "A comment.")
    REPORT = member(moderation_pb2.SUBJECT_KIND_REPORT, "A report; in the audit log only.")
    ROOT = member(moderation_pb2.SUBJECT_KIND_ROOT, "A root of the library; in the audit log only.")
    ENCODER = member(moderation_pb2.SUBJECT_KIND_ENCODER, "An encoder; in the audit log only.")
    DEAD_LETTER = member(moderation_pb2.SUBJECT_KIND_DEAD_LETTER, "A dead letter; in the audit log only.")


@strawberry.type(description="A person as admins see them, suspended and deleted ones too.")
class Account:
    """A person with what is kept from others."""

    user: User = field(description="Public part.")
    email: str = field(description="The address; empty once the account is deleted.")
    role: Role = field(description="What the person may do.")
    email_verified_at: datetime | None = field(description="When the address was verified; null while it is not.")
    suspended_at: datetime | None = field(description="Since when the person is suspended; null where they are not.")
    suspended_because: str | None = field(description="Why, as the admin said.")
    deleted_at: datetime | None = field(description="When the account was deleted; null where it was not.")

    @classmethod
    def from_message(cls, message: moderation_pb2.Account) -> Self:
        """Translate social's message."""
        return cls(
            user=User.from_message(message.user),
            email=message.email,
            role=role_of(message.role),
            email_verified_at=optional_datetime(message, "email_verified_at"),
            suspended_at=optional_datetime(message, "suspended_at"),
            suspended_because=message.suspended_because or None,
            deleted_at=optional_datetime(message, "deleted_at"),
        )


@strawberry.type(description="What an admin did. Entries are never changed and never deleted.")
class AuditEntry:
    """A line of the log."""

    entry_id: strawberry.ID = field(description="Its UUID.")
    actor_id: strawberry.ID | None = field(description="UUID of who did it.")
    action: str = field(description='For example "suspend_user".')
    subject_kind: SubjectKind | None = field(description="What it was done to; null where it was nothing of these.")
    subject_id: strawberry.ID | None = field(description="Its UUID or name; null where it was nothing of these.")
    because: str = field(description="Why, as the admin said.")
    detail: str = field(description="What else there is to say, as the text of a JSON object.")
    request_id: str = field(description="Request that did it, as logs have it.")
    at: datetime = field(description="When.")

    @resolver("Who did it; null where they have left.")
    async def actor(self, info: Info) -> User | None:
        """Load them together with all others of the document."""
        return await load_user(info.context, self.actor_id)

    @classmethod
    def from_message(cls, message: moderation_pb2.AuditEntry) -> Self:
        """Translate social's message."""
        return cls(
            entry_id=strawberry.ID(message.entry_id),
            actor_id=strawberry.ID(message.actor_id) if message.actor_id else None,
            action=message.action,
            subject_kind=SubjectKind(message.subject_kind) if message.subject_kind else None,
            subject_id=strawberry.ID(message.subject_id) if message.subject_id else None,
            because=message.because,
            detail=message.detail,
            request_id=message.request_id,
            at=to_datetime(message.at),
        )


@strawberry.input(description="Whom to suspend.")
class SuspendUserInput:
    """For `suspendUser`."""

    user_id: strawberry.ID = field(description="Global id or UUID of the person.")
    because: str = field(description="Why, 1 to 1,000 characters; the person is told.")


@strawberry.input(description="Whom to reinstate.")
class ReinstateUserInput:
    """For `reinstateUser`."""

    user_id: strawberry.ID = field(description="Global id or UUID of the person.")
    because: str = field(description="Why, 1 to 1,000 characters; kept in the audit log.")


@strawberry.input(description="Whose role.")
class SetRoleInput:
    """For `setRole`."""

    user_id: strawberry.ID = field(description="Global id or UUID of the person.")
    role: Role = field(description="What they may do from now on.")
    because: str = field(description="Why, 1 to 1,000 characters; kept in the audit log.")


@strawberry.input(description="What is shown again.")
class ShowContentInput:
    """For `showContent`."""

    subject_kind: SubjectKind = field(description="PLAYLIST or COMMENT.")
    subject_id: strawberry.ID = field(description="Global id or UUID of the playlist or comment.")
    because: str = field(description="Why, 1 to 1,000 characters; kept in the audit log.")


@strawberry.type(description="The person is suspended: sessions have ended, and what is theirs is hidden.")
class SuspendUserSuccess:
    """Of `suspendUser`."""

    account: Account = field(description="The account.")


@strawberry.type(description="The suspension has ended.")
class ReinstateUserSuccess:
    """Of `reinstateUser`."""

    account: Account = field(description="The account.")


@strawberry.type(description="The role is as wished; where it was another, the person's sessions have ended.")
class SetRoleSuccess:
    """Of `setRole`."""

    account: Account = field(description="The account.")


@strawberry.type(description="It is not hidden any more.")
class ShowContentSuccess:
    """Of `showContent`."""

    subject_kind: SubjectKind = field(description="What it is.")
    subject_id: strawberry.ID = field(description="UUID of the playlist or comment.")

    @resolver("The playlist; null where it is a comment, and where the caller may not open it.")
    async def playlist(self, info: Info) -> Playlist | None:
        """Load it where it is asked for."""
        return await find_playlist(info.context, self.subject_id) if self.subject_kind is SubjectKind.PLAYLIST else None

    @resolver("The comment; null where it is a playlist, and where the caller may not see it.")
    async def comment(self, info: Info) -> Comment | None:
        """Load it where it is asked for."""
        return await find_comment(info.context, self.subject_id) if self.subject_kind is SubjectKind.COMMENT else None


SuspendUserResult = Annotated[SuspendUserSuccess | Refusal, strawberry.union("SuspendUserResult")]
ReinstateUserResult = Annotated[ReinstateUserSuccess | Refusal, strawberry.union("ReinstateUserResult")]
SetRoleResult = Annotated[SetRoleSuccess | Refusal, strawberry.union("SetRoleResult")]
ShowContentResult = Annotated[ShowContentSuccess | Refusal, strawberry.union("ShowContentResult")]

NamePart = Annotated[
    str,
    strawberry.argument(description="Beginning of a username, a nickname or an e-mail address; empty lists all."),
]
SubjectFilter = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="Only what was done to this: a global id, a UUID or a name; else all."),
]


def subject_id_of(kind: SubjectKind, given: str) -> str:
    """Return the UUID of a person, a playlist or a comment.

    Raises:
        InvalidArgument: ID_INVALID or ID_OF_ANOTHER_TYPE.
    """
    return decode_id(given, kind.name.title(), "subjectId")


@strawberry.type
class ModerationQuery:
    """Queries for who keeps the house."""

    @resolver("People by username, nickname or e-mail address, suspended and deleted ones too. Admins only.")
    async def search_accounts(
        self, info: Info, query: NamePart = "", first: First = 20, after: After = None
    ) -> Connection[Account] | None:
        """Search."""
        page = page_request(first, after)
        request = moderation_pb2.SearchUsersRequest(query=query, page_size=page.size, page_token=page.token)
        answer = await info.context.call(info.context.parts.upstream.moderation.SearchUsers, request)
        nodes = [Account.from_message(each) for each in answer.accounts]
        return connection_from_page(page, nodes, answer.next_page_token)

    @resolver("What admins did, newest first. Admins only.")
    async def audit_log(
        self, info: Info, subject_id: SubjectFilter = None, first: First = 50, after: After = None
    ) -> Connection[AuditEntry] | None:
        """List it."""
        page = page_request(first, after)
        request = moderation_pb2.ListAuditLogRequest(
            subject_id=_subject(subject_id or ""), page_size=page.size, page_token=page.token
        )
        answer = await info.context.call(info.context.parts.upstream.moderation.ListAuditLog, request)
        nodes = [AuditEntry.from_message(each) for each in answer.entries]
        return connection_from_page(page, nodes, answer.next_page_token)


def _subject(given: str) -> str:
    """Return what the log calls a subject: encoders and letters have names, all else UUIDs."""
    try:
        return decode_global_id(given, "subjectId")[1]
    except InvalidArgument:
        return given


@strawberry.type
class ModerationMutation:
    """Mutations for who keeps the house."""

    @mutation("Suspends a person; doing it again does nothing. Admins only.")
    async def suspend_user(self, info: Info, input: SuspendUserInput) -> SuspendUserResult:
        """Pass it on."""
        user_id = decode_id(input.user_id, "User", "userId")
        request = moderation_pb2.SuspendUserRequest(user_id=user_id, because=input.because)
        answer = await info.context.call(info.context.parts.upstream.moderation.SuspendUser, request)
        return SuspendUserSuccess(account=Account.from_message(answer.account))

    @mutation("Ends a suspension; doing it again does nothing. Admins only.")
    async def reinstate_user(self, info: Info, input: ReinstateUserInput) -> ReinstateUserResult:
        """Pass it on."""
        user_id = decode_id(input.user_id, "User", "userId")
        request = moderation_pb2.ReinstateUserRequest(user_id=user_id, because=input.because)
        answer = await info.context.call(info.context.parts.upstream.moderation.ReinstateUser, request)
        return ReinstateUserSuccess(account=Account.from_message(answer.account))

    @mutation("Changes a person's role and ends their sessions; doing it again does nothing. Admins only.")
    async def set_role(self, info: Info, input: SetRoleInput) -> SetRoleResult:
        """Pass it on."""
        user_id = decode_id(input.user_id, "User", "userId")
        request = moderation_pb2.SetRoleRequest(user_id=user_id, role=input.role.value, because=input.because)
        answer = await info.context.call(info.context.parts.upstream.moderation.SetRole, request)
        return SetRoleSuccess(account=Account.from_message(answer.account))

    @mutation("Takes the hiding of a playlist or a comment back; doing it again does nothing. Admins only.")
    async def show_content(self, info: Info, input: ShowContentInput) -> ShowContentResult:
        """Pass it on."""
        subject_id = subject_id_of(input.subject_kind, input.subject_id)
        request = moderation_pb2.ShowContentRequest(
            subject_kind=input.subject_kind.value, subject_id=subject_id, because=input.because
        )
        await info.context.call(info.context.parts.upstream.moderation.ShowContent, request)
        return ShowContentSuccess(subject_kind=input.subject_kind, subject_id=strawberry.ID(subject_id))
