"""Keeps the newest two snapshots of an index in a folder, and writes a new one when enough has changed."""

import asyncio
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from services.retriever.index import TrackIndex
from services.retriever.live import LiveIndex
from services.retriever.snapshot import CorruptSnapshotError, Snapshot, read_snapshot, write_snapshot

logger = logging.getLogger(__name__)

_KEPT = 2
_SUFFIX = ".snapshot"
_TEMPORARY = ".writing"
_SET_ASIDE = ".corrupt"


class SnapshotFolder:
    """The snapshots of one encoder in a folder of their own, numbered in the order in which they were written.

    Only one process may use it. What it holds can be lost at any time: the log has it all.

    Args:
        folder: Where the folders of all encoders lie; made when missing.
        encoder_id: Whose vectors.
    """

    def __init__(self, folder: Path, encoder_id: str) -> None:
        self._folder = folder / encoder_id
        self._encoder_id = encoder_id

    def load_newest(self) -> Snapshot | None:
        """Read the newest good snapshot; blocks.

        A damaged one is named in the log and set aside under the name *.corrupt, where the last two are kept; then the
        next older one is tried. One of another encoder is left alone.
        """
        for leftover in self._folder.glob(f"*{_TEMPORARY}"):
            leftover.unlink()
        for path in reversed(self._files(_SUFFIX)):
            try:
                snapshot = read_snapshot(path)
            except (CorruptSnapshotError, OSError) as error:
                logger.error("snapshot_corrupt", extra={"path": str(path), "error": str(error)})
                path.rename(path.with_suffix(_SET_ASIDE))
                self._prune(_SET_ASIDE)
                continue
            if snapshot.encoder_id == self._encoder_id:
                return snapshot
            logger.warning("snapshot_ignored", extra={"path": str(path), "encoder_id": snapshot.encoder_id})
        return None

    def save(self, snapshot: Snapshot) -> Path:
        """Write a snapshot so that it is there whole or not at all, and drop all but the newest two; blocks.

        Raises:
            OSError: The disk is full, or the folder cannot be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        numbers = [int(path.stem) for path in (*self._files(_SUFFIX), *self._files(_SET_ASIDE))]
        path = self._folder / f"{max(numbers, default=0) + 1:08d}{_SUFFIX}"
        temporary = path.with_suffix(_TEMPORARY)
        try:
            write_snapshot(temporary, snapshot)
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(self._folder)
        self._prune(_SUFFIX)
        return path

    def _files(self, suffix: str) -> list[Path]:
        """Return the files of a kind, oldest first."""
        return sorted(path for path in self._folder.glob(f"*{suffix}") if path.stem.isdigit())

    def _prune(self, suffix: str) -> None:
        for path in self._files(suffix)[:-_KEPT]:
            path.unlink()


class SnapshotKeeper:
    """Restores a live index from its folder, and saves it there in the background.

    A snapshot is a copy of the index, taken on the index's thread, and written on the thread "retriever-snapshot".
    While it is written the vectors are in memory twice.

    Args:
        live: The index.
        folder: Where the snapshots are.
        after_changes: Changes after which a snapshot is written.
        interval_s: Seconds after which a snapshot is written if anything changed.
    """

    def __init__(self, live: LiveIndex, folder: SnapshotFolder, after_changes: int, interval_s: float) -> None:
        self._live = live
        self._folder = folder
        self._after_changes = after_changes
        self._interval_s = interval_s
        self._saved_at_change = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="retriever-snapshot")

    async def restore(self) -> None:
        """Fill the index from the newest good snapshot, where there is one."""
        snapshot = await asyncio.get_running_loop().run_in_executor(self._thread, self._folder.load_newest)
        if snapshot is None:
            return

        def fill(index: TrackIndex) -> int:
            index.fill(snapshot.tracks, snapshot.vectors)
            return 0

        await self._live.advance(fill, snapshot.position, is_caught_up=False)
        logger.info(
            "snapshot_restored",
            extra={"track_count": len(snapshot.tracks), "sequence": snapshot.position.sequence},
        )

    async def run(self) -> None:
        """Save for ever, each time that enough has changed or that some time has passed since something did."""

        def is_due() -> bool:
            return self._live.is_caught_up and self._unsaved >= self._after_changes

        while True:
            await self._live.wait_until(is_due, self._interval_s)
            if not await self.save():
                await asyncio.sleep(self._interval_s)

    async def save(self) -> bool:
        """Save the index if it changed since the last time and is known to be complete.

        Returns:
            False if it could not be written, which is logged and does no other harm.
        """
        if not self._unsaved or not self._live.is_caught_up:
            return True
        changes, snapshot = await self._live.run(self._copy)
        try:
            path = await asyncio.get_running_loop().run_in_executor(self._thread, self._folder.save, snapshot)
        except OSError as error:
            logger.error("snapshot_failed", extra={"error": str(error)})
            return False
        self._saved_at_change = changes
        fields = {"track_count": len(snapshot.tracks), "sequence": snapshot.position.sequence}
        logger.info("snapshot_saved", extra={"path": str(path), **fields})
        return True

    def close(self) -> None:
        """End the thread after what it has to do."""
        self._thread.shutdown()

    @property
    def _unsaved(self) -> int:
        return self._live.change_count - self._saved_at_change

    def _copy(self, index: TrackIndex) -> tuple[int, Snapshot]:
        position = self._live.position
        assert position is not None  # something changed
        snapshot = Snapshot(index.encoder_id, position, list(index.tracks), index.vectors.copy())
        return self._live.change_count, snapshot


def _sync_folder(folder: Path) -> None:
    """Put a folder's entries on the disk, so that a rename survives a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
