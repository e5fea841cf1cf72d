"""Embeds the items of EmbedBatch; whatever goes wrong with one of them is its own answer."""

import asyncio
import logging
from collections.abc import AsyncIterator

from museed.embedder.v1 import embedder_pb2
from services.chassis.errors import DomainError, Internal, InvalidArgument
from services.embedder.embedding import TrackEmbedding
from services.embedder.intake import Intake
from services.embedder.lanes import Lane
from services.embedder.messages import to_item_error, to_message

logger = logging.getLogger(__name__)

_MAX_ITEM_BYTES = 4 * 1024 * 1024
_MAX_KEY_BYTES = 128

Requests = AsyncIterator[embedder_pb2.EmbedBatchRequest]


class BatchItems:
    """Answers items behind everybody who waits.

    Args:
        intake: Embeds audio.
        encoder_id: Encoder that is served.
        at_a_time: Items of all callers at work; others wait.
    """

    def __init__(self, intake: Intake, encoder_id: str, at_a_time: int) -> None:
        self._intake = intake
        self._encoder_id = encoder_id
        self._free = asyncio.Semaphore(at_a_time)

    async def answer(self, request: embedder_pb2.EmbedBatchRequest) -> embedder_pb2.EmbedBatchResponse:
        """Embed one item; raises nothing but its cancellation."""
        try:
            async with self._free:
                embedding = await self._embed(request)
        except DomainError as error:
            return embedder_pb2.EmbedBatchResponse(key=request.key, error=to_item_error(error))
        except Exception:  # a border: one item must not end the others
            logger.exception("item_failed")
            return embedder_pb2.EmbedBatchResponse(key=request.key, error=to_item_error(Internal("internal error")))
        return embedder_pb2.EmbedBatchResponse(key=request.key, embedding=to_message(embedding, self._encoder_id))

    async def _embed(self, request: embedder_pb2.EmbedBatchRequest) -> TrackEmbedding:
        limits = self._intake.limits_for(request.encoder_id, request.min_seconds)
        match request.WhichOneof("source"):
            case "digest":
                return await self._intake.blob(request.digest, limits, Lane.BULK)
            case "audio":
                data = _checked(request.audio, "audio")
                return await self._intake.file(_only(data), len(data), limits, Lane.BULK)
            case "pcm_f32le":
                data = _checked(request.pcm_f32le, "pcm_f32le")
                return await self._intake.samples(_only(data), len(data), limits, Lane.BULK, "pcm_f32le")
        raise InvalidArgument("the item names no audio", field="source")


async def with_keys(requests: Requests) -> Requests:
    """Pass requests on, up to one that could not be answered by its key.

    Raises:
        InvalidArgument: A key is empty or too long.
    """
    async for request in requests:
        size = len(request.key.encode())
        if not 1 <= size <= _MAX_KEY_BYTES:
            raise InvalidArgument(
                f"the key has {size} bytes, 1 to {_MAX_KEY_BYTES} are allowed",
                field="key",
                value=request.key,
                limit=_MAX_KEY_BYTES,
            )
        yield request


def _checked(data: bytes, field: str) -> bytes:
    if len(data) > _MAX_ITEM_BYTES:
        raise InvalidArgument(
            f"{field} has {len(data)} bytes, limit is {_MAX_ITEM_BYTES}: larger files go through the blob store",
            field=field,
            value=len(data),
            limit=_MAX_ITEM_BYTES,
        )
    return data


async def _only(data: bytes) -> AsyncIterator[bytes]:
    yield data
