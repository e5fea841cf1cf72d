"""Takes what the embedder says of library tracks: a vector, or why there is none. Safe to hear twice."""

import asyncio
import logging

from museed.embedder.v1 import events_pb2
from services.chassis import vectors
from services.chassis.bus import EMBEDDER_EVENTS, Bus, Delivery, WorkConsumer
from services.social.domain.ids import EncoderId, TrackId, is_id
from services.social.embedders import to_embedding
from services.social.errors import DatabaseUnavailable
from services.social.store import embeddings, encoders, work
from services.social.store.database import Database
from services.social.workers.background import raise_if_cancelled

logger = logging.getLogger(__name__)

DURABLE = "social"
_SUBJECT = "museed.embedder.v1.*"
EMBEDDED = "museed.embedder.v1.track_embedded"
_CONCURRENCY = 8
_DATABASE_RETRY_S = 0.5
# Reasons that tell of the file's place and not of its sound begin like this.
_ABOUT_THE_FILE = "MEDIA_"


class EmbedderEvents:
    """Handles the embedder's events, each in one transaction.

    Args:
        database: Where results go.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def consumer(self, bus: Bus) -> WorkConsumer:
        """Return the consumer to run; what it cannot digest ends on DEAD_LETTERS."""
        return WorkConsumer(
            bus,
            stream=EMBEDDER_EVENTS,
            durable=DURABLE,
            subject=_SUBJECT,
            handler=self.handle,
            concurrency=_CONCURRENCY,
        )

    async def handle(self, delivery: Delivery) -> None:
        """Store what one message says; waits for a database that is away, which is no fault of the message.

        Raises:
            DecodeError, DomainError: The message cannot be read, or its vector is none.
        """
        while True:
            try:
                await self._store(delivery)
            except DatabaseUnavailable as error:
                logger.warning("database_waits", extra={"detail": error.message})
                await asyncio.sleep(_DATABASE_RETRY_S)
                raise_if_cancelled()
            else:
                return

    async def _store(self, delivery: Delivery) -> None:
        if delivery.subject == EMBEDDED:
            await self._embedded(events_pb2.TrackEmbedded.FromString(delivery.payload))
        else:
            await self._failed(events_pb2.TrackEmbeddingFailed.FromString(delivery.payload))

    async def _embedded(self, event: events_pb2.TrackEmbedded) -> None:
        encoder_id = EncoderId(event.embedding.encoder_id)
        async with self._database.transaction() as connection:
            encoder = await encoders.find_encoder(connection, encoder_id)
            if encoder is None:
                logger.warning("unknown_encoder", extra={"encoder_id": encoder_id})
                return
            vectors.decode(event.embedding.vector, encoder.dimension, "embedding.vector")
            embedding = to_embedding(event.embedding)
            track_ids = await embeddings.store_embedding(connection, encoder_id, event.audio_hash, embedding)
        logger.info("track_embedded", extra={"track_id": event.track_id, "tracks": len(track_ids)})

    async def _failed(self, event: events_pb2.TrackEmbeddingFailed) -> None:
        encoder_id = EncoderId(event.encoder_id)
        async with self._database.transaction() as connection:
            if await encoders.find_encoder(connection, encoder_id) is None:
                logger.warning("unknown_encoder", extra={"encoder_id": encoder_id})
            elif event.reason.startswith(_ABOUT_THE_FILE) and is_id(event.track_id):
                track_id = TrackId(event.track_id)
                found = (event.reason, event.message, event.work_id, event.file_hash)
                await work.store_absence(connection, encoder_id, event.audio_hash, track_id, *found)
            else:
                await embeddings.store_failure(
                    connection, encoder_id, event.audio_hash, event.reason, event.message, event.work_id
                )
        logger.info("track_failed", extra={"track_id": event.track_id, "reason": event.reason})
