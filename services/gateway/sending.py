"""Answers with bytes of a source, whole or in ranges, and breaks off when nobody may hear them any more."""

import logging
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from services.gateway.ranges import Span, is_not_modified, plan
from services.gateway.sources import Source

logger = logging.getLogger(__name__)


def not_modified(request: Request, etag: str, headers: dict[str, str]) -> Response | None:
    """Return the answer for who has this representation already; None where it is to be sent.

    Args:
        request: GET or HEAD.
        etag: Strong, with its quotes.
        headers: Of the answer, whatever it is.
    """
    if not is_not_modified(request.headers.get("if-none-match"), etag):
        return None
    return Response(status_code=304, headers={**headers, "ETag": etag})


def sent(
    request: Request,
    source: Source,
    etag: str,
    content_type: str,
    headers: dict[str, str],
    is_over: Callable[[], bool] = lambda: False,
) -> Response:
    """Answer with a source as the request's Range has it; the source is closed in the end, whatever happens.

    Args:
        request: GET or HEAD.
        source: What to send.
        etag: Strong, with its quotes.
        content_type: Of the whole.
        headers: Of the answer, whatever it is.
        is_over: Asked before each chunk; True breaks the connection.
    """
    try:
        planned = plan(request.method, request.headers, source.size, etag, content_type, boundary=secrets.token_hex(16))
    except BaseException:
        source.close()
        raise
    told = {**headers, "ETag": etag, "Accept-Ranges": "bytes", **planned.headers}
    if not planned.parts:
        source.close()
        return Response(status_code=planned.status, headers=told)
    return _SourceResponse(source, planned.parts, is_over, status_code=planned.status, headers=told)


class _SourceResponse(StreamingResponse):
    """Sends parts and closes their source, also when the client goes away."""

    def __init__(
        self,
        source: Source,
        parts: Sequence[bytes | Span],
        is_over: Callable[[], bool],
        *,
        status_code: int,
        headers: dict[str, str],
    ) -> None:
        super().__init__(_read(source, parts, is_over), status_code=status_code, headers=headers)
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._source.close()


async def _read(
    source: Source, parts: Sequence[bytes | Span], is_over: Callable[[], bool]
) -> AsyncGenerator[bytes, None]:
    for part in parts:
        if isinstance(part, bytes):
            yield part
            continue
        position = part.start
        while position < part.end:
            if is_over():
                raise PermissionError("the session ended while its audio was sent")
            chunk = await source.read(position, min(source.chunk_bytes, part.end - position))
            if not chunk:
                # The length is promised already: breaking off is the only way to tell.
                logger.warning("media_truncated", extra={"position": position, "end": part.end})
                raise OSError("the file was cut off while it was sent")
            yield chunk
            position += len(chunk)
