"""How slow a caller may be, and what a stream may hold."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from museed.embedder.v1.embedder_pb2 import EmbedRequest
from services.embedder.errors import UploadMalformed, UploadStalled
from services.embedder.upload import longest_upload_s, paced, read_chunks


async def slowly(pauses_s: Sequence[float]) -> AsyncIterator[int]:
    for number, pause_s in enumerate(pauses_s):
        await asyncio.sleep(pause_s)
        yield number


async def test_pauses_of_the_caller_add_up() -> None:
    async def read_all() -> None:
        async for number in paced(slowly([0.0, 0.06, 0.06, 0.06, 0.06]), idle_s=60, total_s=0.15):
            passed.append(number)

    passed: list[int] = []
    with pytest.raises(UploadStalled) as caught:
        await read_all()
    assert passed[0] == 0
    assert len(passed) < 5
    assert caught.value.limit == "0.15 s"


async def test_work_between_messages_does_not_count() -> None:
    passed = []
    async for number in paced(slowly([0.0] * 4), idle_s=60, total_s=0.15):
        await asyncio.sleep(0.06)
        passed.append(number)
    assert passed == [0, 1, 2, 3]


def test_large_uploads_may_take_longer() -> None:
    assert longest_upload_s(0, 30) == 30
    assert longest_upload_s(64 * 1024 * 100, 30) == 130


@pytest.mark.parametrize("size", [0, 1024 * 1024 + 1])
async def test_chunk_without_bytes_or_with_too_many_is_refused(size: int) -> None:
    async def one() -> AsyncIterator[EmbedRequest]:
        yield EmbedRequest(chunk=b"x" * size)

    with pytest.raises(UploadMalformed) as caught:
        await anext(read_chunks(one(), 10_000_000))
    assert (caught.value.value, caught.value.limit) == (str(size), "1048576")
