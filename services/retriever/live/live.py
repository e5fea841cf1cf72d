"""Owns the index of a running process: who uses it when, and who waits for which point of the log."""

import asyncio
import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from services.chassis.bus import LogPosition
from services.chassis.places import Places
from services.chassis.telemetry import tracing
from services.retriever.errors import IndexBehind, IndexLoading
from services.retriever.index.index import TrackIndex
from services.retriever.index.merging import Merged
from services.retriever.live.joining import AnsweredLibrary, Asked, Question, answer_all
from services.retriever.live.threads import use_in_this_thread
from services.retriever.timing import SearchMetrics

T = TypeVar("T")

# Of long works at a time; together they take a second at the most usual.
_MOST_COMPOSITIONS = 32
# Calls that wait for a point of the log at a time, a quarter of those that the server admits by default.
_MOST_WAITERS = 32


class LiveIndex:
    """A TrackIndex, the point of the log up to which it is true, and the two threads that use it.

    The thread "retriever-index" changes the index and answers what is quickly answered. Questions that come while it is
    at work are answered together afterwards, which costs each a fraction. The thread "retriever-playlists" does what
    takes longer and only reads, so that nobody's search waits for everybody's playlists; while it is at work nothing
    changes, and a change waits for one such work at most. What waits for the threads is bounded by the number of calls
    that the server admits.

    Args:
        index: Given away: nobody else may use it any more.
        thread_count: Threads that one search may use.
        is_shared: Whether two threads may read the index at a time; else one thread does everything.
        metrics: Told how long searches and playlists wait and take; None tells nobody.
    """

    def __init__(
        self,
        index: TrackIndex,
        thread_count: int = 1,
        *,
        is_shared: bool = True,
        metrics: SearchMetrics | None = None,
    ) -> None:
        self._index = index
        self._metrics = metrics or SearchMetrics()
        self._thread = _thread("retriever-index", thread_count)
        self._playlist_thread = _thread("retriever-playlists", thread_count) if is_shared else self._thread
        # Whoever composes holds the second; whoever waits for it to change the index holds the first, and is next.
        self._turn, self._unchanged = threading.Lock(), threading.Lock()
        self._asked: deque[Asked] = deque()
        self._compositions = Places(_MOST_COMPOSITIONS, "playlists and the like")
        self._waiters = Places(_MOST_WAITERS, "waiters for the log")
        self._moved = asyncio.Condition()
        self.encoder_id = index.encoder_id
        self.position: LogPosition | None = None
        self.is_caught_up = False
        self.change_count = 0
        self.merge_count = 0
        self.is_merging = False
        self.is_merge_due = False

    @property
    def sizes(self) -> dict[str, int]:
        """Return how large the index is, by what is counted; for any thread, which reads single numbers."""
        index = self._index
        return {
            "tracks": len(index),
            "delta_tracks": index.delta_count,
            "tombstones": index.tombstone_count,
            "memory_bytes": index.memory_bytes,
            "mapped_bytes": index.mapped_bytes,
        }

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
            IndexBehind: The point was not reached in time, or too many wait for theirs already.
            IndexLoading: The log has not been read to its end yet.
        """
        await self._wait_for(wanted, timeout_s)

        def guarded(index: TrackIndex) -> T:
            self._check(wanted)
            return work(index)

        return await self.run(guarded)

    async def compose(self, work: Callable[[TrackIndex], T], wanted: LogPosition | None, timeout_s: float) -> T:
        """Do work that takes some time with an index that does not change meanwhile, beside searches; see `read`.

        Raises:
            ResourceExhausted: SERVER_BUSY: 32 such works wait already.
        """
        await self._wait_for(wanted, timeout_s)

        asked_at, trace = time.monotonic(), tracing.headers()

        def guarded() -> T:
            with self._turn:
                self._unchanged.acquire()
            began = time.monotonic()
            try:
                self._check(wanted)
                with tracing.within(trace), tracing.part("compose") as span:
                    span.note(museed__waited_s=round(began - asked_at, 6))
                    return work(self._index)
            finally:
                self._unchanged.release()
                self._metrics.composed(began - asked_at, time.monotonic() - began)

        with self._compositions.take():
            return await asyncio.get_running_loop().run_in_executor(self._playlist_thread, guarded)

    async def search(
        self,
        ask: Callable[[TrackIndex], Question],
        work: Callable[[AnsweredLibrary], T],
        wanted: LogPosition | None,
        timeout_s: float,
    ) -> T:
        """Ask for the tracks nearest to something, together with everybody else who asks meanwhile.

        Args:
            ask: Says what is asked; only reads.
            work: Gets the library, which knows the answer already when it is asked the same, and only reads.
            wanted: As in `read`.
            timeout_s: As in `read`.

        Raises:
            IndexBehind: The point was not reached in time, or too many wait for theirs already.
            IndexLoading: The log has not been read to its end yet.
        """
        await self._wait_for(wanted, timeout_s)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def guarded(index: TrackIndex) -> Question:
            self._check(wanted)
            return ask(index)

        asked_at = time.monotonic()
        self._asked.append(Asked(guarded, work, answer, tracing.headers()))
        # Whatever else comes until the thread is free goes along.
        if len(self._asked) == 1:
            self._thread.submit(self._answer, loop, asked_at)
        return await answer

    def _answer(self, loop: asyncio.AbstractEventLoop, asked_at: float) -> None:
        asked, began = [], time.monotonic()
        while self._asked:
            asked.append(self._asked.popleft())
        if not asked:
            return
        try:
            for tell in answer_all(self._index, asked):
                loop.call_soon_threadsafe(tell)
        except Exception as error:  # of the search that they share: nobody may wait for ever
            loop.call_soon_threadsafe(_refuse_all, asked, error)
        self._metrics.searched(len(asked), began - asked_at, time.monotonic() - began)

    async def _wait_for(self, wanted: LogPosition | None, timeout_s: float) -> None:
        if self._has_reached(wanted):
            return
        if self._waiters.are_taken:
            # Else a few callers who want what never comes would keep all places of the server.
            raise IndexBehind(_text(wanted), _text(self.position))
        with self._waiters.take():
            await self.wait_until(lambda: self._has_reached(wanted), timeout_s)

    def _has_reached(self, wanted: LogPosition | None) -> bool:
        return wanted is None or _is_reached(wanted, self.position)

    def _check(self, wanted: LogPosition | None) -> None:
        # Asked on the index's own thread: a log that begins anew can come between the wait and the work.
        if wanted is not None and not self._has_reached(wanted):
            raise IndexBehind(_text(wanted), _text(self.position))
        if not self.is_caught_up:
            raise IndexLoading

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
            with self._turn, self._unchanged:
                self.change_count += work(index)
                # At once, so that no reader sees the one without the other.
                self.position = position
                self.is_caught_up = is_caught_up
                self.is_merge_due = is_caught_up and index.is_merge_due

        await self.run(change)
        await self.notify()

    async def adopt(self, merged: Merged) -> bool:
        """Go on from the next base; return False if it is one of an index that was emptied since."""

        def change(index: TrackIndex) -> bool:
            with self._turn, self._unchanged:
                is_adopted = index.adopt(merged)
                self.merge_count += is_adopted
                self.is_merge_due = self.is_caught_up and index.is_merge_due
                return is_adopted

        is_adopted = await self.run(change)
        await self.notify()
        return is_adopted

    async def notify(self) -> None:
        """Let those who wait for something look again."""
        async with self._moved:
            self._moved.notify_all()

    async def wait_until(self, is_true: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until a claim about this index is true; return whether it became so in time."""
        if is_true():
            return True
        try:
            async with asyncio.timeout(timeout_s), self._moved:
                await self._moved.wait_for(is_true)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """End the threads after what they have to do."""
        self._thread.shutdown()
        self._playlist_thread.shutdown()


def _thread(name: str, thread_count: int) -> ThreadPoolExecutor:
    initializer = functools.partial(use_in_this_thread, thread_count)
    return ThreadPoolExecutor(1, thread_name_prefix=name, initializer=initializer)


def _refuse_all(asked: Sequence[Asked], error: Exception) -> None:
    for each in asked:
        if not each.answer.done():
            each.answer.set_exception(error)


def _is_reached(wanted: LogPosition, applied: LogPosition | None) -> bool:
    return applied is not None and applied.created_at == wanted.created_at and applied.sequence >= wanted.sequence


def _text(position: LogPosition | None) -> str:
    if position is None:
        return "nothing"
    return f"sequence {position.sequence} of the stream of {position.created_at.isoformat()}"
