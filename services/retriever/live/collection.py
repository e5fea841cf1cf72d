"""The indexes of a process, one for each encoder that social keeps up to date; vectors of two are never in one."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import cast

from services.chassis.bus import Bus
from services.chassis.errors import DomainError
from services.retriever.clients import Kept
from services.retriever.consumer import LogConsumer
from services.retriever.errors import EncoderMismatch
from services.retriever.index.bases import IndexChoice
from services.retriever.index.index import TrackIndex
from services.retriever.live.live import LiveIndex
from services.retriever.live.merger import Merger
from services.retriever.live.snapshot_folder import SnapshotFolder
from services.retriever.live.snapshots import SnapshotKeeper
from services.retriever.milvus.milvus_engine import MilvusIndex
from services.retriever.milvus.milvus_keeper import MilvusKeeper
from services.retriever.timing import SearchMetrics

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
        choice: Which kind of index to make.
        thread_count: Threads that one search may use.
        open_milvus: Opens the index of an encoder in Milvus; None keeps it in this process.
        metrics: Told how long searches take; None tells nobody.
    """

    def __init__(
        self,
        encoder_id: str,
        folder: Path,
        after_changes: int,
        interval_s: float,
        on_ready: Callable[[bool], Awaitable[None]],
        choice: IndexChoice | None = None,
        thread_count: int = 1,
        open_milvus: Callable[[str], MilvusIndex] | None = None,
        metrics: SearchMetrics | None = None,
    ) -> None:
        choice = choice if choice is not None else IndexChoice()
        self.encoder_id = encoder_id
        self.keeper: SnapshotKeeper | MilvusKeeper
        self.merger: Merger | None = None
        if open_milvus is None:
            self.live = LiveIndex(TrackIndex(encoder_id, choice), thread_count, metrics=metrics)
            files = SnapshotFolder(folder, encoder_id, choice)
            self.keeper = SnapshotKeeper(self.live, files, after_changes, interval_s)
            self.merger = Merger(self.live, files, choice)
        else:
            index = open_milvus(encoder_id)
            # Merges and snapshots need a TrackIndex, and there are none; calls and the log ask for what both have.
            self.live = LiveIndex(cast(TrackIndex, index), thread_count, is_shared=False, metrics=metrics)
            self.keeper = MilvusKeeper(self.live, index, after_changes, interval_s)
        self.consumer = LogConsumer(self.live, on_ready)

    async def run(self, bus: Bus) -> None:
        """Restore the index and follow the log, until cancelled; then save what changed.

        Calls that still hold this collection may end; its thread ends with the last of them.
        """
        try:
            await self.keeper.restore()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.consumer.run(bus), name="log-consumer")
                if self.merger is not None:
                    tasks.create_task(self.merger.run(), name="merger")
                tasks.create_task(self.keeper.run(), name="snapshot-keeper")
        finally:
            if self.merger is not None:
                self.merger.stop()
            await self.keeper.save()
            # Not on the event loop, where others are served: a file may be half read or written.
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self.keeper.close()
        if self.merger is not None:
            self.merger.close()


class Collections:
    """The collections of the encoders that social keeps, and which of them is served.

    Args:
        serving: Whose vectors are served until social says otherwise.
        make: Makes a collection; called with its encoder and with whom to tell whether it is complete.
        set_serving: Told whether the serving encoder's index is complete.
        drop_retired: Deletes what is left of encoders other than these; called on a thread of its own.
    """

    def __init__(
        self,
        serving: str,
        make: Callable[[str, Callable[[bool], Awaitable[None]]], Collection],
        set_serving: Callable[[bool], Awaitable[None]],
        drop_retired: Callable[[AbstractSet[str]], None] = lambda _: None,
    ) -> None:
        self.serving = serving
        self._make = make
        self._set_serving = set_serving
        self._found: dict[str, Collection] = {}
        # With those that are not kept any more and have not ended yet.
        self._running: dict[str, tuple[Collection, asyncio.Task[None]]] = {}
        self._drop_retired = drop_retired
        self._tidied_for: AbstractSet[str] = frozenset()
        self._telling = asyncio.Lock()
        self._is_social_away = False
        self._add(serving)

    @property
    def held(self) -> Sequence[Collection]:
        """All of them."""
        return list(self._found.values())

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
                    self._hold(bus, tasks)
                    await self._ask(fetch)
                    await asyncio.sleep(_FOLLOW_INTERVAL_S)
        finally:
            for collection in self._found.values():
                collection.live.close()

    def _hold(self, bus: Bus, tasks: asyncio.TaskGroup) -> None:
        """Begin with what is new, and end what is not kept any more."""
        for encoder_id, (collection, task) in list(self._running.items()):
            if task.done():
                del self._running[encoder_id]
            elif self._found.get(encoder_id) is not collection and not task.cancelling():
                logger.info("collection_dropped", extra={"encoder_id": encoder_id})
                task.cancel()
        for encoder_id, collection in self._found.items():
            # One that returns begins when the one before it has left the folder.
            if encoder_id not in self._running:
                task = tasks.create_task(collection.run(bus), name=f"collection-{encoder_id}")
                self._running[encoder_id] = collection, task

    async def _ask(self, fetch: Callable[[], Awaitable[Kept]]) -> None:
        try:
            kept = await fetch()
        except DomainError as error:
            if not self._is_social_away:
                logger.warning("encoders_stale", extra={"reason": error.reason, "error": error.message})
            self._is_social_away = True
            return
        if self._is_social_away:
            logger.info("encoders_fresh")
        self._is_social_away = False
        if not kept.serving:
            return  # social has seen no encoder yet
        await self._follow(kept)
        # Only what social says is known not to be kept, and who still saves what it had is left in peace.
        in_use = self._found.keys() | self._running.keys()
        if in_use != self._tidied_for:
            await asyncio.to_thread(self._drop_retired, in_use)
            self._tidied_for = in_use

    async def _follow(self, kept: Kept) -> None:
        for encoder_id in {kept.serving, *kept.others} - self._found.keys():
            self._add(encoder_id)
        for encoder_id in self._found.keys() - {kept.serving, *kept.others}:
            del self._found[encoder_id]
        for collection in self._found.values():
            collection.consumer.expect(kept.log_created_at, is_filling=kept.is_log_filling)
        if kept.serving != self.serving:
            logger.info("serving_encoder_changed", extra={"encoder_id": kept.serving, "before": self.serving})
            self.serving = kept.serving
            await self._tell_serving()

    def _add(self, encoder_id: str) -> None:
        async def on_ready(is_ready: bool) -> None:
            if encoder_id == self.serving:
                await self._tell_serving()

        self._found[encoder_id] = self._make(encoder_id, on_ready)

    async def _tell_serving(self) -> None:
        # What is true by now, one after the other: a switch and a log that begins anew may come together.
        async with self._telling:
            await self._set_serving(self.of("").live.is_caught_up)
