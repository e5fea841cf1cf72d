"""Refusals about people, their names, passwords and sessions."""

from services.chassis.errors import AlreadyExists, ResourceExhausted, Unauthenticated


class NameTaken(AlreadyExists):
    """Somebody else has this username or e-mail address."""

    def __init__(self, field: str, value: str) -> None:
        super().__init__(f"this {field} is taken", reason=f"{field.upper()}_TAKEN", field=field, value=value)


class BadCredentials(Unauthenticated):
    """Unknown person or wrong password, and never which; of who is logged in it is the password, in `field`."""

    default_reason = "BAD_CREDENTIALS"

    def __init__(self, field: str | None = None) -> None:
        super().__init__("login or password is wrong" if field is None else f"{field} is wrong", field=field)


class RefreshRefused(Unauthenticated):
    """The refresh token cannot be traded: unknown, expired, revoked or used before."""


class TooManyAttempts(ResourceExhausted):
    """Too many log-ins failed for one login."""

    default_reason = "TOO_MANY_ATTEMPTS"

    def __init__(self, failures: int, limit: int, retry_after_ms: int) -> None:
        super().__init__(
            f"{failures} log-ins failed, limit is {limit}; wait {retry_after_ms // 1000} s",
            field="login",
            limit=limit,
            retry_after_ms=retry_after_ms,
        )


class PasswordQueueFull(ResourceExhausted):
    """More passwords wait to be checked than this process takes on."""

    default_reason = "OVERLOADED"

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} passwords wait already", limit=limit, retry_after_ms=1_000)
