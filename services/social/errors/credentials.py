"""Refusals about passwords, e-mail addresses, and how often something of them may be tried."""

from services.chassis.errors import FailedPrecondition, InvalidArgument, PermissionDenied, ResourceExhausted


class PasswordCommon(InvalidArgument):
    """A password is one of those that are tried first; it is never repeated."""

    default_reason = "PASSWORD_COMMON"

    def __init__(self, field: str, what: str) -> None:
        super().__init__(f"{field} is {what}, choose another one", field=field, limit="neither frequent nor a name")


class AccountSuspended(PermissionDenied):
    """The password was right, and the account is suspended; who knows why says so as the value."""

    default_reason = "ACCOUNT_SUSPENDED"

    def __init__(self, because: str = "") -> None:
        told = f": {because}" if because else ""
        super().__init__(f"this account is suspended{told}", value=because or None)


class SignUpQuotaReached(ResourceExhausted):
    """Too many sign-ups were tried in an hour, from one network or in the whole mesh."""

    default_reason = "SIGN_UP_QUOTA_REACHED"

    def __init__(self, limit: int, retry_after_ms: int) -> None:
        super().__init__(
            f"{limit} sign-ups an hour are taken; wait {retry_after_ms // 1000} s",
            limit=limit,
            retry_after_ms=retry_after_ms,
        )


class MailQuotaReached(ResourceExhausted):
    """As many mails were asked for in an hour as may be: to one address, or from one network."""

    default_reason = "MAIL_QUOTA_REACHED"

    def __init__(self, limit: int, retry_after_ms: int) -> None:
        super().__init__(
            f"{limit} mails an hour is the limit; wait {retry_after_ms // 1000} s",
            field="email",
            limit=limit,
            retry_after_ms=retry_after_ms,
        )


class MailTokenRefused(InvalidArgument):
    """A link's token is unknown, expired, used before or of another purpose, and never which."""

    default_reason = "MAIL_TOKEN_REFUSED"

    def __init__(self) -> None:
        super().__init__("this link does not hold any more, ask for another one", field="token")


class EmailAlreadyVerified(FailedPrecondition):
    """There is nothing to verify."""

    default_reason = "EMAIL_ALREADY_VERIFIED"

    def __init__(self) -> None:
        super().__init__("the address is verified already", field="email")
