"""Follows the VECTORS log and applies it to the live index; no other input changes the index."""

import asyncio
import contextlib
import logging
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import numpy as np
from google.protobuf.message import DecodeError

from museed.social.v1 import catalog_pb2, events_pb2
from services.chassis import vectors
from services.chassis.bus import VECTORS, Bus, LogBatch, LogEntry, read_log, vector_subject
from services.chassis.errors import DomainError, InvalidArgument
from services.chassis.telemetry import tracing
from services.retriever.errors import EngineUnavailable
from services.retriever.index.index import TrackIndex
from services.retriever.live.live import LiveIndex
from services.retriever.servicer.limits import MAX_ID, counted, within
from services.retriever.similarity import Float32Array
from services.retriever.touched import Touched
from services.retriever.tracks import Track

logger = logging.getLogger(__name__)

_DIGEST_BYTES = 32
_RETRY_INTERVAL_S = 1.0
# Applied in one go, between the questions of others: 5 ms.
_AT_ONCE = 100
# Of each reason so many refused messages are named in the log; the others are counted alone.
_NAMED = 100
# Social sends less. One message must not make an index that no memory holds.
_MAX_DIMENSION = 16_384
_MAX_TAGS = 100
_MAX_TEXT_LENGTH = 5_000
_LONGEST_S = float(np.finfo(np.float32).max)
_TEXTS = ("title", "artist", "album", "folder", "genre")


class LogConsumer:
    """Applies one encoder's part of the VECTORS log from the live index's position on.

    A message that is malformed or of another encoder is named in the log, counted, and passed over: the index then
    keeps what it knew of that track.

    Args:
        live: The index; its position says where to begin.
        on_ready: Told when the index has become complete (True), and when the log has begun anew (False).

    Attributes:
        refused: Messages that were passed over since the start, by reason.
        pending_count: Messages that the log held beyond the applied ones when it was last heard of.
        heard_at: When that was, by `time.monotonic`; None before the first time.
        touched: What the log has changed since somebody asked; for the index's thread.
    """

    def __init__(self, live: LiveIndex, on_ready: Callable[[bool], Awaitable[None]]) -> None:
        self._live = live
        self._on_ready = on_ready
        self._entry_count = 0
        self._expected: tuple[datetime, bool] | None = None
        # Of a log that was read from its beginning nobody can tell whether it is whole, until social was asked.
        self._is_unsure = False
        self._is_told = False
        self.refused: Counter[str] = Counter()
        self.pending_count = 0
        self.heard_at: float | None = None
        self.touched = Touched()

    @property
    def refused_count(self) -> int:
        """Messages that were passed over since the start."""
        return self.refused.total()

    def expect(self, created_at: datetime | None, *, is_filling: bool) -> None:
        """Take note of which stream social fills, None where that is not known, and whether it still does.

        An index that read another one, or one that is not full yet, to its end does not become complete by that, nor
        one that read a log from its beginning before this was ever told: it may have been lost, and be empty. One that
        is complete stays so: what is told again it knows already.
        """
        self._expected = None if created_at is None else (created_at, is_filling)
        self._is_told = True

    async def run(self, bus: Bus) -> None:
        """Follow the log for ever; survives a server that goes away."""
        subject = vector_subject(self._live.encoder_id, ">")
        async with contextlib.aclosing(read_log(bus, VECTORS, subject, self._live.position)) as batches:
            async for batch in batches:
                for part in batch.parts(_AT_ONCE):
                    await self._take(part)

    async def _take(self, batch: LogBatch) -> None:
        self.heard_at, self.pending_count = time.monotonic(), batch.pending_count
        was_caught_up = self._live.is_caught_up
        if batch.is_reset:
            logger.info("log_begun_anew", extra={"stream_created_at": batch.position.created_at.isoformat()})
            self._entry_count = 0
            self._is_unsure = not self._is_told
        # A burst that is not read to its end yet does not make an index incomplete; a log begun anew does.
        self._is_unsure = self._is_unsure and not self._is_told
        is_full = not self._is_unsure and self._expected in (None, (batch.position.created_at, False))
        is_caught_up = (batch.is_caught_up and is_full) or (was_caught_up and not batch.is_reset)
        is_news = (batch.position, is_caught_up) != (self._live.position, was_caught_up)
        if batch.entries or batch.is_reset or is_news:
            await self._advance(batch, is_caught_up)
        self._entry_count += len(batch.entries)
        if is_caught_up and (batch.is_reset or not was_caught_up):
            logger.info("log_caught_up", extra={"sequence": batch.position.sequence, "entry_count": self._entry_count})
        if is_caught_up != was_caught_up:
            await self._on_ready(is_caught_up)

    async def _advance(self, batch: LogBatch, is_caught_up: bool) -> None:
        """Apply a batch; while an engine elsewhere is away, again and again, since applying is safe to repeat."""
        while True:
            refused_before = self.refused.copy()
            try:
                return await self._live.advance(
                    lambda index: self._apply(index, batch), batch.position, is_caught_up=is_caught_up
                )
            except EngineUnavailable as error:
                logger.warning("engine_away", extra={"error": error.message})
            self.refused = refused_before
            await asyncio.sleep(_RETRY_INTERVAL_S)

    def _apply(self, index: TrackIndex, batch: LogBatch) -> int:
        """Apply a batch and return the number of changes; runs on the index's thread."""
        changes = 0
        if batch.is_reset:
            changes += 1
            index.clear()
            self.touched.note_all()
        # While all of a log is read, or read again, what caused its messages is long over.
        is_news = self._live.is_caught_up and not batch.is_reset
        for entry in batch.entries:
            try:
                with entry.span(VECTORS) if is_news else tracing.NOTHING:
                    is_changed = apply_entry(index, entry)
                if is_changed:
                    changes += 1
                    self.touched.note(entry.subject.rsplit(".", 1)[-1])
            except EngineUnavailable:
                raise
            except DomainError as error:
                self._refuse(entry, error)
        return changes

    def _refuse(self, entry: LogEntry, error: DomainError) -> None:
        self.refused[error.reason] += 1
        if self.refused[error.reason] <= _NAMED:
            fields = {"subject": entry.subject, "sequence": entry.sequence}
            logger.warning("vector_refused", extra={**fields, "reason": error.reason, "error": error.message})


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
        InvalidArgument: It is something else, or too large.
    """
    try:
        message = events_pb2.TrackVector.FromString(payload)
    except DecodeError as error:
        raise InvalidArgument("it is no TrackVector", reason="MALFORMED") from error
    _expect("track_id", message.track_id, [track_id], "TRACK_MISMATCH")
    _expect("encoder_id", message.encoder_id, [encoder_id], "ENCODER_MISMATCH")
    within("length of track_id", len(track_id), 1, MAX_ID)
    _expect("length of audio_hash", len(message.audio_hash), [0, _DIGEST_BYTES], "MALFORMED")
    _expect("length of windows_digest", len(message.windows_digest), [0, _DIGEST_BYTES], "MALFORMED")
    within("duration_seconds", message.duration_seconds, 0, _LONGEST_S)  # neither NaN nor infinite
    within("dimensions of vector", len(message.vector) // 4, 1, _MAX_DIMENSION)
    counted("tags", len(message.tags), _MAX_TAGS)
    for text in (*(getattr(message, name) for name in _TEXTS), message.descriptors.key, *message.tags):
        within("length of a text", len(text), 0, _MAX_TEXT_LENGTH)
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
        tempo_bpm=_known(message.descriptors, "tempo_bpm"),
        key=message.descriptors.key,
        energy=_known(message.descriptors, "energy"),
        loudness_lufs=_known(message.descriptors, "loudness_lufs"),
        windows_digest=message.windows_digest,
    )
    return track, vectors.decode(message.vector, len(message.vector) // 4)


def _known(descriptors: catalog_pb2.Descriptors, name: str) -> float | None:
    """Return a measure; None where it is unset, or no number."""
    value: float = getattr(descriptors, name)
    return value if descriptors.HasField(name) and math.isfinite(value) else None  # type: ignore[arg-type]  # a name


def _expect(field: str, value: object, allowed: Sequence[object], reason: str) -> None:
    if value not in allowed:
        expected = " or ".join(map(repr, allowed))
        raise InvalidArgument(
            f"{field} is {value!r}, {expected} is expected", reason=reason, field=field, value=value, limit=expected
        )
