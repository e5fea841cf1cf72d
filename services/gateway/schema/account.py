"""Accounts: who is asking, signing up, logging in and out."""

from datetime import datetime
from enum import Enum
from typing import Annotated, ClassVar, Self

import strawberry
from strawberry import field, relay

from museed.social.v1 import accounts_pb2
from services.chassis import auth
from services.gateway.context import Info, RequestContext
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import member, mutation, resolver
from services.gateway.schema.values import to_datetime


@strawberry.enum(description="What an account may do.")
class Role(Enum):
    """Values as social writes them."""

    USER = member("user", "Everything that concerns oneself.")
    ADMIN = member("admin", "That, and looking after the library.")


@strawberry.type(description="A person as everybody may see them.")
class User(relay.Node):
    """Public part of an account."""

    _id_attr: ClassVar[str | None] = "user_id"

    user_id: strawberry.ID = field(description="Its UUID.")
    username: str = field(description="Unique name, case-insensitive.")
    nickname: str = field(description="Name shown to others.")
    created_at: datetime = field(description="When the account was made.")

    @classmethod
    def from_message(cls, message: accounts_pb2.User) -> Self:
        """Translate social's message."""
        return cls(
            user_id=strawberry.ID(message.user_id),
            username=message.username,
            nickname=message.nickname,
            created_at=to_datetime(message.created_at),
        )


@strawberry.type(description="The caller's own account.")
class Viewer:
    """What only its owner sees."""

    user: User = field(description="Its public part.")
    email: str = field(description="E-mail address, seen by its owner only.")
    role: Role = field(description="What it may do.")

    @classmethod
    def from_message(cls, message: accounts_pb2.Viewer) -> Self:
        """Translate social's message."""
        return cls(user=User.from_message(message.user), email=message.email, role=Role(message.role))


@strawberry.type(description="Tokens of a session.")
class TokenPair:
    """One short, one single-use."""

    access_token: str = field(description="For the header `Authorization: Bearer …`.")
    access_expires_at: datetime = field(description="When the access token ends.")
    refresh_token: str = field(description="For `refresh`; works once.")
    refresh_expires_at: datetime = field(description="When the refresh token ends.")

    @classmethod
    def from_message(cls, message: accounts_pb2.TokenPair) -> Self:
        """Translate social's message."""
        return cls(
            access_token=message.access_token,
            access_expires_at=to_datetime(message.access_expires_at),
            refresh_token=message.refresh_token,
            refresh_expires_at=to_datetime(message.refresh_expires_at),
        )


@strawberry.input(description="A new account.")
class SignUpInput:
    """For `signUp`."""

    username: str = field(description="3 to 30 of a–z, 0–9, `_`, `.` and `-`; unique, case-insensitive.")
    email: str = field(description="Unique, case-insensitive.")
    password: str = field(description="8 to 128 characters.")
    nickname: str | None = field(default=None, description="1 to 50 characters; without one the username is shown.")


@strawberry.input(description="Who, and what proves it.")
class LogInInput:
    """For `logIn`."""

    login: str = field(description="Username or e-mail address.")
    password: str = field(description="The password.")


@strawberry.input(description="A refresh token to trade.")
class RefreshInput:
    """For `refresh`."""

    refresh_token: str = field(description="The newest refresh token of the session.")


@strawberry.type(description="The account was made and is logged in.")
class SignUpSuccess:
    """Of `signUp`."""

    viewer: Viewer = field(description="The new account.")
    tokens: TokenPair = field(description="Its first session.")


@strawberry.type(description="The account is logged in.")
class LogInSuccess:
    """Of `logIn`."""

    viewer: Viewer = field(description="The account.")
    tokens: TokenPair = field(description="The new session.")


@strawberry.type(description="The session goes on.")
class RefreshSuccess:
    """Of `refresh`."""

    viewer: Viewer = field(description="The account.")
    tokens: TokenPair = field(description="The next pair; the one before is used up.")


@strawberry.type(description="The session has ended.")
class LogOutSuccess:
    """Of `logOut`."""

    is_logged_out: bool = field(description="Always true.")


SignUpResult = Annotated[SignUpSuccess | Refusal, strawberry.union("SignUpResult")]
LogInResult = Annotated[LogInSuccess | Refusal, strawberry.union("LogInResult")]
RefreshResult = Annotated[RefreshSuccess | Refusal, strawberry.union("RefreshResult")]
LogOutResult = Annotated[LogOutSuccess | Refusal, strawberry.union("LogOutResult")]


async def load_user(context: RequestContext, user_id: str | None) -> User | None:
    """Return a person through the loader; None for nobody, and where there is none."""
    message = await context.loaders.users.load(user_id) if user_id else None
    return None if message is None else User.from_message(message)


@strawberry.type
class AccountQuery:
    """Queries about accounts."""

    @resolver("The caller's own account; null for guests.")
    async def me(self, info: Info) -> Viewer | None:
        """Ask social who holds the token."""
        if auth.viewer() is None:
            return None
        answer = await info.context.call(
            info.context.parts.upstream.accounts.GetViewer, accounts_pb2.GetViewerRequest()
        )
        return Viewer.from_message(answer.viewer)


@strawberry.type
class AccountMutation:
    """Mutations of accounts and sessions."""

    @mutation("Makes an account and logs it in.")
    async def sign_up(self, info: Info, input: SignUpInput) -> SignUpResult:
        """Pass the account on; only social judges it."""
        request = accounts_pb2.SignUpRequest(
            username=input.username, nickname=input.nickname or "", email=input.email, password=input.password
        )
        answer = await info.context.call(info.context.parts.upstream.accounts.SignUp, request)
        return SignUpSuccess(viewer=Viewer.from_message(answer.viewer), tokens=TokenPair.from_message(answer.tokens))

    @mutation("Starts a session.")
    async def log_in(self, info: Info, input: LogInInput) -> LogInResult:
        """Pass the credentials on."""
        request = accounts_pb2.LogInRequest(login=input.login, password=input.password)
        answer = await info.context.call(info.context.parts.upstream.accounts.LogIn, request)
        return LogInSuccess(viewer=Viewer.from_message(answer.viewer), tokens=TokenPair.from_message(answer.tokens))

    @mutation(
        "Trades a refresh token for a new pair; one that is used twice ends its session. "
        "The authorization header does not matter here."
    )
    async def refresh(self, info: Info, input: RefreshInput) -> RefreshResult:
        """Pass the token on."""
        request = accounts_pb2.RefreshSessionRequest(refresh_token=input.refresh_token)
        answer = await info.context.call(info.context.parts.upstream.accounts.RefreshSession, request)
        return RefreshSuccess(viewer=Viewer.from_message(answer.viewer), tokens=TokenPair.from_message(answer.tokens))

    @mutation("Ends the caller's session: its tokens and stream addresses are void within 5 s.")
    async def log_out(self, info: Info) -> LogOutResult:
        """Ask social to end it."""
        await info.context.call(info.context.parts.upstream.accounts.LogOut, accounts_pb2.LogOutRequest())
        return LogOutSuccess(is_logged_out=True)
