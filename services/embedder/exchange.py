"""Answers the items of a stream as they end, a few at a time. Knows no message and no model."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from services.embedder.errors import UploadStalled

Item = TypeVar("Item")
Answer = TypeVar("Answer")


async def answer_each(
    items: AsyncIterator[Item], answer: Callable[[Item], Awaitable[Answer]], at_a_time: int, idle_s: float
) -> AsyncGenerator[Answer, None]:
    """Answer every item, in the order in which the answers are ready.

    An item is taken when a place is free and not before: whoever sends more has to wait. What is at work is cancelled
    when the reader leaves, or when `items` or `answer` raises.

    Args:
        items: What is to be answered.
        answer: Must turn what may go wrong with one item into an answer.
        at_a_time: Items at work.
        idle_s: How long no item may come while none is at work.

    Yields:
        One answer an item.

    Raises:
        UploadStalled: None came for that long.
    """
    at_work: set[asyncio.Task[Answer]] = set()
    coming: asyncio.Task[tuple[Item] | None] | None = asyncio.create_task(_next(items))
    try:
        while coming is not None or at_work:
            waited: set[asyncio.Task[Any]] = {*at_work}
            if coming is not None and len(at_work) < at_a_time:
                waited.add(coming)
            done, _ = await asyncio.wait(
                waited, timeout=None if at_work else idle_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                raise UploadStalled.after(idle_s)
            for answered in at_work & done:
                at_work.remove(answered)
                yield answered.result()
            if coming in done:
                came, coming = coming.result(), None
                if came is not None:
                    at_work.add(asyncio.create_task(_answered(answer, came[0])))
                    coming = asyncio.create_task(_next(items))
    finally:
        left = [*at_work, *([] if coming is None else [coming])]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def taken(writing: Awaitable[None], unread_s: float) -> None:
    """Wait until an answer is written, which it is when its reader takes it or has room for it.

    Args:
        writing: Writes it; cancelled when it takes too long.
        unread_s: How long it may take.

    Raises:
        UploadStalled: The reader takes nothing.
    """
    try:
        async with asyncio.timeout(unread_s) as limit:
            await writing
    except TimeoutError:
        if not limit.expired():
            raise
        raise UploadStalled.after(unread_s, "an answer was not taken") from None


async def _next(items: AsyncIterator[Item]) -> tuple[Item] | None:
    async for item in items:
        return (item,)
    return None


async def _answered(answer: Callable[[Item], Awaitable[Answer]], item: Item) -> Answer:
    return await answer(item)
