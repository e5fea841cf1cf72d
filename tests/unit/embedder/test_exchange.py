"""Answers of a stream's items: order, bound, failure and the reader who leaves."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.embedder.errors import UploadStalled
from services.embedder.exchange import answer_each


async def items_of(*items: str) -> AsyncIterator[str]:
    for item in items:
        yield item


class Workshop:
    """Answers an item when it is told to."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.cancelled: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}

    async def answer(self, item: str) -> str:
        self.taken.append(item)
        try:
            await self.gates.setdefault(item, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.cancelled.append(item)
            raise
        return item.upper()

    async def until_taken(self, *items: str) -> None:
        while self.taken != list(items):
            await asyncio.sleep(0)

    def finish(self, item: str) -> None:
        self.gates.setdefault(item, asyncio.Event()).set()


async def test_answers_come_as_they_are_ready_and_no_more_is_taken_than_fits() -> None:
    shop = Workshop()
    answers = answer_each(items_of("a", "b", "c", "d"), shop.answer, at_a_time=2, idle_s=60)
    first = asyncio.ensure_future(anext(answers))
    await shop.until_taken("a", "b")
    for _ in range(20):
        await asyncio.sleep(0)
    assert shop.taken == ["a", "b"]
    shop.finish("b")
    assert await first == "B"
    second = asyncio.ensure_future(anext(answers))
    await shop.until_taken("a", "b", "c")
    for item in ("a", "c", "d"):
        shop.finish(item)
    rest = [await second] + [answer async for answer in answers]
    assert sorted(rest) == ["A", "C", "D"]
    assert shop.taken == ["a", "b", "c", "d"]


async def test_nothing_to_answer_ends_at_once() -> None:
    assert [answer async for answer in answer_each(items_of(), Workshop().answer, 2, 60)] == []


async def test_reader_who_leaves_cancels_what_is_at_work() -> None:
    shop = Workshop()
    shop.finish("a")
    answers = answer_each(items_of("a", "b", "c"), shop.answer, 2, 60)
    assert await anext(answers) == "A"
    await asyncio.sleep(0)
    await answers.aclose()
    assert "a" not in shop.cancelled
    assert set(shop.taken) == {"a", *shop.cancelled}


async def test_items_that_fail_end_the_stream_and_cancel_what_is_at_work() -> None:
    shop = Workshop()

    async def failing() -> AsyncIterator[str]:
        yield "a"
        await shop.until_taken("a")
        raise KeyError("bad item")

    with pytest.raises(KeyError):
        await anext(answer_each(failing(), shop.answer, 2, 60))
    assert shop.cancelled == ["a"]


async def test_silence_counts_only_while_nothing_is_at_work() -> None:
    shop = Workshop()
    never = asyncio.Event()

    async def one_then_silence() -> AsyncIterator[str]:
        yield "a"
        await never.wait()

    answers = answer_each(one_then_silence(), shop.answer, 2, 0.05)
    first = asyncio.ensure_future(anext(answers))
    await shop.until_taken("a")
    await asyncio.sleep(0.1)  # longer than the silence that is allowed
    assert not first.done()
    shop.finish("a")
    assert await first == "A"
    with pytest.raises(UploadStalled) as caught:
        await anext(answers)
    assert (caught.value.code, caught.value.limit) == ("DEADLINE_EXCEEDED", "0.05 s")
