"""How errors look to clients: a coded GraphQL error, a member of a mutation's union, or JSON of a plain route.

The errors themselves are those of `services.chassis.errors`: raised here at the border, or brought back from upstream
by `services.chassis.channel`. What was not expected is masked, with an id that finds its log line.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from graphql import GraphQLError, GraphQLSyntaxError

from services.chassis import telemetry
from services.chassis.errors import Code, DomainError, Internal, InvalidArgument, NotFound, ResourceExhausted

logger = logging.getLogger(__name__)

_HTTP_STATUS = {
    Code.INVALID_ARGUMENT: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.FAILED_PRECONDITION: 409,
    Code.ABORTED: 409,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE_EXCEEDED: 504,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
}
# Where HTTP has a better word than the code alone gives.
_HTTP_STATUS_BY_REASON = {
    "METHOD_NOT_ALLOWED": 405,
    "UPLOAD_STALLED": 408,
    "REQUEST_STALLED": 408,
    "BODY_TOO_LARGE": 413,
    "UPLOAD_TOO_LARGE": 413,
    "CONTENT_TYPE_REFUSED": 415,
    "UPLOAD_NOT_AUDIO": 415,
    "HEADERS_TOO_LARGE": 431,
    "TUS_VERSION_UNKNOWN": 412,
    "UPLOAD_CHUNK_TOO_LARGE": 413,
    "UPLOAD_CHECKSUM_MISMATCH": 460,
}
_OURS = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.INTERNAL})
# Names of upstream request fields that GraphQL calls otherwise.
_RENAMED = {"page_size": "first", "page_token": "after"}
# How graphql-core words its own bounds; a test holds them.
_TOO_LARGE = re.compile(r"contains more than (\d+) (tokens|comments|code points)\.")
_TOO_DEEP = "nested too deeply"
_SUGGESTION = re.compile(r" Did you mean .*\?", re.DOTALL)


def http_status(error: DomainError) -> int:
    """Return the HTTP status of an error on a plain route."""
    return _HTTP_STATUS_BY_REASON.get(error.reason) or _HTTP_STATUS[error.code]


def client_field(path: str | None) -> str | None:
    """Turn the path of an upstream request field into that of the GraphQL input.

    For example "recipe.seeds[0].track_id" into "seeds[0].trackId".
    """
    if path is None:
        return None
    parts = path.removeprefix("recipe.").split(".")
    return ".".join(_camel_case(_RENAMED.get(part, part)) for part in parts)


def client_message(error: DomainError) -> str:
    """Return an error's sentence with the input called as clients call it."""
    shown = client_field(error.field)
    return error.message.replace(error.field, shown) if error.field and shown else error.message


def _camel_case(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name)


@contextmanager
def asked_by(argument: str) -> Iterator[None]:
    """Let what is not found be about the argument by which a query asked, whatever upstream calls it."""
    try:
        yield
    except NotFound as error:
        error.field = argument
        raise


def describe(error: DomainError) -> dict[str, Any]:
    """Return everything but the message, by the names that clients see; what does not apply is left out."""
    found = {
        "code": error.code.value,
        "reason": error.reason,
        "field": client_field(error.field),
        "value": error.value,
        "limit": error.limit,
        "retryAfterMs": error.retry_after_ms,
    }
    return {name: value for name, value in found.items() if value is not None}


def masked(error: BaseException, **where: object) -> Internal:
    """Log an error that nobody expected, and return what a client may see of it."""
    logger.error("unexpected_error", exc_info=error, extra=where)
    return Internal(f"internal error, its id is {telemetry.request_id()}")


def is_ours(error: GraphQLError) -> bool:
    """Say whether something of ours is broken, away or too slow, and not the operation or its sender at fault."""
    cause = error.original_error
    if isinstance(cause, DomainError):
        return cause.code in _OURS
    return not (isinstance(error, GraphQLSyntaxError) or cause is None or isinstance(cause, GraphQLError))


def present(error: GraphQLError, *, with_suggestions: bool = True) -> None:
    """Give a GraphQL error its final message and extensions, in place.

    Args:
        error: Of graphql-core, whatever caused it.
        with_suggestions: Whether names of the schema that are like those of the document may be told.
    """
    cause = error.original_error
    if isinstance(cause, DomainError) and not isinstance(cause, Internal):
        shown = cause
    elif isinstance(error, GraphQLSyntaxError):
        shown = _of_syntax(error)
    elif cause is None or (isinstance(cause, GraphQLError) and (cause.nodes or not error.path)):
        # About the document, its variables or arguments: graphql-core's own words. What has a path and no place in
        # the document is a value of ours that its type cannot tell.
        text = error.message if with_suggestions else _SUGGESTION.sub("", error.message)
        shown = InvalidArgument(text, reason="DOCUMENT_INVALID")
    else:
        shown = masked(cause, path=error.path)
    error.message = client_message(shown)
    error.extensions = describe(shown)
    if isinstance(shown, Internal):
        error.extensions["errorId"] = telemetry.request_id()


def _of_syntax(error: GraphQLSyntaxError) -> DomainError:
    if found := _TOO_LARGE.search(error.message):
        return ResourceExhausted(
            f"the document has more than {found[1]} {found[2]}",
            reason="DOCUMENT_TOO_LARGE",
            field="query",
            limit=found[1],
        )
    if _TOO_DEEP in error.message:
        return ResourceExhausted("the document is nested too deeply", reason="DOCUMENT_TOO_DEEP", field="query")
    return InvalidArgument(error.message, reason="DOCUMENT_INVALID", field="query")
