"""What goes wrong for a client, as one kind of error."""

from typing import Any

# What is over by itself in a while, as a type of refusal and as codes.
UNAVAILABLE = "UnavailableError"
_TRANSIENT_CODES = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED"})


class ClientError(Exception):
    """The gateway refused, or could not be reached; the text is for people, `code` for programs.

    Attributes:
        code: Stable code of this very case, for example "LENGTH_OUT_OF_RANGE".
        field: Path of the input that was wrong.
        value: The offending value, shortened.
        limit: The limit that it broke.
        retry_after_ms: How long to wait before trying again, where the gateway says so.
        is_transient: Whether the same call may succeed later.
    """

    def __init__(
        self,
        message: str,
        code: str = "UNAVAILABLE",
        *,
        field: str | None = None,
        value: str | None = None,
        limit: str | None = None,
        retry_after_ms: int | None = None,
        is_transient: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.field = field
        self.value = value
        self.limit = limit
        self.retry_after_ms = retry_after_ms
        self.is_transient = is_transient or retry_after_ms is not None


def told_error(details: dict[str, Any], fallback: str) -> ClientError:
    """Return the error that an answer tells of: of a plain route, or the extensions of one of GraphQL's.

    Args:
        details: What is told of it.
        fallback: Text where none is told.
    """
    return ClientError(
        details.get("message") or fallback,
        details.get("reason") or details.get("code") or "REFUSED",
        field=details.get("field"),
        value=details.get("value"),
        limit=details.get("limit"),
        retry_after_ms=details.get("retryAfterMs"),
        is_transient=details.get("code") in _TRANSIENT_CODES or details.get("__typename") == UNAVAILABLE,
    )


def answered_error(error: dict[str, Any]) -> ClientError:
    """Return the error of one item of an answer's `errors`."""
    return told_error({**error.get("extensions", {}), "message": error.get("message")}, "the operation failed")
