"""How slow a caller may be, and what a stream may hold."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from museed.embedder.v1.embedder_pb2 import EmbedRequest
from services.embedder.errors import UploadMalformed, UploadStalled
from services.embedder.upload import paced, read_chunks


class Line:
    """A caller on a line of which every message takes as long, by a clock of its own."""

    def __init__(self, size: int, message_s: float) -> None:
        self._size = size
        self._message_s = message_s
        self.now = 0.0

    async def messages(self, count: int) -> AsyncIterator[int]:
        for _ in range(count):
            self.now += self._message_s
            yield self._size

    async def read(self, count: int, work_s: float = 0.0) -> int:
        """Return how many messages came, with a pause of 30 s."""
        came = 0
        async for _ in paced(self.messages(count), 30, lambda size: size, lambda: self.now):
            self.now += work_s
            came += 1
        return came


async def test_trickle_ends_with_the_grace_and_not_with_the_time_of_a_large_file() -> None:
    line = Line(size=1, message_s=20)
    with pytest.raises(UploadStalled) as caught:
        await line.read(100)
    assert line.now == 40  # the second byte
    error = caught.value
    assert (error.code, error.reason, error.retry_after_ms) == ("DEADLINE_EXCEEDED", "UPLOAD_STALLED", 1000)
    assert (error.value, error.limit) == ("2 bytes in 40 s", "65536 bytes/s after 30 s")


async def test_pace_is_kept_behind_a_quick_beginning() -> None:
    line = Line(size=32 * 1024, message_s=1)  # half of what is needed
    with pytest.raises(UploadStalled):
        await line.read(3200)
    assert line.now == 61


async def test_caller_who_pauses_as_the_pace_runs_out_is_not_waited_for_any_longer() -> None:
    now = [0.0]

    async def one_then_silence() -> AsyncIterator[int]:
        now[0] = 29.99
        yield 1
        await asyncio.Event().wait()

    passed = paced(one_then_silence(), 30, lambda size: size, lambda: now[0])
    assert await anext(passed) == 1
    with pytest.raises(UploadStalled, match="1 bytes came within 30 s of waiting"):
        await asyncio.wait_for(anext(passed), 25)  # of the 30 s that it would be waited for


async def test_slow_line_is_borne_however_large_the_file() -> None:
    assert await Line(size=64 * 1024, message_s=1).read(3200) == 3200
    assert await Line(size=1024 * 1024, message_s=16).read(200) == 200


async def test_work_between_messages_does_not_count() -> None:
    assert await Line(size=1, message_s=0.001).read(100, work_s=1000) == 100


@pytest.mark.parametrize("size", [0, 1024 * 1024 + 1])
async def test_chunk_without_bytes_or_with_too_many_is_refused(size: int) -> None:
    async def one() -> AsyncIterator[EmbedRequest]:
        yield EmbedRequest(chunk=b"x" * size)

    with pytest.raises(UploadMalformed) as caught:
        await anext(read_chunks(one(), 10_000_000))
    assert (caught.value.value, caught.value.limit) == (str(size), "1048576")
