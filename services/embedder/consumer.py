"""Takes embedding work for this process's encoder from NATS, and answers each with one event."""

import logging
import os
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from google.protobuf.message import DecodeError

from museed.embedder.v1 import events_pb2
from museed.social.v1.events_pb2 import EmbedTrack
from services.chassis.blobs import BlobStore
from services.chassis.bus import EMBED_WORK, Bus, DeadLetter, Delivery, WorkConsumer, embed_track_subject
from services.chassis.errors import DeadlineExceeded, DomainError, NotFound, ResourceExhausted, Unavailable
from services.chassis.media import open_in_thread
from services.chassis.telemetry import tracing
from services.embedder.embedding import AudioLimits, TrackEmbedder, TrackEmbedding
from services.embedder.errors import (
    AudioError,
    DecoderKilled,
    DecoderLost,
    DecoderNotStarted,
    EncoderMismatch,
    MediaChanged,
)
from services.embedder.lanes import Lane
from services.embedder.messages import encode_windows, to_message
from services.embedder.metrics import EmbedderMetrics
from services.embedder.publisher import Publisher
from services.embedder.registered_file import RegisteredFile
from services.embedder.single_flight import SingleFlight

logger = logging.getLogger(__name__)

_ACK_WAIT_S = 15.0
_MAX_ATTEMPTS = 5
_POISON_REASON = "EMBEDDING_FAILED"
# Killed decoders on one file in a row, after which the file itself is suspected.
_MOST_LOSSES = 3
# Social, or its database, is away or busy: it will say later.
_SILENT = (Unavailable, DeadlineExceeded, ResourceExhausted)
_WANTED_WAIT_S = 60.0
# Beyond the longest pause of a consumer that tries again: a silence that nobody listened to is over.
_UNASKED_S = 120.0
# Results of a few KiB each: more than are ever in hand, and those that a server told too late may ask for again.
_MOST_KEPT = 256

# Says whether a piece of work, by its id, is still waited for.
IsWanted = Callable[[str], Awaitable[bool]]
# What became of a piece of work, as it is told.
_Event = events_pb2.TrackEmbedded | events_pb2.TrackEmbeddingFailed


class EmbedWork:
    """Handles EmbedTrack messages: opens the file below its root, embeds it, stores its windows, publishes the end.

    A file that cannot be embedded is an event and done with. Whatever else goes wrong is raised, so that the work comes
    again; work that failed five times is set aside, and told as a failure too. A decoder that was killed is replaced,
    and the file tried again; a file on which that happens three times in a row has failed.

    Only the file that was registered is embedded: another one in its place is refused, and says nothing of the sound.

    Work that nobody waits for any more is done without being done: a queue that came back from a backup, or gives out
    what was told just before its embedder died, embeds nothing twice. While social is away work waits for its answer,
    as it does where a whole mesh starts; a social that stays silent holds nothing up for longer than `wanted_wait_s`,
    and then the work is done without its answer.

    A result is kept, with its windows stored, until it was told, and for a while beyond: where NATS does not confirm
    it, or gives its work out again, only the telling is repeated. Work that comes again while it is in hand is not
    begun a second time; it ends with the first.

    Args:
        encoder_id: Encoder that this process serves.
        embedder: Embeds files.
        blobs: Where window vectors go.
        publisher: Tells what became of it.
        limits: What a library track may be.
        is_wanted: Asks social; raises DomainError where that is away.
        metrics: Told of work that was not wanted; None tells nobody.
        wanted_wait_s: How long work waits for a social that does not answer, from its first silence on.
    """

    def __init__(
        self,
        encoder_id: str,
        embedder: TrackEmbedder,
        blobs: BlobStore,
        publisher: Publisher,
        limits: AudioLimits,
        is_wanted: IsWanted,
        metrics: EmbedderMetrics | None = None,
        wanted_wait_s: float = _WANTED_WAIT_S,
    ) -> None:
        self._encoder_id = encoder_id
        self._embedder = embedder
        self._blobs = blobs
        self._publisher = publisher
        self._limits = limits
        self._is_wanted = is_wanted
        self._metrics = metrics or EmbedderMetrics()
        self._wanted_wait_s = wanted_wait_s
        self._silent_since: float | None = None
        self._silent_at = 0.0
        self._losses: dict[str, int] = {}
        self._in_hand = SingleFlight()
        self._kept: OrderedDict[str, _Event] = OrderedDict()
        self._executor = ThreadPoolExecutor(2, "media")

    async def handle(self, delivery: Delivery) -> None:
        """Do one piece of work; safe to repeat, also while it is being done."""
        await self._in_hand.join(delivery.event_id, lambda: self._handle(delivery))

    async def _handle(self, delivery: Delivery) -> None:
        event = self._kept.get(delivery.event_id)
        if event is None:
            work = EmbedTrack.FromString(delivery.payload)
            if not await self._is_waited_for(delivery.event_id):
                self._metrics.unwanted()
                logger.info("work_not_wanted", extra={"track_id": work.track_id})
                return
            event = await self._result(work, delivery.event_id)
            self._keep(delivery.event_id, event)
        await self._tell(event, delivery.event_id)

    async def _result(self, work: EmbedTrack, work_id: str) -> _Event:
        """Embed a file and store its windows; return what is to be told."""
        try:
            embedding = await self._embed_or_suspect(work, work_id)
        except (AudioError, NotFound, MediaChanged, EncoderMismatch) as error:
            return self._failure(work, work_id, error.reason, error.message)
        with tracing.span("store_windows", museed__windows=len(embedding.windows)):
            digest = await self._blobs.put(encode_windows(embedding))
        return events_pb2.TrackEmbedded(
            track_id=work.track_id,
            audio_hash=work.audio_hash,
            embedding=to_message(embedding, self._encoder_id, digest),
        )

    def _keep(self, work_id: str, event: _Event) -> None:
        self._kept[work_id] = event
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)

    async def give_up(self, letter: DeadLetter) -> None:
        """Tell of work that was set aside after its last attempt."""
        try:
            work = EmbedTrack.FromString(letter.payload)
        except DecodeError:  # nobody to tell it of: the dead letter keeps the bytes
            return
        event = self._kept.get(letter.event_id)  # its work was done, and only never acknowledged
        if event is None:
            message = f"embedding failed {letter.attempts} times for a reason that is not the audio's"
            event = self._failure(work, letter.event_id, _POISON_REASON, message)
        await self._tell(event, letter.event_id)

    def close(self) -> None:
        """End the threads."""
        self._executor.shutdown()

    async def _embed_or_suspect(self, work: EmbedTrack, work_id: str) -> TrackEmbedding:
        """Embed a file; count the decoders that it loses, as long as nothing else becomes of it."""
        losses = self._losses.pop(work_id, 0)
        try:
            return await self._embed(work)
        except DecoderNotStarted:
            raise
        except DecoderLost as error:
            if losses + 1 >= _MOST_LOSSES:
                raise DecoderKilled.of(losses + 1) from error
            self._losses[work_id] = losses + 1
            raise

    async def _embed(self, work: EmbedTrack) -> TrackEmbedding:
        if work.encoder_id != self._encoder_id:
            raise EncoderMismatch.of(work.encoder_id, self._encoder_id)
        file = RegisteredFile(work.root_location, work.relative_path, work.file_hash)
        descriptor = await open_in_thread(self._executor, file.open)
        try:
            return await self._hear(file, descriptor)
        finally:
            os.close(descriptor)

    async def _hear(self, file: RegisteredFile, descriptor: int) -> TrackEmbedding:
        try:
            embedding = await self._embedder.embed(descriptor, self._limits, Lane.BULK)
        except AudioError:
            file.check_unchanged(descriptor)  # what was half written says nothing of what was registered
            raise
        file.check_unchanged(descriptor)
        return embedding

    async def _is_waited_for(self, work_id: str) -> bool:
        try:
            wanted = await self._is_wanted(work_id)
        except _SILENT as error:
            now = time.monotonic()
            if self._silent_since is None or now - self._silent_at > self._wanted_wait_s + _UNASKED_S:
                self._silent_since = now
            self._silent_at = now
            if now - self._silent_since < self._wanted_wait_s:
                raise
            logger.warning("work_not_asked_for", extra={"reason": error.reason})
            return True
        except DomainError as error:
            logger.info("work_not_asked_for", extra={"reason": error.reason})
            return True
        self._silent_since = None
        return wanted

    def _failure(self, work: EmbedTrack, work_id: str, reason: str, message: str) -> events_pb2.TrackEmbeddingFailed:
        return events_pb2.TrackEmbeddingFailed(
            track_id=work.track_id,
            audio_hash=work.audio_hash,
            encoder_id=self._encoder_id,
            reason=reason,
            message=message,
            work_id=work_id,
            file_hash=work.file_hash,
        )

    async def _tell(self, event: _Event, work_id: str) -> None:
        if isinstance(event, events_pb2.TrackEmbeddingFailed):
            await self._publisher.failed(event, work_id)
            logger.info("track_embedding_failed", extra={"track_id": event.track_id, "reason": event.reason})
            return
        found = event.embedding
        with tracing.span("publish", museed__windows=found.window_count):
            await self._publisher.embedded(event, work_id)
        logger.info(
            "track_embedded",
            extra={
                "track_id": event.track_id,
                "seconds": round(found.duration_seconds, 1),
                "windows": found.window_count,
            },
        )


def make_consumer(
    bus: Bus, work: EmbedWork, encoder_id: str, concurrency: int, ack_wait_s: float = _ACK_WAIT_S
) -> WorkConsumer:
    """Make the consumer that feeds `work`, shared by all replicas of one encoder.

    Args:
        bus: An open connection.
        work: Its handler.
        encoder_id: Whose work is taken.
        concurrency: Files at a time, at work or at hand.
        ack_wait_s: Silence after which work in the hands of a lost embedder goes to another one.
    """
    return WorkConsumer(
        bus,
        stream=EMBED_WORK,
        durable=f"embedder-{encoder_id}",
        subject=embed_track_subject(encoder_id),
        handler=work.handle,
        concurrency=concurrency,
        ack_wait_s=ack_wait_s,
        max_attempts=_MAX_ATTEMPTS,
        on_dead_letter=work.give_up,
    )
