"""What snapshots are to the engine of this process: restores an index that lives in Milvus, and keeps its point."""

import asyncio
import logging

from services.chassis.bus import LogPosition
from services.retriever.errors import EngineUnavailable
from services.retriever.live.live import LiveIndex
from services.retriever.milvus.milvus_engine import MilvusIndex

logger = logging.getLogger(__name__)

_RETRY_INTERVAL_S = 1.0


class MilvusKeeper:
    """Milvus keeps tracks and vectors by itself; this keeps the point of the log up to which they are true.

    A start reads what Milvus holds and follows the log from that point. While Milvus is away it waits: reads are
    refused, because the log has not been read to its end.

    Args:
        live: The index; it is a MilvusIndex.
        index: The same.
        after_changes: Changes after which the point is kept.
        interval_s: Seconds after which the point is kept if anything changed.
    """

    def __init__(self, live: LiveIndex, index: MilvusIndex, after_changes: int, interval_s: float) -> None:
        self._live = live
        self._index = index
        self._after_changes = after_changes
        self._interval_s = interval_s
        self._saved_at_change = 0

    async def restore(self) -> None:
        """Learn what Milvus holds, as soon as it answers."""
        while True:
            try:
                position = await self._live.run(lambda _: self._index.restore())
                break
            except EngineUnavailable as error:
                logger.warning("engine_away", extra={"error": error.message})
            await asyncio.sleep(_RETRY_INTERVAL_S)
        if position is not None:
            await self._live.advance(lambda _: 0, position, is_caught_up=False)
            fields = {"track_count": len(self._index), "sequence": position.sequence}
            logger.info("milvus_restored", extra=fields)

    async def run(self) -> None:
        """Keep the point for ever, each time that enough has changed or that some time has passed since it did."""
        while True:
            await self._live.wait_until(lambda: self._unsaved >= self._after_changes, self._interval_s)
            if not await self.save():
                await asyncio.sleep(self._interval_s)

    async def save(self) -> bool:
        """Send what is gathered and keep the point; return False if Milvus was away, which does no other harm."""
        if not self._unsaved or self._live.position is None:
            return True
        try:
            # Sent on the index's thread, so that no change comes between; the rest would keep searches waiting.
            is_there, position, change_count = await self._live.run(lambda _: self._send())
            if is_there:
                await asyncio.to_thread(self._index.keep, position)
            self._saved_at_change = change_count
        except EngineUnavailable as error:
            logger.error("point_not_kept", extra={"error": error.message})
            return False
        return True

    def close(self) -> None:
        """Nothing to end: the index's own thread does the work."""

    @property
    def _unsaved(self) -> int:
        return self._live.change_count - self._saved_at_change

    def _send(self) -> tuple[bool, LogPosition, int]:
        position = self._live.position
        assert position is not None  # asked before
        return self._index.send(), position, self._live.change_count
