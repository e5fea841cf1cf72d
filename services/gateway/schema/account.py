"""Accounts: people as everybody sees them, and who is asking."""

from datetime import datetime
from enum import Enum
from typing import Annotated, ClassVar, Self

import strawberry
from strawberry import field, relay

from museed.social.v1 import accounts_pb2, sessions_pb2
from services.chassis import auth
from services.gateway.context import Info, RequestContext
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import member, mutation, resolver
from services.gateway.schema.user import User as User
from services.gateway.schema.values import optional_datetime


@strawberry.enum(description="What an account may do.")
class Role(Enum):
    """Values as social writes them."""

    USER = member("user", "Everything that concerns oneself.")
    ADMIN = member("admin", "That, and looking after the library.")


def role_of(said: str) -> Role:
    """Read a role; one that a newer social knows gives no right here."""
    return Role.ADMIN if said == Role.ADMIN.value else Role.USER


@strawberry.type(description="The caller's own account.")
class Viewer(relay.Node):
    """What only its owner sees."""

    _id_attr: ClassVar[str | None] = "viewer_id"

    viewer_id: strawberry.Private[str]
    user: User = field(description="Its public part.")
    email: str = field(description="E-mail address, seen by its owner only.")
    role: Role = field(description="What it may do.")
    email_verified_at: datetime | None = field(description="When the address was verified; null while it is not.")
    locale: str = field(description='Language of mails, for example "en".')
    is_listed: bool = field(
        description="Whether the taste is compared with others' and the person recommended to them."
    )

    @classmethod
    def from_message(cls, message: accounts_pb2.Viewer) -> Self:
        """Translate social's message."""
        return cls(
            viewer_id=message.user.user_id,
            user=User.from_message(message.user),
            email=message.email,
            role=role_of(message.role),
            email_verified_at=optional_datetime(message, "email_verified_at"),
            locale=message.locale,
            is_listed=message.is_listed,
        )


@strawberry.input(description="What to change of oneself; what is left out stays.")
class UpdateProfileInput:
    """For `updateProfile`."""

    nickname: str | None = field(default=None, description="1 to 50 characters.")
    locale: str | None = field(default=None, description='Language of mails: "en" or "ko".')
    is_listed: bool | None = field(
        default=None, description="Whether the taste is compared with others' and the person recommended to them."
    )


@strawberry.type(description="The account is as wished.")
class UpdateProfileSuccess:
    """Of `updateProfile`."""

    viewer: Viewer = field(description="The account.")


UpdateProfileResult = Annotated[UpdateProfileSuccess | Refusal, strawberry.union("UpdateProfileResult")]


async def read_viewer(context: RequestContext) -> Viewer:
    """Ask social who holds the token.

    Raises:
        Unauthenticated: LOGIN_REQUIRED.
    """
    answer = await context.call(context.parts.upstream.accounts.GetViewer, accounts_pb2.GetViewerRequest())
    return Viewer.from_message(answer.viewer)


@strawberry.type
class AccountQuery:
    """Queries about accounts."""

    @resolver("The caller's own account; null for guests.")
    async def me(self, info: Info) -> Viewer | None:
        """Ask social who holds the token."""
        return None if auth.viewer() is None else await read_viewer(info.context)


@strawberry.type
class AccountMutation:
    """Mutations of one's account."""

    @mutation("Changes what others see of the caller. API tokens may not.")
    async def update_profile(self, info: Info, input: UpdateProfileInput) -> UpdateProfileResult:
        """Pass on what was given; null means nothing here, since nothing of it can be taken away."""
        request = sessions_pb2.UpdateProfileRequest(
            nickname=input.nickname, locale=input.locale, is_listed=input.is_listed
        )
        answer = await info.context.call(info.context.parts.upstream.credentials.UpdateProfile, request)
        return UpdateProfileSuccess(viewer=Viewer.from_message(answer.viewer))
