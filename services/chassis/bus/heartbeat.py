"""Tells NATS that a message is being worked on, so that it goes to nobody else meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import nats.errors
from nats.aio.msg import Msg


@contextlib.asynccontextmanager
async def told_in_progress(message: Msg, every_s: float) -> AsyncIterator[None]:
    """Keep a message in hand inside of an `async with`, however long that takes."""

    async def tell() -> None:
        while True:
            await asyncio.sleep(every_s)
            with contextlib.suppress(nats.errors.Error):
                await message.in_progress()

    task = asyncio.create_task(tell())
    try:
        yield
    finally:
        task.cancel()
