"""Finds a cancellation again that was lost on the way."""

import asyncio


def raise_if_cancelled() -> None:
    """End a task that was asked to end.

    Before Python 3.12, `asyncio.wait_for` forgets a cancellation that comes in the same moment as its result
    (python/cpython#86296), and nats-py waits with it. A loop that waits for ever would then never end, and its process
    would not stop: seen once among 180 readers of a silent log that were cancelled.

    Raises:
        CancelledError: The running task was cancelled, whether it noticed or not.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
