"""The indexes of a process, one for each encoder that social keeps up to date; vectors of two are never in one."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from services.chassis.bus import Bus
from services.chassis.errors import DomainError
from services.retriever.clients import Kept
from services.retriever.consumer import LogConsumer
from services.retriever.errors import EncoderMismatch
from services.retriever.index import TrackIndex
from services.retriever.live import LiveIndex
from services.retriever.snapshots import SnapshotFolder, SnapshotKeeper

logger = logging.getLogger(__name__)

_FOLLOW_INTERVAL_S = 1.0


class Collection:
    """The index of one encoder, with what follows the log for it and what keeps it on disk.

    Args:
        encoder_id: Whose vectors.
        folder: Where the snapshots of all encoders lie.
        after_changes: Changes after which a snapshot is written.
        interval_s: Seconds after which a snapshot is written if anything changed.
        on_ready: Told when the index becomes complete, and when its log begins anew.
    """

    def __init__(
        self,
        encoder_id: str,
        folder: Path,
        after_changes: int,
        interval_s: float,
        on_ready: Callable[[bool], Awaitable[None]],
    ) -> None:
        self.encoder_id = encoder_id
        self.live = LiveIndex(TrackIndex(encoder_id))
        self.keeper = SnapshotKeeper(self.live, SnapshotFolder(folder, encoder_id), after_changes, interval_s)
        self.consumer = LogConsumer(self.live, on_ready)

    async def run(self, bus: Bus) -> None:
        """Restore the index and follow the log, until cancelled; then save what changed.

        Calls that still hold this collection may end; its thread ends with the last of them.
        """
        try:
            await self.keeper.restore()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.consumer.run(bus), name="log-consumer")
                tasks.create_task(self.keeper.run(), name="snapshot-keeper")
        finally:
            await self.keeper.save()
            self.keeper.close()


class Collections:
    """The collections of the encoders that social keeps, and which of them is served.

    Args:
        serving: Whose vectors are served until social says otherwise.
        make: Makes a collection; called with its encoder and with whom to tell whether it is complete.
        set_serving: Told whether the serving encoder's index is complete.
    """

    def __init__(
        self,
        serving: str,
        make: Callable[[str, Callable[[bool], Awaitable[None]]], Collection],
        set_serving: Callable[[bool], Awaitable[None]],
    ) -> None:
        self.serving = serving
        self._make = make
        self._set_serving = set_serving
        self._found: dict[str, Collection] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._add(serving)

    def of(self, encoder_id: str) -> Collection:
        """Return the collection of an encoder; an unnamed one is the serving one.

        Raises:
            EncoderMismatch: Its vectors are not held here; names the serving encoder.
        """
        found = self._found.get(encoder_id or self.serving)
        if found is None:
            raise EncoderMismatch(encoder_id, self.serving)
        return found

    async def run(self, bus: Bus, fetch: Callable[[], Awaitable[Kept]]) -> None:
        """Hold what social keeps, until cancelled; while social is away everything stays as it is.

        Args:
            bus: Where the log is.
            fetch: Asks social; raises DomainError when it is away.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    await self._hold(bus, tasks)
                    try:
                        kept = await fetch()
                    except DomainError as error:
                        logger.info("encoders_stale", extra={"reason": error.reason})
                    else:
                        await self._follow(kept)
                    await asyncio.sleep(_FOLLOW_INTERVAL_S)
        finally:
            for collection in self._found.values():
                collection.live.close()

    async def _hold(self, bus: Bus, tasks: asyncio.TaskGroup) -> None:
        for encoder_id, collection in self._found.items():
            if encoder_id not in self._running:
                self._running[encoder_id] = tasks.create_task(collection.run(bus), name=f"collection-{encoder_id}")
        for encoder_id in self._running.keys() - self._found.keys():
            logger.info("collection_dropped", extra={"encoder_id": encoder_id})
            self._running.pop(encoder_id).cancel()

    async def _follow(self, kept: Kept) -> None:
        if not kept.serving:
            return  # social has seen no encoder yet
        for encoder_id in {kept.serving, *kept.others} - self._found.keys():
            self._add(encoder_id)
        for encoder_id in self._found.keys() - {kept.serving, *kept.others}:
            del self._found[encoder_id]
        if kept.serving != self.serving:
            logger.info("serving_encoder_changed", extra={"encoder_id": kept.serving, "before": self.serving})
            self.serving = kept.serving
            await self._set_serving(self.of("").live.is_caught_up)

    def _add(self, encoder_id: str) -> None:
        async def on_ready(is_ready: bool) -> None:
            if encoder_id == self.serving:
                await self._set_serving(is_ready)

        self._found[encoder_id] = self._make(encoder_id, on_ready)
