"""The gRPC side of the embedder: takes audio from callers, tells its vectors, and describes the encoder."""

import contextlib
from collections.abc import AsyncIterator
from typing import TypeVar

import grpc

from museed.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from services.chassis import vectors
from services.chassis.auth import Access, require_viewer
from services.chassis.errors import InvalidArgument, Unimplemented
from services.chassis.server import time_left_s
from services.embedder.admission import Admission, CallLimits
from services.embedder.batch_items import BatchItems, with_keys
from services.embedder.exchange import answer_each, taken
from services.embedder.intake import Intake
from services.embedder.lanes import Lane
from services.embedder.messages import encode_windows, quantile_messages, tags_message, to_message
from services.embedder.model import ServedEncoder
from services.embedder.tagging import Tagger
from services.embedder.text import TextEmbedder
from services.embedder.upload import HEADER_S, chunk_bytes, paced, read_chunks, read_header

Message = TypeVar("Message")
EmbedContext = grpc.aio.ServicerContext[embedder_pb2.EmbedRequest, embedder_pb2.EmbedResponse]
BatchContext = grpc.aio.ServicerContext[embedder_pb2.EmbedBatchRequest, embedder_pb2.EmbedBatchResponse]

# Initial metadata of an upload whose header was accepted; a refusal has initial metadata, too, without it.
ACCEPTED = ("museed-upload", "accepted")

_SERVICE = "/museed.embedder.v1.EmbedderService"

# A digest authorises nobody, so only workers, whose job names a file of its owner, may read the blob store by it.
ACCESS = {
    f"{_SERVICE}/Embed": Access.USER,
    f"{_SERVICE}/EmbedBlob": Access.WORKER,
    f"{_SERVICE}/EmbedBatch": Access.WORKER,
    f"{_SERVICE}/EmbedText": Access.WORKER,
    f"{_SERVICE}/TagTrack": Access.WORKER,
    f"{_SERVICE}/DescribeModel": Access.PUBLIC,
}


class Servicer(embedder_pb2_grpc.EmbedderServiceServicer):
    """Answers from one encoder. Who may call what stands in ACCESS.

    Args:
        encoder: What is served.
        intake: Embeds audio.
        limits: What callers may ask for at a time.
        text: Embeds words; None where no text model is loaded.
        tagger: Tags files; None gives the encoder's own tags.
    """

    def __init__(
        self,
        encoder: ServedEncoder,
        intake: Intake,
        limits: CallLimits,
        text: TextEmbedder | None = None,
        tagger: Tagger | None = None,
    ) -> None:
        self._encoder = encoder
        self._encoder_id = encoder.manifest.encoder_id
        self._intake = intake
        self._items = BatchItems(intake, self._encoder_id, limits.batch_items)
        self._limits = limits
        self._files = Admission(limits.files, max_of_one=limits.files_of_one)
        self._batches = Admission(limits.batches, "batches")
        self._text = text
        self._tagger = tagger or Tagger(encoder, intake)

    async def Embed(
        self, request_iterator: AsyncIterator[embedder_pb2.EmbedRequest], context: EmbedContext
    ) -> embedder_pb2.EmbedResponse:
        """Embed audio that the caller streams."""
        idle_s = self._limits.idle_s
        # Before anything is refused: a status that overtakes the caller's first message can be lost on the way.
        header = await read_header(paced(request_iterator, min(idle_s, HEADER_S)))
        requests = paced(request_iterator, idle_s, chunk_bytes)
        with self._files.admit(require_viewer().user_id):
            limits = self._intake.limits_for(header.encoder_id, header.min_seconds, "header.")
            chunks = _asked_for(read_chunks(requests, header.size_bytes), context)
            if header.encoding == embedder_pb2.AUDIO_ENCODING_PCM_F32LE:
                found = await self._intake.samples(
                    chunks, header.size_bytes, limits, Lane.INTERACTIVE, "header.size_bytes"
                )
            else:
                found = await self._intake.file(chunks, header.size_bytes, limits, Lane.INTERACTIVE)
            return embedder_pb2.EmbedResponse(embedding=to_message(found, self._encoder_id))

    async def EmbedBlob(
        self, request: embedder_pb2.EmbedBlobRequest, context: object
    ) -> embedder_pb2.EmbedBlobResponse:
        """Embed a file of the blob store."""
        with self._files.admit():
            limits = self._intake.limits_for(request.encoder_id, request.min_seconds)
            found = await self._intake.blob(request.digest, limits, Lane.INTERACTIVE)
            windows_digest = await self._intake.keep(encode_windows(found)) if request.keep_windows else b""
            return embedder_pb2.EmbedBlobResponse(embedding=to_message(found, self._encoder_id, windows_digest))

    async def EmbedBatch(
        self, request_iterator: AsyncIterator[embedder_pb2.EmbedBatchRequest], context: BatchContext
    ) -> AsyncIterator[embedder_pb2.EmbedBatchResponse]:
        """Embed many items of one caller, behind everybody who waits."""
        limits = self._limits
        requests = with_keys(request_iterator)
        first = await anext(paced(requests, limits.idle_s), None)
        if first is None:
            return
        with self._batches.admit():
            answers = answer_each(_chain(first, requests), self._items.answer, limits.batch_items, limits.idle_s)
            # Closed here when the caller leaves, and not by the collector some time later.
            async with contextlib.aclosing(answers):
                async for response in answers:
                    if context.done():
                        return
                    await taken(context.write(response), limits.idle_s)
        # gRPC wants a generator, whose yields could not be bounded in time from inside: all is written above.
        nothing: tuple[embedder_pb2.EmbedBatchResponse, ...] = ()
        for never in nothing:
            yield never

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
        if request.limit < 0:
            raise InvalidArgument(
                f"the limit is {request.limit}, 0 means all", field="limit", value=request.limit, limit="0.."
            )
        with self._files.admit():
            return tags_message(await self._tagger.tag(request.digest), request.limit)

    async def DescribeModel(
        self, request: embedder_pb2.DescribeModelRequest, context: object
    ) -> embedder_pb2.DescribeModelResponse:
        """Say which encoder is served."""
        manifest = self._encoder.manifest
        return embedder_pb2.DescribeModelResponse(
            encoder_id=self._encoder_id,
            name=manifest.name,
            dimension=manifest.dim,
            sample_rate_hz=manifest.sample_rate_hz,
            window_seconds=manifest.window_seconds,
            device=self._encoder.device,
            precision=self._encoder.precision,
            license=manifest.licence,
            tag_names=manifest.tags,
            random_pair_cosine=quantile_messages(manifest),
            is_centred=manifest.centring is not None,
            runtime=self._encoder.runtime,
            parameters=self._encoder.parameters,
            memory_bytes=self._encoder.memory_bytes,
            pooling=manifest.pooling.method,
            text_encoder_id="" if self._text is None else self._text.encoder_id,
        )


async def _asked_for(chunks: AsyncIterator[bytes], context: EmbedContext) -> AsyncIterator[bytes]:
    """Tell the caller, when the first chunk is wanted, that the header was accepted.

    Without that sign a refusal overtakes chunks on their way, and the caller's gRPC can lose its status.
    """
    await context.send_initial_metadata((ACCEPTED,))
    async for chunk in chunks:
        yield chunk


async def _chain(first: Message, rest: AsyncIterator[Message]) -> AsyncIterator[Message]:
    yield first
    async for message in rest:
        yield message
