"""The errors that cross a border, and nothing of how they travel.

DomainError
├── InvalidArgument       the input is wrong, whatever the state
├── NotFound              no such thing, or not for this caller
├── AlreadyExists         somebody was there first
├── FailedPrecondition    the state does not allow it
├── Aborted               another change came between; read again and retry
├── Unauthenticated       no proof, or a void one, of who asks
├── PermissionDenied      known, and not allowed
├── ResourceExhausted     a bound is reached; retry after `retry_after_ms`
├── DeadlineExceeded      the caller's time is over
├── Unavailable           a part that is needed is away; retry
├── Unimplemented         not offered by this process as it is set up
└── Internal              a fault of ours

`services.chassis.border` turns them into a gRPC status with ErrorInfo and BadRequest; `services.chassis.channel` turns
that back into the same classes.
"""

from enum import StrEnum
from typing import ClassVar

_MAX_MESSAGE_BYTES = 1000


class Code(StrEnum):
    """Canonical status codes by name, free of any transport."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    UNAVAILABLE = "UNAVAILABLE"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"


class DomainError(Exception):
    """An error that a caller can act on: a stable reason, and the field, the value and the limit where they apply.

    Args:
        message: A sentence for people that states value and limit, for example "length is 10000, limit is 500"; cut
            after 1,000 bytes of UTF-8: a status travels in headers, of which gRPC takes 8 KiB.
        reason: Stable code in UPPER_SNAKE_CASE; defaults to the class's own.
        field: Path of the input that was wrong, as in the request message, for example "recipe.length".
        value: The offending value, shortened to 200 characters.
        limit: The limit that it broke.
        retry_after_ms: How long a caller should wait before it tries again.
    """

    code: ClassVar[Code] = Code.INTERNAL
    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        field: str | None = None,
        value: object = None,
        limit: object = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = _shortened(message)
        self.reason = reason or self.default_reason
        self.field = field
        self.value = None if value is None else str(value)[:200]
        self.limit = None if limit is None else str(limit)
        self.retry_after_ms = retry_after_ms

    @property
    def metadata(self) -> dict[str, str]:
        """Everything but reason and message, as it travels in ErrorInfo.metadata."""
        found = {
            "field": self.field,
            "value": self.value,
            "limit": self.limit,
            "retry_after_ms": None if self.retry_after_ms is None else str(self.retry_after_ms),
        }
        return {key: value for key, value in found.items() if value is not None}


def _shortened(message: str) -> str:
    data = message.encode(errors="replace")
    return message if len(data) <= _MAX_MESSAGE_BYTES else data[:_MAX_MESSAGE_BYTES].decode(errors="ignore") + "…"


class InvalidArgument(DomainError):
    """The input is wrong, whatever the state."""

    code = Code.INVALID_ARGUMENT
    default_reason = "INVALID_ARGUMENT"


class NotFound(DomainError):
    """There is no such thing, or this caller may not know of it."""

    code = Code.NOT_FOUND
    default_reason = "NOT_FOUND"


class AlreadyExists(DomainError):
    """Somebody was there first."""

    code = Code.ALREADY_EXISTS
    default_reason = "ALREADY_EXISTS"


class FailedPrecondition(DomainError):
    """The state of the system does not allow it."""

    code = Code.FAILED_PRECONDITION
    default_reason = "FAILED_PRECONDITION"


class Aborted(DomainError):
    """Another change came between; read again and retry."""

    code = Code.ABORTED
    default_reason = "ABORTED"


class Unauthenticated(DomainError):
    """No proof, or a void one, of who asks."""

    code = Code.UNAUTHENTICATED
    default_reason = "UNAUTHENTICATED"


class PermissionDenied(DomainError):
    """The caller is known and not allowed."""

    code = Code.PERMISSION_DENIED
    default_reason = "PERMISSION_DENIED"


class ResourceExhausted(DomainError):
    """A bound is reached; retry after `retry_after_ms`."""

    code = Code.RESOURCE_EXHAUSTED
    default_reason = "RESOURCE_EXHAUSTED"


class DeadlineExceeded(DomainError):
    """The caller's time is over."""

    code = Code.DEADLINE_EXCEEDED
    default_reason = "DEADLINE_EXCEEDED"


class Unavailable(DomainError):
    """A part that is needed is away for now."""

    code = Code.UNAVAILABLE
    default_reason = "UNAVAILABLE"


class Unimplemented(DomainError):
    """Not offered by this process as it is set up."""

    code = Code.UNIMPLEMENTED
    default_reason = "UNIMPLEMENTED"


class Internal(DomainError):
    """A fault of ours; its text tells nothing of the inside."""


BY_CODE: dict[Code, type[DomainError]] = {
    kind.code: kind
    for kind in (
        InvalidArgument,
        NotFound,
        AlreadyExists,
        FailedPrecondition,
        Aborted,
        Unauthenticated,
        PermissionDenied,
        ResourceExhausted,
        DeadlineExceeded,
        Unavailable,
        Unimplemented,
        Internal,
    )
}
