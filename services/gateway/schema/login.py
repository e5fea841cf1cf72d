"""Beginning, keeping and ending one's session, with the refresh token in the answer or in a browser's cookie."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Self

import strawberry
from strawberry import field

from museed.social.v1 import accounts_pb2
from services.chassis.errors import FailedPrecondition, Unauthenticated
from services.gateway.context import Info, RequestContext
from services.gateway.cookies import Browser
from services.gateway.schema.account import Viewer
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import member, mutation
from services.gateway.schema.values import to_datetime


@strawberry.enum(description="Where a refresh token goes.")
class RefreshTokenPlace(Enum):
    """Of the answer."""

    BODY = member("body", "Into the answer: for mobile apps and programs.")
    COOKIE = member(
        "cookie",
        "Into a cookie that scripts cannot read: for web pages of this address or of an origin that is allowed here.",
    )


Place = RefreshTokenPlace


@strawberry.type(description="Tokens of a session.")
class TokenPair:
    """One short, one single-use."""

    access_token: str = field(description="For the header `Authorization: Bearer …`.")
    access_expires_at: datetime = field(description="When the access token ends.")
    refresh_token: str = field(description="For `refresh`; works once. Empty where it went into a cookie.")
    refresh_expires_at: datetime = field(description="When the refresh token ends.")

    @classmethod
    def delivered(cls, message: accounts_pb2.TokenPair, browser: Browser | None) -> Self:
        """Translate social's message, with the refresh token kept by a browser where there is one."""
        expires_at = to_datetime(message.refresh_expires_at)
        if browser is not None:
            browser.keep(message.refresh_token, expires_at)
        return cls(
            access_token=message.access_token,
            access_expires_at=to_datetime(message.access_expires_at),
            refresh_token="" if browser is not None else message.refresh_token,
            refresh_expires_at=expires_at,
        )


@strawberry.input(description="A new account.")
class SignUpInput:
    """For `signUp`."""

    username: str = field(description="3 to 30 of a–z, 0–9, `_`, `.` and `-`; unique, case-insensitive.")
    email: str = field(description="Unique, case-insensitive.")
    password: str = field(description="8 to 128 characters.")
    nickname: str | None = field(default=None, description="1 to 50 characters; without one the username is shown.")
    refresh_token_place: RefreshTokenPlace = field(default=Place.BODY, description="Where the refresh token goes.")
    idempotency_key: str | None = field(
        default=None,
        description="1 to 200 characters; repeating the request with it logs in to the account that was made, for 24 "
        "hours.",
    )


@strawberry.input(description="Who, and what proves it.")
class LogInInput:
    """For `logIn`."""

    login: str = field(description="Username or e-mail address.")
    password: str = field(description="The password.")
    refresh_token_place: RefreshTokenPlace = field(default=Place.BODY, description="Where the refresh token goes.")


@strawberry.input(description="A refresh token to trade.")
class RefreshInput:
    """For `refresh`."""

    refresh_token: str | None = field(
        default=None,
        description="The newest refresh token of the session; without one that of the cookie is traded, and the next "
        "one goes there.",
    )


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


def keeper(context: RequestContext, place: RefreshTokenPlace) -> Browser | None:
    """Return the browser that is to keep a refresh token; None where it goes into the answer.

    Asked before the session begins, so that a page that is not ours begins none.

    Raises:
        FailedPrecondition: COOKIE_NEEDS_HTTP: no header can be sent over a socket.
        PermissionDenied: ORIGIN_REFUSED.
    """
    if place is RefreshTokenPlace.BODY:
        return None
    if context.browser is None:
        raise FailedPrecondition("cookies need HTTP, this is a socket", reason="COOKIE_NEEDS_HTTP")
    context.browser.check()
    return context.browser


def forget_cookie(context: RequestContext) -> None:
    """Have the browser forget the refresh token of a session that has ended."""
    if context.browser is not None:
        context.browser.forget()


@strawberry.type
class LogInMutation:
    """Mutations of the session that one comes with."""

    @mutation("Makes an account and logs it in.")
    async def sign_up(self, info: Info, input: SignUpInput) -> SignUpResult:
        """Pass the account on; only social judges it."""
        browser = keeper(info.context, input.refresh_token_place)
        request = accounts_pb2.SignUpRequest(
            username=input.username,
            nickname=input.nickname or "",
            email=input.email,
            password=input.password,
            idempotency_key=input.idempotency_key or "",
        )
        method = info.context.parts.upstream.accounts.SignUp
        answer = await info.context.call(method, request, names_program=True)
        return SignUpSuccess(
            viewer=Viewer.from_message(answer.viewer), tokens=TokenPair.delivered(answer.tokens, browser)
        )

    @mutation("Starts a session.")
    async def log_in(self, info: Info, input: LogInInput) -> LogInResult:
        """Pass the credentials on."""
        browser = keeper(info.context, input.refresh_token_place)
        request = accounts_pb2.LogInRequest(login=input.login, password=input.password)
        method = info.context.parts.upstream.accounts.LogIn
        answer = await info.context.call(method, request, names_program=True)
        return LogInSuccess(
            viewer=Viewer.from_message(answer.viewer), tokens=TokenPair.delivered(answer.tokens, browser)
        )

    @mutation(
        "Trades a refresh token for a new pair. Shown again within 10 seconds it gets the same refresh token once "
        "more; later that ends its session. "
        "The authorization header does not matter here."
    )
    async def refresh(self, info: Info, input: RefreshInput) -> RefreshResult:
        """Pass the token on; a browser forgets one that is refused."""
        token, browser = input.refresh_token, None
        if token is None:
            browser = keeper(info.context, RefreshTokenPlace.COOKIE)
            token = browser.token if browser is not None else ""
            if not token:
                raise Unauthenticated("there is no refresh token in a cookie", reason="REFRESH_COOKIE_MISSING")
        request = accounts_pb2.RefreshSessionRequest(refresh_token=token)
        try:
            answer = await info.context.call(info.context.parts.upstream.accounts.RefreshSession, request)
        except Unauthenticated:
            if browser is not None:
                browser.forget()
            raise
        return RefreshSuccess(
            viewer=Viewer.from_message(answer.viewer), tokens=TokenPair.delivered(answer.tokens, browser)
        )

    @mutation("Ends the caller's session: its tokens and stream addresses are void within 5 s.")
    async def log_out(self, info: Info) -> LogOutResult:
        """Ask social to end it."""
        await info.context.call(info.context.parts.upstream.accounts.LogOut, accounts_pb2.LogOutRequest())
        forget_cookie(info.context)
        return LogOutSuccess(is_logged_out=True)
