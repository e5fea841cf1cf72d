"""Follows the VECTORS log and applies it to the live index; no other input changes the index."""

import logging
import math
from collections.abc import Awaitable, Callable, Sequence

from google.protobuf.message import DecodeError

from museed.social.v1 import events_pb2
from services.chassis import vectors
from services.chassis.bus import VECTORS, Bus, LogBatch, LogEntry, read_log, vector_subject
from services.chassis.errors import DomainError, InvalidArgument
from services.retriever.index import TrackIndex
from services.retriever.live import LiveIndex
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track

logger = logging.getLogger(__name__)

_AUDIO_HASH_BYTES = 32


class LogConsumer:
    """Applies one encoder's part of the VECTORS log from the live index's position on.

    A message that is malformed or of another encoder is named in the log, counted, and passed over: the index then
    keeps what it knew of that track.

    Args:
        live: The index; its position says where to begin.
        on_ready: Told when the index becomes complete (True), and when the log begins anew (False).
    """

    def __init__(self, live: LiveIndex, on_ready: Callable[[bool], Awaitable[None]]) -> None:
        self._live = live
        self._on_ready = on_ready
        self._entry_count = 0
        self.refused_count = 0

    async def run(self, bus: Bus) -> None:
        """Follow the log for ever; survives a server that goes away."""
        subject = vector_subject(self._live.encoder_id, ">")
        async for batch in read_log(bus, VECTORS, subject, self._live.position):
            await self._take(batch)

    async def _take(self, batch: LogBatch) -> None:
        was_caught_up = self._live.is_caught_up
        # A burst that is not read to its end yet does not make an index incomplete; a log begun anew does.
        is_caught_up = batch.is_caught_up or (was_caught_up and not batch.is_reset)
        if batch.is_reset:
            logger.info("log_begun_anew", extra={"stream_created_at": batch.position.created_at.isoformat()})
            self._entry_count = 0
        if was_caught_up and not is_caught_up:
            await self._on_ready(False)
        self._entry_count += len(batch.entries)
        await self._live.advance(lambda index: self._apply(index, batch), batch.position, is_caught_up=is_caught_up)
        if is_caught_up and not was_caught_up:
            logger.info("log_caught_up", extra={"sequence": batch.position.sequence, "entry_count": self._entry_count})
            await self._on_ready(True)

    def _apply(self, index: TrackIndex, batch: LogBatch) -> int:
        """Apply a batch and return the number of changes; runs on the index's thread."""
        changes = 0
        if batch.is_reset:
            changes += 1
            index.clear()
        for entry in batch.entries:
            try:
                changes += apply_entry(index, entry)
            except DomainError as error:
                self.refused_count += 1
                logger.warning(
                    "vector_refused",
                    extra={"subject": entry.subject, "sequence": entry.sequence, "error": error.message},
                )
        return changes


def apply_entry(index: TrackIndex, entry: LogEntry) -> bool:
    """Apply one message of the log to the index; safe to repeat.

    Returns:
        Whether anything changed: a version lower than the indexed one and a tombstone for nothing change nothing.

    Raises:
        InvalidArgument: The message is malformed, of another encoder, or of another dimension.
    """
    track_id = entry.subject.rsplit(".", 1)[-1]
    if not entry.payload:
        return index.remove(track_id)
    track, vector = parse_track(entry.payload, track_id, index.encoder_id)
    return index.upsert(track, vector)


def parse_track(payload: bytes, track_id: str, encoder_id: str) -> tuple[Track, Float32Array]:
    """Read a TrackVector message.

    Args:
        payload: The serialised message.
        track_id: The track that it must be about.
        encoder_id: The encoder that it must come from.

    Raises:
        InvalidArgument: It is something else.
    """
    try:
        message = events_pb2.TrackVector.FromString(payload)
    except DecodeError as error:
        raise InvalidArgument("it is no TrackVector") from error
    _expect("track_id", message.track_id, [track_id])
    _expect("encoder_id", message.encoder_id, [encoder_id])
    _expect("length of audio_hash", len(message.audio_hash), [0, _AUDIO_HASH_BYTES])
    if not (math.isfinite(message.duration_seconds) and message.duration_seconds >= 0):
        raise InvalidArgument(f"duration_seconds is {message.duration_seconds}", field="duration_seconds")
    track = Track(
        track_id=track_id,
        version=message.version,
        title=message.title,
        artist=message.artist,
        album=message.album,
        folder=message.folder,
        genre=message.genre,
        year=message.year,
        duration_s=message.duration_seconds,
        audio_hash=message.audio_hash,
        tags=tuple(message.tags),
    )
    return track, vectors.decode(message.vector, max(1, len(message.vector) // 4))


def _expect(field: str, value: object, allowed: Sequence[object]) -> None:
    if value not in allowed:
        raise InvalidArgument(
            f"{field} is {value!r}, {' or '.join(map(repr, allowed))} is expected", field=field, value=value
        )
