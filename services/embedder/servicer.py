"""The gRPC side of the embedder: takes files from callers, tells their vectors, and describes the encoder."""

import contextlib
import math
from collections.abc import AsyncIterator, Iterator

from museed.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from services.chassis import vectors
from services.chassis.auth import Access
from services.chassis.blobs import BlobStore
from services.chassis.errors import InvalidArgument, Unimplemented
from services.chassis.server import time_left_s
from services.embedder.batcher import Lane
from services.embedder.embedding import AudioLimits, TrackEmbedder
from services.embedder.errors import EmbedderBusy, EncoderMismatch, UploadMalformed
from services.embedder.messages import quantile_messages, tags_message, to_message
from services.embedder.model import Encoder
from services.embedder.spool import Spool, SpooledFile
from services.embedder.tagging import Tagger
from services.embedder.text import TextEmbedder

_SERVICE = "/museed.embedder.v1.EmbedderService"
_MAX_CHUNK_BYTES = 1024 * 1024
_DIGEST_BYTES = 32
_RETRY_AFTER_MS = 2000

# A digest authorises nobody, so only workers, whose job names a file of its owner, may read the blob store by it.
ACCESS = {
    f"{_SERVICE}/Embed": Access.USER,
    f"{_SERVICE}/EmbedBlob": Access.WORKER,
    f"{_SERVICE}/EmbedBatch": Access.WORKER,
    f"{_SERVICE}/EmbedText": Access.USER,
    f"{_SERVICE}/TagTrack": Access.WORKER,
    f"{_SERVICE}/DescribeModel": Access.PUBLIC,
}


class Servicer(embedder_pb2_grpc.EmbedderServiceServicer):
    """Answers from one encoder. Who may call what stands in ACCESS.

    Args:
        encoder: What is served.
        embedder: Embeds files.
        blobs: Where EmbedBlob reads.
        spool: Where files lie meanwhile.
        limits: What a caller's file may be.
        max_calls: Files of callers taken in at a time; further calls are refused before their bytes come.
        text: Embeds words; None where no text model is loaded.
        tagger: Tags files; None gives the encoder's own tags.
    """

    def __init__(
        self,
        encoder: Encoder,
        embedder: TrackEmbedder,
        blobs: BlobStore,
        spool: Spool,
        limits: AudioLimits,
        max_calls: int,
        text: TextEmbedder | None = None,
        tagger: Tagger | None = None,
    ) -> None:
        self._encoder = encoder
        self._embedder = embedder
        self._blobs = blobs
        self._spool = spool
        self._limits = limits
        self._max_calls = max_calls
        self._calls = 0
        self._text = text
        self._tagger = tagger or Tagger(encoder, embedder)

    async def Embed(
        self, request_iterator: AsyncIterator[embedder_pb2.EmbedRequest], context: object
    ) -> embedder_pb2.EmbedResponse:
        """Embed a file that the caller streams."""
        with self._admitted():
            header = await _read_header(request_iterator)
            limits = self._checked(header.encoder_id, header.min_seconds, "header.")
            if header.size_bytes < 0:
                raise UploadMalformed("the size is negative", field="header.size_bytes", value=header.size_bytes)
            limits.check_size(header.size_bytes)
            async with self._spool.open() as file:
                await _receive(request_iterator, file, header.size_bytes)
                return embedder_pb2.EmbedResponse(embedding=await self._embed(file, limits))

    async def EmbedBlob(
        self, request: embedder_pb2.EmbedBlobRequest, context: object
    ) -> embedder_pb2.EmbedBlobResponse:
        """Embed a file of the blob store."""
        _check_digest(request.digest)
        with self._admitted():
            limits = self._checked(request.encoder_id, request.min_seconds, "")
            async with self._spooled(request.digest, limits) as file:
                return embedder_pb2.EmbedBlobResponse(embedding=await self._embed(file, limits))

    async def EmbedBatch(
        self, request_iterator: AsyncIterator[embedder_pb2.EmbedBatchRequest], context: object
    ) -> AsyncIterator[embedder_pb2.EmbedBatchResponse]:
        """Embed many items of one caller."""
        raise Unimplemented("batches are not taken yet")
        yield

    async def EmbedText(
        self, request: embedder_pb2.EmbedTextRequest, context: object
    ) -> embedder_pb2.EmbedTextResponse:
        """Put words into the space of sound."""
        if self._text is None:
            raise Unimplemented("no text model is loaded: set EMBEDDER_MULAN", field="EMBEDDER_MULAN")
        found = await self._text.embed(request.text, request.encoder_id, time_left_s())
        return embedder_pb2.EmbedTextResponse(
            encoder_id=self._text.encoder_id, vector=vectors.encode(found.vector), prompt=found.prompt
        )

    async def TagTrack(self, request: embedder_pb2.TagTrackRequest, context: object) -> embedder_pb2.TagTrackResponse:
        """Say how a file of the blob store sounds."""
        self._tagger.check()
        _check_digest(request.digest)
        if request.limit < 0:
            raise InvalidArgument(
                f"the limit is {request.limit}, 0 means all", field="limit", value=request.limit, limit="0.."
            )
        with self._admitted():
            async with self._spooled(request.digest, self._limits) as file:
                return tags_message(await self._tagger.tag(file, self._limits, time_left_s()), request.limit)

    async def DescribeModel(
        self, request: embedder_pb2.DescribeModelRequest, context: object
    ) -> embedder_pb2.DescribeModelResponse:
        """Say which encoder is served."""
        manifest = self._encoder.manifest
        return embedder_pb2.DescribeModelResponse(
            encoder_id=manifest.encoder_id,
            name=manifest.name,
            dimension=manifest.dim,
            sample_rate_hz=manifest.sample_rate_hz,
            window_seconds=manifest.window_seconds,
            device=self._encoder.device,
            precision=manifest.precision,
            license=manifest.licence,
            tag_names=manifest.tags,
            random_pair_cosine=quantile_messages(manifest),
            is_centred=manifest.centring is not None,
            text_encoder_id="" if self._text is None else self._text.encoder_id,
        )

    @contextlib.contextmanager
    def _admitted(self) -> Iterator[None]:
        if self._calls >= self._max_calls:
            raise EmbedderBusy(
                f"{self._calls} files are being embedded, limit is {self._max_calls}",
                value=self._calls,
                limit=self._max_calls,
                retry_after_ms=_RETRY_AFTER_MS,
            )
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1

    def _checked(self, encoder_id: str, min_seconds: float, prefix: str) -> AudioLimits:
        serving = self._encoder.manifest.encoder_id
        if encoder_id not in ("", serving):
            raise EncoderMismatch.of(encoder_id, serving)
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

    @contextlib.asynccontextmanager
    async def _spooled(self, digest: bytes, limits: AudioLimits) -> AsyncIterator[SpooledFile]:
        """Lend a copy of a blob, which is refused by its size before it is read."""
        limits.check_size(await self._blobs.size(digest))
        async with self._spool.open() as file:
            async for chunk in self._blobs.stream(digest):
                await file.write(chunk)
            yield file

    async def _embed(self, file: SpooledFile, limits: AudioLimits) -> embedder_pb2.Embedding:
        embedding = await self._embedder.embed(file.rewind(), limits, Lane.INTERACTIVE, time_left_s())
        return to_message(embedding, self._encoder.manifest.encoder_id)


def _check_digest(digest: bytes) -> None:
    if len(digest) != _DIGEST_BYTES:
        raise InvalidArgument(
            f"the digest has {len(digest)} bytes, a SHA-256 has {_DIGEST_BYTES}",
            field="digest",
            value=len(digest),
            limit=_DIGEST_BYTES,
        )


async def _read_header(requests: AsyncIterator[embedder_pb2.EmbedRequest]) -> embedder_pb2.EmbedHeader:
    async for request in requests:
        if request.WhichOneof("payload") == "header":
            return request.header
        break
    raise UploadMalformed("the first message must be the header", field="header")


async def _receive(requests: AsyncIterator[embedder_pb2.EmbedRequest], file: SpooledFile, size_bytes: int) -> None:
    """Write the chunks to a file, and refuse a stream with more, fewer or other messages than stated."""
    async for request in requests:
        if request.WhichOneof("payload") != "chunk":
            raise UploadMalformed("after the header only chunks may come", field="chunk")
        if len(request.chunk) > _MAX_CHUNK_BYTES:
            raise UploadMalformed(
                f"a chunk has {len(request.chunk)} bytes, limit is {_MAX_CHUNK_BYTES}",
                field="chunk",
                value=len(request.chunk),
                limit=_MAX_CHUNK_BYTES,
            )
        if file.size_bytes + len(request.chunk) > size_bytes:
            raise _wrong_size(f"over {size_bytes}", size_bytes)
        await file.write(request.chunk)
    if file.size_bytes != size_bytes:
        raise _wrong_size(str(file.size_bytes), size_bytes)


def _wrong_size(found: str, stated: int) -> UploadMalformed:
    return UploadMalformed(
        f"{found} bytes came, the header states {stated}", field="header.size_bytes", value=found, limit=stated
    )
