"""Owns the index of a running process: one thread uses it, everybody else waits for points of the log."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from services.chassis.bus import LogPosition
from services.retriever.errors import IndexBehind, IndexLoading
from services.retriever.index import TrackIndex, use_one_thread

T = TypeVar("T")


class LiveIndex:
    """A TrackIndex, the point of the log up to which it is true, and the thread "retriever-index" that alone uses it.

    FAISS needs exclusion between changes and searches: one thread gives it, without locks and off the event loop. What
    waits for the thread is bounded by the number of calls that the server admits.

    Args:
        index: Given away: nobody else may use it any more.
    """

    def __init__(self, index: TrackIndex) -> None:
        self._index = index
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="retriever-index", initializer=use_one_thread)
        self._moved = asyncio.Condition()
        self.encoder_id = index.encoder_id
        self.position: LogPosition | None = None
        self.is_caught_up = False
        self.change_count = 0

    async def run(self, work: Callable[[TrackIndex], T]) -> T:
        """Do work with the index on its thread; not begun yet, it is dropped when the caller is cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._index)

    async def read(self, work: Callable[[TrackIndex], T], wanted: LogPosition | None, timeout_s: float) -> T:
        """Do work with an index that holds all that the caller may expect.

        Args:
            work: Only reads.
            wanted: Point of the log that must be applied, in that very stream; None takes what is there.
            timeout_s: How long to wait for the point.

        Raises:
            IndexBehind: The point was not reached in time.
            IndexLoading: The log has not been read to its end yet.
        """

        def is_reached() -> bool:
            return wanted is None or _is_reached(wanted, self.position)

        def guarded(index: TrackIndex) -> T:
            # Asked on the index's own thread: a log that begins anew can come between the wait and the work.
            if wanted is not None and not is_reached():
                raise IndexBehind(_text(wanted), _text(self.position))
            if not self.is_caught_up:
                raise IndexLoading
            return work(index)

        await self.wait_until(is_reached, timeout_s)
        return await self.run(guarded)

    async def advance(
        self, work: Callable[[TrackIndex], int], position: LogPosition | None, *, is_caught_up: bool
    ) -> None:
        """Change the index, then tell those who wait for the point that is reached by it.

        Args:
            work: Changes the index and returns the number of changes.
            position: The point of the log up to which the index is true afterwards.
            is_caught_up: Whether the log has been read to its end since it was begun.
        """

        def change(index: TrackIndex) -> None:
            self.change_count += work(index)
            # On the same thread, so that no reader sees the one without the other.
            self.position = position
            self.is_caught_up = is_caught_up

        await self.run(change)
        async with self._moved:
            self._moved.notify_all()

    async def wait_until(self, is_true: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until a claim about this index is true; return whether it became so in time."""
        try:
            async with asyncio.timeout(timeout_s), self._moved:
                await self._moved.wait_for(is_true)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """End the thread after what it has to do."""
        self._thread.shutdown()


def _is_reached(wanted: LogPosition, applied: LogPosition | None) -> bool:
    return applied is not None and applied.created_at == wanted.created_at and applied.sequence >= wanted.sequence


def _text(position: LogPosition | None) -> str:
    if position is None:
        return "nothing"
    return f"sequence {position.sequence} of the stream of {position.created_at.isoformat()}"
