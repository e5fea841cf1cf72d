"""Takes audio in, wherever it comes from: checks it against limits, spools what must be decoded, has it embedded."""

import math
import os
from collections.abc import AsyncIterator

from services.chassis.blobs import BlobStore
from services.chassis.errors import InvalidArgument
from services.chassis.server import time_left_s
from services.embedder.embedding import AudioLimits, TrackEmbedder, TrackEmbedding
from services.embedder.errors import EncoderMismatch, UploadMalformed
from services.embedder.lanes import Lane
from services.embedder.model import Encoder
from services.embedder.pcm import SAMPLE_BYTES, cut_windows
from services.embedder.spool import Spool

_DIGEST_BYTES = 32


class Intake:
    """Embeds what the request at hand brings, within the time that its caller waits.

    Every method raises what `TrackEmbedder` raises, and a refusal by the header comes before a byte is read.

    Args:
        encoder: What is served.
        embedder: Embeds audio.
        blobs: Where digests are looked up.
        spool: Where files lie meanwhile.
        limits: What a caller's audio may be.
    """

    def __init__(
        self, encoder: Encoder, embedder: TrackEmbedder, blobs: BlobStore, spool: Spool, limits: AudioLimits
    ) -> None:
        self._manifest = encoder.manifest
        self._encoder_id = encoder.manifest.encoder_id
        self._embedder = embedder
        self._blobs = blobs
        self._spool = spool
        self._limits = limits

    def limits_for(self, encoder_id: str, min_seconds: float, prefix: str = "") -> AudioLimits:
        """Return what holds for a request.

        Args:
            encoder_id: Encoder that the caller expects; empty for any.
            min_seconds: Shortest audio that the caller wants; 0 for the setting.
            prefix: Where the fields stand in the request.

        Raises:
            EncoderMismatch: Another encoder is served.
            InvalidArgument: The length is none, or outside of the settings.
        """
        if encoder_id not in ("", self._encoder_id):
            raise EncoderMismatch.of(encoder_id, self._encoder_id, f"{prefix}encoder_id")
        if min_seconds == 0:
            return self._limits
        shortest, longest = self._limits.min_seconds, self._limits.max_seconds
        if not (math.isfinite(min_seconds) and shortest <= min_seconds <= longest):
            raise InvalidArgument(
                f"min_seconds is {min_seconds:g}, {shortest:g} to {longest:g} are allowed",
                field=f"{prefix}min_seconds",
                value=min_seconds,
                limit=f"{shortest:g}..{longest:g}",
            )
        return AudioLimits(min_seconds, longest, self._limits.max_bytes)

    async def file(
        self, chunks: AsyncIterator[bytes], size_bytes: int, limits: AudioLimits, lane: Lane
    ) -> TrackEmbedding:
        """Embed a file of any format that is decoded here."""
        limits.check_size(size_bytes)
        async with self._spool.open() as file:
            async for chunk in chunks:
                await file.write(chunk)
            return await self._embedder.embed(file.rewind(), limits, lane, time_left_s())

    async def samples(
        self, chunks: AsyncIterator[bytes], size_bytes: int, limits: AudioLimits, lane: Lane, field: str
    ) -> TrackEmbedding:
        """Embed little-endian float32 samples at the model's own rate; `field` names them in the request."""
        limits.check_size(size_bytes)
        if size_bytes % SAMPLE_BYTES:
            raise UploadMalformed(
                f"{size_bytes} bytes are no whole samples of {SAMPLE_BYTES}",
                field=field,
                value=size_bytes,
                limit=SAMPLE_BYTES,
            )
        seconds = size_bytes / SAMPLE_BYTES / self._manifest.sample_rate_hz
        windows = cut_windows(chunks, self._manifest.window_samples)
        return await self._embedder.embed_samples(windows, seconds, limits, lane, time_left_s())

    async def blob(self, digest: bytes, limits: AudioLimits, lane: Lane) -> TrackEmbedding:
        """Embed a file of the blob store.

        Raises:
            InvalidArgument: The digest is none.
            NotFound: BLOB_NOT_FOUND.
        """
        if len(digest) != _DIGEST_BYTES:
            raise InvalidArgument(
                f"the digest has {len(digest)} bytes, a SHA-256 has {_DIGEST_BYTES}",
                field="digest",
                value=len(digest),
                limit=_DIGEST_BYTES,
            )
        descriptor = await self._blobs.open(digest)
        if descriptor is None:
            return await self.file(self._blobs.stream(digest), await self._blobs.size(digest), limits, lane)
        with os.fdopen(descriptor, "rb", buffering=0):
            return await self._embedder.embed(descriptor, limits, lane, time_left_s())

    async def keep(self, windows: bytes) -> bytes:
        """Put encoded windows into the blob store and return their digest, 32 bytes."""
        return await self._blobs.put(windows)
