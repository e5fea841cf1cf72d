"""The body of an upload as it comes: bounded in time, its type told by its first bytes, its name made harmless."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from urllib.parse import unquote

import filetype  # type: ignore[import-untyped]  # ships none
from starlette.requests import ClientDisconnect, Request

from services.chassis.errors import DeadlineExceeded, InvalidArgument

# As much as `filetype` looks at.
HEAD_BYTES = 8192
UNKNOWN_TYPE = "application/octet-stream"
_STALL_S = 30.0
# Somebody who sends less than so much while we wait for it so long holds a place that others need.
_LEAST_BYTES = 60 * 1024
_LEAST_WITHIN_S = 60.0
# Of a whole upload, however steadily it drips.
_LONGEST_S = 3_600.0
_MAX_NAME_CHARACTERS = 255


def file_name(given: str) -> str:
    """Return a harmless form of a percent-encoded file name: its last part, without control characters."""
    return harmless_name(unquote(given, errors="replace"))


def harmless_name(given: str) -> str:
    """Return the last part of a file name, without control characters."""
    last = given.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(character for character in last if character.isprintable()).strip()
    return kept[:_MAX_NAME_CHARACTERS] or "upload"


def sniff(head: bytes) -> str:
    """Tell the content type by the first bytes of a file; a container of video may hold only audio.

    What is not recognised passes as application/octet-stream: the decoder knows more formats than this does.

    Raises:
        InvalidArgument: UPLOAD_NOT_AUDIO: it is recognised as something else.
    """
    found = filetype.guess_mime(head)
    if found is None:
        return UNKNOWN_TYPE
    kind: str = found
    if not kind.startswith(("audio/", "video/")):
        raise InvalidArgument(
            f"this is {kind}, not audio", reason="UPLOAD_NOT_AUDIO", field="body", value=kind, limit="audio/*"
        )
    return kind


async def unstalled(request: Request) -> AsyncGenerator[bytes, None]:
    """Yield the body; give up on a client that is silent for 30 s, sends less than 1 KiB/s, or is not done in an hour.

    The time in which what came is worked on is not the client's.

    Raises:
        DeadlineExceeded: UPLOAD_STALLED, also where the client went away.
    """
    chunks = request.stream()
    ends_at = time.monotonic() + _LONGEST_S
    pace = Pace(_LEAST_BYTES, _LEAST_WITHIN_S)
    while True:
        patience_s = min(_STALL_S, max(0.0, ends_at - time.monotonic()))
        asked_at = time.monotonic()
        try:
            async with asyncio.timeout(patience_s):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            is_late = time.monotonic() >= ends_at
            said, limit = ("not all came within", _LONGEST_S) if is_late else ("nothing came for", _STALL_S)
            raise DeadlineExceeded(
                f"{said} {limit:.0f} s", reason="UPLOAD_STALLED", field="body", limit=limit
            ) from None
        except ClientDisconnect:
            raise DeadlineExceeded("the client went away", reason="UPLOAD_STALLED", field="body") from None
        pace.take(len(chunk), time.monotonic() - asked_at)
        if chunk:
            yield chunk


class Pace:
    """How fast bytes come, window by window.

    Args:
        least_bytes: Of a window.
        window_s: Seconds of waiting that make one.
    """

    def __init__(self, least_bytes: int, window_s: float) -> None:
        self._least_bytes = least_bytes
        self._window_s = window_s
        self._bytes = 0
        self._waited_s = 0.0

    def take(self, size: int, waited_s: float) -> None:
        """Count a chunk.

        Raises:
            DeadlineExceeded: UPLOAD_STALLED: the window that ends with it had too little.
        """
        self._bytes += size
        self._waited_s += waited_s
        if self._waited_s < self._window_s:
            return
        if self._bytes * self._window_s < self._least_bytes * self._waited_s:
            raise DeadlineExceeded(
                f"{self._bytes} bytes came in {self._waited_s:.0f} s, at least {self._least_bytes} must come in "
                f"{self._window_s:.0f} s",
                reason="UPLOAD_STALLED",
                field="body",
                value=self._bytes,
                limit=self._least_bytes,
            )
        self._bytes, self._waited_s = 0, 0.0


class AudioBody:
    """A body that tells its content type once its first bytes have passed.

    Args:
        source: The bytes in order.
    """

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source = source
        self.content_type = UNKNOWN_TYPE

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body.

        Raises:
            InvalidArgument: UPLOAD_EMPTY or UPLOAD_NOT_AUDIO.
        """
        head = b""
        async for chunk in self._source:
            head += chunk
            if len(head) >= HEAD_BYTES:
                break
        if not head:
            raise InvalidArgument("the file is empty", reason="UPLOAD_EMPTY", field="body", value=0, limit=1)
        self.content_type = sniff(head)
        yield head
        async for chunk in self._source:
            yield chunk
