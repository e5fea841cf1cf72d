"""Makes the next base of a live index whenever one is due, on a thread of its own, while the index goes on."""

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from services.retriever.index.bases import BuildStoppedError, IndexChoice
from services.retriever.index.merging import Frozen, Merged, merge
from services.retriever.live.freed_memory import give_back
from services.retriever.live.live import LiveIndex
from services.retriever.live.snapshot_folder import SnapshotFolder
from services.retriever.live.threads import work_in_background

logger = logging.getLogger(__name__)

_RETRY_S = 60.0


class Merger:
    """Keeps the delta of a live index small.

    A merge runs on the thread "retriever-merge", one at a time, on one core and with less right to it than searches;
    the index's own thread only hands out what there is and takes what was made, in milliseconds.

    Args:
        live: The index.
        folder: Where bases are written.
        choice: Of which kind they are.
        retry_s: Seconds after a failure until the next attempt.

    Attributes:
        failed_count: Merges that failed since the start.
    """

    def __init__(self, live: LiveIndex, folder: SnapshotFolder, choice: IndexChoice, retry_s: float = _RETRY_S) -> None:
        self._live = live
        self._folder = folder
        self._choice = choice
        self._retry_s = retry_s
        self.failed_count = 0
        self._is_closed = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="retriever-merge", initializer=work_in_background)

    async def run(self) -> None:
        """Merge for ever, each time that enough has changed."""
        while True:
            while not await self._live.wait_until(lambda: self._live.is_merge_due, self._retry_s):
                pass
            if await self.merge():
                # Of the base before, and of making this one; nothing holds them any more.
                await asyncio.get_running_loop().run_in_executor(self._thread, give_back)
            else:
                await asyncio.sleep(self._retry_s)

    async def merge(self) -> bool:
        """Make the next base now.

        Returns:
            False if it could not be made or written, which is logged and does no harm but that the delta grows.
        """
        self._live.is_merging = True
        started = time.monotonic()
        try:
            frozen = await self._live.run(lambda index: index.freeze())
            if not frozen.alive.any():
                return True
            try:
                merged = await asyncio.get_running_loop().run_in_executor(self._thread, self._merge, frozen)
            except BuildStoppedError:
                return False
            except Exception:  # the border of the thread: whatever it was, calls are answered without the next base
                self.failed_count += 1
                logger.exception("merge_failed")
                return False
            is_adopted = await self._live.adopt(merged)
        finally:
            self._live.is_merging = False
            await self._live.notify()
        base = merged.stored.base
        fields = {"kind": base.kind, "track_count": len(base.store), "seconds": round(time.monotonic() - started, 3)}
        logger.info("merged" if is_adopted else "merge_in_vain", extra=fields)
        return True

    def stop(self) -> None:
        """Give up what is being made; the thread ends soon."""
        self._is_closed.set()

    def close(self) -> None:
        """Give up what is being made, and wait until the thread has ended; blocks."""
        self.stop()
        self._thread.shutdown(cancel_futures=True)

    def _merge(self, frozen: Frozen) -> Merged:
        return merge(frozen, self._choice, self._folder.next_base(), self._is_closed.is_set)
