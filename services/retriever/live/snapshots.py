"""Restores an index when it starts, and saves it now and then while it runs."""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from services.chassis.bus import LogPosition
from services.retriever.index.index import TrackIndex
from services.retriever.index.merging import Frozen
from services.retriever.live.live import LiveIndex
from services.retriever.live.snapshot import Snapshot
from services.retriever.live.snapshot_folder import SnapshotFolder

logger = logging.getLogger(__name__)


class SnapshotKeeper:
    """Restores a live index from its folder, and saves it there in the background.

    What is to be written is taken on the index's thread, without a copy of the vectors, and written on the thread
    "retriever-snapshot".

    Args:
        live: The index.
        folder: Where the snapshots are.
        after_changes: Changes after which a snapshot is written.
        interval_s: Seconds after which a snapshot is written if anything changed.

    Attributes:
        failed_count: Snapshots that could not be written since the start.
        saved_at: When the last one was written, by `time.monotonic`; None before the first.
    """

    def __init__(self, live: LiveIndex, folder: SnapshotFolder, after_changes: int, interval_s: float) -> None:
        self._live = live
        self._folder = folder
        self._after_changes = after_changes
        self._interval_s = interval_s
        self._saved_at_change = 0
        self._saved_at_merge = 0
        self.failed_count = 0
        self.saved_at: float | None = None
        self._saving = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="retriever-snapshot")

    async def restore(self) -> None:
        """Fill the index from the newest good snapshot, where there is one that it takes."""
        snapshot = await asyncio.get_running_loop().run_in_executor(self._thread, self._folder.load_newest)
        if snapshot is None:
            return

        def fill(index: TrackIndex) -> int:
            index.restore(snapshot.stored, snapshot.alive, snapshot.tracks, snapshot.vectors)
            return 0

        try:
            await self._live.advance(fill, snapshot.position, is_caught_up=False)
        except Exception:  # whatever it was, the log has it all, and the next start would end here again
            logger.exception("snapshot_not_restored")
            await self._live.run(TrackIndex.clear)
            return
        logger.info(
            "snapshot_restored",
            extra={"track_count": snapshot.track_count, "sequence": snapshot.position.sequence},
        )

    async def run(self) -> None:
        """Save for ever, each time that enough has changed, a base was made, or some time has passed."""

        def is_due() -> bool:
            is_enough = self.unsaved_count >= self._after_changes or self._live.merge_count != self._saved_at_merge
            # What is being merged is in the next snapshot's base, and need not be written twice.
            return self._live.is_caught_up and not self._live.is_merging and is_enough

        while True:
            await self._live.wait_until(is_due, self._interval_s)
            if not await self.save():
                await asyncio.sleep(self._interval_s)

    async def save(self) -> bool:
        """Save the index if it changed since the last time and is known to be complete.

        Returns:
            False if it could not be written, which is logged and does no other harm.
        """
        async with self._saving:
            is_merged = self._live.merge_count != self._saved_at_merge
            if not (self.unsaved_count or is_merged) or not self._live.is_caught_up:
                return True
            changes, merges, frozen, position = await self._live.run(self._freeze)

            def write() -> tuple[Path, int]:
                snapshot = Snapshot.of(frozen, position)
                return self._folder.save(snapshot), snapshot.track_count

            try:
                path, count = await asyncio.get_running_loop().run_in_executor(self._thread, write)
            except Exception:  # the border of the thread: whatever it was, the log has it all
                self.failed_count += 1
                logger.exception("snapshot_failed")
                return False
            self.saved_at = time.monotonic()
            self._saved_at_change, self._saved_at_merge = changes, merges
            fields = {"track_count": count, "sequence": position.sequence}
            logger.info("snapshot_saved", extra={"path": str(path), **fields})
            return True

    def close(self) -> None:
        """Wait until the thread has done what it has to do, and end it; blocks."""
        self._thread.shutdown()

    @property
    def unsaved_count(self) -> int:
        """Changes since the last snapshot."""
        return self._live.change_count - self._saved_at_change

    def _freeze(self, index: TrackIndex) -> tuple[int, int, Frozen, LogPosition]:
        position = self._live.position
        assert position is not None  # something changed
        return self._live.change_count, self._live.merge_count, index.freeze(), position
