"""The errors that a mutation can return: one interface, one type per kind of remedy."""

from collections.abc import Iterable
from typing import Any, TypeVar

import strawberry

from services.chassis import errors as domain
from services.chassis.errors import DomainError
from services.gateway.errors import client_field, client_message

E = TypeVar("E", bound=DomainError, contravariant=True)
U = TypeVar("U", bound="UserError", covariant=True)

# About the token of the request, not the mutation: a top-level error everywhere, so that clients refresh in one place.
_TOKEN_REASONS = frozenset({"TOKEN_EXPIRED", "TOKEN_INVALID", "SESSION_REVOKED"})


@strawberry.interface(description="Something that the caller can do about: every error of a mutation is one.")
class UserError:
    """What every error type of a mutation has."""

    code: str = strawberry.field(description='Stable code, for example "LENGTH_OUT_OF_RANGE".')
    message: str = strawberry.field(description="Sentence for people that states value and limit.")
    field: str | None = strawberry.field(
        description='Path of the input that was wrong, for example "seeds[0].trackId".'
    )
    value: str | None = strawberry.field(description="The offending value, shortened.")
    limit: str | None = strawberry.field(description="The limit that it broke.")
    retry_after_ms: int | None = strawberry.field(description="How long to wait before trying again.")


@strawberry.type(description="The input is wrong, whatever the state.")
class InvalidInputError(UserError):
    """INVALID_ARGUMENT."""


@strawberry.type(description="There is no such thing, or it is not the caller's to see.")
class NotFoundError(UserError):
    """NOT_FOUND."""


@strawberry.type(description="Somebody was there first.")
class AlreadyExistsError(UserError):
    """ALREADY_EXISTS."""


@strawberry.type(description="The state does not allow it, or another change came between: read again and retry.")
class ConflictError(UserError):
    """FAILED_PRECONDITION and ABORTED."""


@strawberry.type(description="Log in first, or with other credentials.")
class UnauthenticatedError(UserError):
    """UNAUTHENTICATED."""


@strawberry.type(description="The caller is known and not allowed.")
class ForbiddenError(UserError):
    """PERMISSION_DENIED."""


@strawberry.type(description="A bound is reached; retry after `retryAfterMs`.")
class LimitReachedError(UserError):
    """RESOURCE_EXHAUSTED."""


@strawberry.type(description="A part that is needed is away for now; retry.")
class UnavailableError(UserError):
    """UNAVAILABLE, DEADLINE_EXCEEDED and UNIMPLEMENTED."""


Refusal = (
    InvalidInputError
    | NotFoundError
    | AlreadyExistsError
    | ConflictError
    | UnauthenticatedError
    | ForbiddenError
    | LimitReachedError
    | UnavailableError
)


# There they are about the input.
_ABOUT_TOKENS = frozenset({"sign_up", "log_in", "refresh"})


class RefusalHandler(strawberry.ExceptionHandler[E, U]):
    """Turns the domain errors of some kinds into the union member of one type."""

    def __init__(self, error_type: type[U], *kinds: type[E]) -> None:
        self.exception_type: Iterable[type[E]] = kinds
        self.error_type = error_type

    def handle(self, exception: E, *, field: Any, info: Any) -> U | None:
        """Build the member; None leaves the error to the top level."""
        if exception.reason in _TOKEN_REASONS and field.python_name not in _ABOUT_TOKENS:
            return None
        return self.error_type(
            code=exception.reason,
            message=client_message(exception),
            field=client_field(exception.field),
            value=exception.value,
            limit=exception.limit,
            retry_after_ms=exception.retry_after_ms,
        )


REFUSAL_HANDLERS = (
    RefusalHandler(InvalidInputError, domain.InvalidArgument),
    RefusalHandler(NotFoundError, domain.NotFound),
    RefusalHandler(AlreadyExistsError, domain.AlreadyExists),
    RefusalHandler(ConflictError, domain.FailedPrecondition, domain.Aborted),
    RefusalHandler(UnauthenticatedError, domain.Unauthenticated),
    RefusalHandler(ForbiddenError, domain.PermissionDenied),
    RefusalHandler(LimitReachedError, domain.ResourceExhausted),
    RefusalHandler(UnavailableError, domain.Unavailable, domain.DeadlineExceeded, domain.Unimplemented),
)
