"""Passwords and e-mail addresses: changing them, and the links that mails carry."""

from typing import Annotated

import strawberry
from strawberry import field

from museed.social.v1 import sessions_pb2
from services.gateway.context import Info
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import mutation
from services.gateway.schema.login import RefreshTokenPlace, TokenPair, forget_cookie, keeper


@strawberry.input(description="The password that holds and the one that shall.")
class ChangePasswordInput:
    """For `changePassword`."""

    current_password: str = field(description="The password that holds now.")
    new_password: str = field(
        description="8 to 128 characters, neither a common one nor the username or the e-mail address."
    )
    refresh_token_place: RefreshTokenPlace = field(
        default=RefreshTokenPlace.BODY, description="Where the new session's refresh token goes."
    )


@strawberry.input(description="Whose password is forgotten.")
class RequestPasswordResetInput:
    """For `requestPasswordReset`."""

    email: str = field(description="The account's address.")


@strawberry.input(description="What a mail said, and another password.")
class ResetPasswordInput:
    """For `resetPassword`."""

    token: str = field(description="What stands behind `#token=` in the mail's link; holds for an hour and once.")
    new_password: str = field(description="As in `changePassword`.")


@strawberry.input(description="Another address.")
class ChangeEmailInput:
    """For `changeEmail`."""

    password: str = field(description="The password that holds now.")
    email: str = field(description="Unique, case-insensitive.")


@strawberry.input(description="What a mail said.")
class VerifyEmailInput:
    """For `verifyEmail`."""

    token: str = field(description="What stands behind `#token=` in the mail's link; holds for a day and once.")


@strawberry.type(description="The password is another; every session and API token of the caller has ended.")
class ChangePasswordSuccess:
    """Of `changePassword`."""

    tokens: TokenPair = field(description="A new session for whoever changed it.")


@strawberry.type(description="If somebody has this address, a link is on its way: nobody is told whether.")
class RequestPasswordResetSuccess:
    """Of `requestPasswordReset`."""

    is_accepted: bool = field(description="Always true.")


@strawberry.type(description="The password is another; every session and API token of the person has ended.")
class ResetPasswordSuccess:
    """Of `resetPassword`."""

    is_reset: bool = field(description="Always true: log in with the new password.")


@strawberry.type(description="A link is on its way to the new address; the old one stays until it was opened.")
class ChangeEmailSuccess:
    """Of `changeEmail`."""

    email: str = field(description="The new address as it was given.")


@strawberry.type(description="The address is verified, and the account's where it was to become that.")
class VerifyEmailSuccess:
    """Of `verifyEmail`."""

    is_verified: bool = field(description="Always true.")


@strawberry.type(description="The link that verifies the caller's address is on its way.")
class RequestEmailVerificationSuccess:
    """Of `requestEmailVerification`."""

    is_sent: bool = field(description="Always true.")


ChangePasswordResult = Annotated[ChangePasswordSuccess | Refusal, strawberry.union("ChangePasswordResult")]
RequestPasswordResetResult = Annotated[
    RequestPasswordResetSuccess | Refusal, strawberry.union("RequestPasswordResetResult")
]
ResetPasswordResult = Annotated[ResetPasswordSuccess | Refusal, strawberry.union("ResetPasswordResult")]
ChangeEmailResult = Annotated[ChangeEmailSuccess | Refusal, strawberry.union("ChangeEmailResult")]
VerifyEmailResult = Annotated[VerifyEmailSuccess | Refusal, strawberry.union("VerifyEmailResult")]
RequestEmailVerificationResult = Annotated[
    RequestEmailVerificationSuccess | Refusal, strawberry.union("RequestEmailVerificationResult")
]


@strawberry.type
class CredentialMutation:
    """Mutations of what proves who somebody is."""

    @mutation("Changes the caller's password: every session and API token ends, a new session begins. No API tokens.")
    async def change_password(self, info: Info, input: ChangePasswordInput) -> ChangePasswordResult:
        """Pass both on."""
        browser = keeper(info.context, input.refresh_token_place)
        request = sessions_pb2.ChangePasswordRequest(
            current_password=input.current_password, new_password=input.new_password
        )
        method = info.context.parts.upstream.credentials.ChangePassword
        answer = await info.context.call(method, request, names_program=True)
        if browser is None:
            forget_cookie(info.context)  # of a session that has just ended
        return ChangePasswordSuccess(tokens=TokenPair.delivered(answer.tokens, browser))

    @mutation("Has a link mailed that sets another password. The authorization header does not matter here.")
    async def request_password_reset(self, info: Info, input: RequestPasswordResetInput) -> RequestPasswordResetResult:
        """Pass the address on."""
        request = sessions_pb2.RequestPasswordResetRequest(email=input.email)
        await info.context.call(info.context.parts.upstream.credentials.RequestPasswordReset, request)
        return RequestPasswordResetSuccess(is_accepted=True)

    @mutation("Sets another password by a mail's link. The authorization header does not matter here.")
    async def reset_password(self, info: Info, input: ResetPasswordInput) -> ResetPasswordResult:
        """Pass the link's token on."""
        request = sessions_pb2.ResetPasswordRequest(token=input.token, new_password=input.new_password)
        await info.context.call(info.context.parts.upstream.credentials.ResetPassword, request)
        return ResetPasswordSuccess(is_reset=True)

    @mutation("Has a link mailed that makes an address the caller's. No API tokens.")
    async def change_email(self, info: Info, input: ChangeEmailInput) -> ChangeEmailResult:
        """Pass both on."""
        request = sessions_pb2.ChangeEmailRequest(password=input.password, email=input.email)
        await info.context.call(info.context.parts.upstream.credentials.ChangeEmail, request)
        return ChangeEmailSuccess(email=input.email)

    @mutation("Verifies an address by a mail's link. The authorization header does not matter here.")
    async def verify_email(self, info: Info, input: VerifyEmailInput) -> VerifyEmailResult:
        """Pass the link's token on."""
        request = sessions_pb2.VerifyEmailRequest(token=input.token)
        await info.context.call(info.context.parts.upstream.credentials.VerifyEmail, request)
        return VerifyEmailSuccess(is_verified=True)

    @mutation("Has the link that verifies the caller's address mailed once more.")
    async def request_email_verification(self, info: Info) -> RequestEmailVerificationResult:
        """Ask social to send it."""
        method = info.context.parts.upstream.credentials.RequestVerification
        await info.context.call(method, sessions_pb2.RequestVerificationRequest())
        return RequestEmailVerificationSuccess(is_sent=True)
