"""Tells the mesh what became of a track's audio. Every event is confirmed, and has the same id when told again."""

import asyncio
import uuid

from museed.embedder.v1 import events_pb2
from services.chassis.bus import Bus
from services.chassis.errors import Unavailable

_EMBEDDED = "museed.embedder.v1.track_embedded"
_FAILED = "museed.embedder.v1.track_embedding_failed"
_NAMESPACE = uuid.UUID("6ee25c5e-6d3e-5d0e-9a55-0d8f3bb3c2a7")
_PAUSES_S = (0.2, 1.0, 3.0)


class Publisher:
    """Publishes this service's events.

    Args:
        bus: An open connection.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def embedded(self, event: events_pb2.TrackEmbedded, work_id: str) -> None:
        """Publish that a track has its vector.

        Args:
            event: What to tell.
            work_id: Id of the work that asked for it: the same work makes the same event id.

        Raises:
            Unavailable: NATS confirmed none of four tries.
        """
        await self._publish(_EMBEDDED, event.SerializeToString(), work_id)

    async def failed(self, event: events_pb2.TrackEmbeddingFailed, work_id: str) -> None:
        """Publish that a track cannot have a vector; see `embedded`."""
        await self._publish(_FAILED, event.SerializeToString(), work_id)

    async def _publish(self, subject: str, payload: bytes, work_id: str) -> None:
        event_id = str(uuid.uuid5(_NAMESPACE, f"{subject}/{work_id}"))
        for pause_s in _PAUSES_S:
            try:
                await self._bus.publish(subject, payload, event_id)
                return
            except Unavailable:  # it may be stored all the same: the id keeps the repetition from counting
                await asyncio.sleep(pause_s)
        await self._bus.publish(subject, payload, event_id)
