"""Reads the messages of a caller's stream: a header, then the bytes that it states. Embeds nothing."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TypeVar

from museed.embedder.v1 import embedder_pb2
from services.embedder.errors import UploadMalformed, UploadStalled

MAX_CHUNK_BYTES = 1024 * 1024
# A header is a few bytes, and whoever has sent none holds a call of the server.
HEADER_S = 5.0
_SLOWEST_BYTES_PER_S = 64 * 1024

Message = TypeVar("Message")


async def paced(
    messages: AsyncIterator[Message], idle_s: float, total_s: float | None = None
) -> AsyncIterator[Message]:
    """Pass messages on, and give up on a caller who is too slow; our own work in between does not count.

    Args:
        messages: What the caller sends.
        idle_s: Longest wait for one message.
        total_s: Longest wait for all of them together; None without end.

    Raises:
        UploadStalled: The caller was slower.
    """
    iterator = aiter(messages)
    left_s = float("inf") if total_s is None else total_s
    while True:
        began = time.monotonic()
        limit_s = min(idle_s, left_s)
        try:
            async with asyncio.timeout(limit_s):
                message = await anext(iterator)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise UploadStalled.after(limit_s if total_s is None or limit_s == idle_s else total_s) from None
        left_s -= time.monotonic() - began
        yield message


def longest_upload_s(size_bytes: int, idle_s: float) -> float:
    """Return how long a caller may take to send so many bytes: a slow line's time, and one pause."""
    return idle_s + size_bytes / _SLOWEST_BYTES_PER_S


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
        if not 1 <= len(request.chunk) <= MAX_CHUNK_BYTES:
            raise UploadMalformed(
                f"a chunk has {len(request.chunk)} bytes, 1 to {MAX_CHUNK_BYTES} are allowed",
                field="chunk",
                value=len(request.chunk),
                limit=MAX_CHUNK_BYTES,
            )
        read += len(request.chunk)
        if read > size_bytes:
            raise _wrong_size(f"over {size_bytes}", size_bytes)
        yield request.chunk
    if read != size_bytes:
        raise _wrong_size(str(read), size_bytes)


def _wrong_size(found: str, stated: int) -> UploadMalformed:
    return UploadMalformed(
        f"{found} bytes came, the header states {stated}", field="header.size_bytes", value=found, limit=stated
    )
