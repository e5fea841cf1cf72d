"""Reads the messages of a caller's stream: a header, then the bytes that it states. Embeds nothing."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from museed.embedder.v1 import embedder_pb2
from services.embedder.errors import RETRY_AFTER_MS, UploadMalformed, UploadStalled

MAX_CHUNK_BYTES = 1024 * 1024
# A header is a few bytes, and whoever has sent none holds a call of the server.
HEADER_S = 5.0
# A slow line. Checked along the way: whoever trickles would otherwise keep a place for the time of a large file.
_SLOWEST_BYTES_PER_S = 64 * 1024

Message = TypeVar("Message")


async def paced(
    messages: AsyncIterator[Message],
    idle_s: float,
    size_of: Callable[[Message], int] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Message]:
    """Pass messages on, and give up on a caller who is too slow; our own work in between does not count.

    Args:
        messages: What the caller sends.
        idle_s: Longest wait for one message, and what all waits together may be beyond those of a slow line.
        size_of: Returns the bytes of a message, which must come at the pace of a slow line; None sets no pace.
        clock: Monotonic seconds.

    Raises:
        UploadStalled: The caller was slower.
    """
    iterator = aiter(messages)
    waited_s, delivered = 0.0, 0
    while True:
        left_s = float("inf") if size_of is None else idle_s + delivered / _SLOWEST_BYTES_PER_S - waited_s
        began = clock()
        try:
            async with asyncio.timeout(min(idle_s, left_s)):
                message = await anext(iterator)
        except StopAsyncIteration:
            return
        except TimeoutError:
            if left_s >= idle_s:
                raise UploadStalled.after(idle_s) from None
            raise _too_slow(delivered, waited_s + left_s, idle_s) from None
        waited_s += clock() - began
        if size_of is not None:
            delivered += size_of(message)
            if waited_s > idle_s + delivered / _SLOWEST_BYTES_PER_S:
                raise _too_slow(delivered, waited_s, idle_s)
        yield message


def chunk_bytes(request: embedder_pb2.EmbedRequest) -> int:
    """Return how many bytes of audio a message brings."""
    return len(request.chunk)


async def read_header(requests: AsyncIterator[embedder_pb2.EmbedRequest]) -> embedder_pb2.EmbedHeader:
    """Read the first message.

    Raises:
        UploadMalformed: It is no header, or one of a negative size or an unknown encoding.
    """
    async for request in requests:
        if request.WhichOneof("payload") != "header":
            break
        size_bytes, encoding = request.header.size_bytes, request.header.encoding
        if size_bytes < 0:
            raise UploadMalformed("the size is negative", field="header.size_bytes", value=size_bytes, limit=0)
        if encoding not in embedder_pb2.AudioEncoding.values():
            raise UploadMalformed("there is no such encoding", field="header.encoding", value=encoding)
        return request.header
    raise UploadMalformed("the first message must be the header", field="header")


async def read_chunks(requests: AsyncIterator[embedder_pb2.EmbedRequest], size_bytes: int) -> AsyncIterator[bytes]:
    """Read the messages behind the header.

    Args:
        requests: The rest of the stream.
        size_bytes: What the header states.

    Raises:
        UploadMalformed: More or fewer bytes come than stated, a chunk is too large, or something else than chunks.
    """
    read = 0
    async for request in requests:
        if request.WhichOneof("payload") != "chunk":
            raise UploadMalformed("after the header only chunks may come", field="chunk")
        chunk = request.chunk  # each access copies it
        if not 1 <= len(chunk) <= MAX_CHUNK_BYTES:
            raise UploadMalformed(
                f"a chunk has {len(chunk)} bytes, 1 to {MAX_CHUNK_BYTES} are allowed",
                field="chunk",
                value=len(chunk),
                limit=MAX_CHUNK_BYTES,
            )
        read += len(chunk)
        if read > size_bytes:
            raise _wrong_size(f"over {size_bytes}", size_bytes)
        yield chunk
    if read != size_bytes:
        raise _wrong_size(str(read), size_bytes)


def _too_slow(delivered: int, waited_s: float, grace_s: float) -> UploadStalled:
    limit = f"{_SLOWEST_BYTES_PER_S} bytes/s after {grace_s:g} s"
    return UploadStalled(
        f"{delivered} bytes came within {waited_s:.3g} s of waiting, at least {limit} are needed",
        value=f"{delivered} bytes in {waited_s:.3g} s",
        limit=limit,
        retry_after_ms=RETRY_AFTER_MS,
    )


def _wrong_size(found: str, stated: int) -> UploadMalformed:
    return UploadMalformed(
        f"{found} bytes came, the header states {stated}", field="header.size_bytes", value=found, limit=stated
    )
