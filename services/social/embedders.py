"""What social asks of embedders: one thin function for each call, domain values in and out."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from museed.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from services.chassis import channel
from services.chassis.errors import DomainError, FailedPrecondition, InvalidArgument, Unimplemented
from services.chassis.tls import Identity
from services.social.domain.catalog import Descriptors
from services.social.domain.encoders import Encoder
from services.social.domain.ids import EncoderId
from services.social.errors import EncoderAway
from services.social.errors.sounds import WordsNotHeard
from services.social.store.embeddings import Embedding

_DESCRIBE_TIMEOUT_S = 5.0
_MISMATCH = "ENCODER_MISMATCH"


def connect_embedder(address: str, identity: Identity | None = None) -> grpc.aio.Channel:
    """Open a channel to an embedder; one that is away says so at once when it is asked what it serves."""
    service = "/museed.embedder.v1.EmbedderService"
    return channel.connect(
        address, idempotent=[f"{service}/EmbedBlob", f"{service}/EmbedText"], identity=identity, peer="embedder"
    )


@dataclass(frozen=True, slots=True)
class HeardWords:
    """Words as an encoder hears them: the text that it was given, and a vector as it travels."""

    prompt: str
    vector: bytes


class EmbedderClient:
    """Calls of the embedder; each raises the DomainError that the embedder raised."""

    def __init__(self, grpc_channel: grpc.aio.Channel) -> None:
        self._stub: embedder_pb2_grpc.EmbedderServiceAsyncStub = embedder_pb2_grpc.EmbedderServiceStub(grpc_channel)

    async def describe_model(self) -> Encoder:
        """Ask which encoder is served."""
        model = await self._stub.DescribeModel(embedder_pb2.DescribeModelRequest(), timeout=_DESCRIBE_TIMEOUT_S)
        hears_words = bool(model.text_encoder_id) and model.text_encoder_id == model.encoder_id
        return Encoder(EncoderId(model.encoder_id), model.name, model.dimension, model.window_seconds, hears_words)

    async def embed_blob(self, digest: bytes, encoder_id: EncoderId, token: str, timeout_s: float) -> Embedding:
        """Let the embedder hear a file, and keep its windows, in the name of the job that `token` stands for."""
        answer = await self._stub.EmbedBlob(
            embedder_pb2.EmbedBlobRequest(digest=digest, encoder_id=encoder_id, keep_windows=True),
            timeout=timeout_s,
            metadata=_authorization(token),
        )
        return to_embedding(answer.embedding)

    async def embed_words(self, words: str, encoder_id: EncoderId, token: str, timeout_s: float) -> HeardWords:
        """Let the embedder put words into the space of an encoder's sounds."""
        request = embedder_pb2.EmbedTextRequest(text=words, encoder_id=encoder_id)
        answer = await self._stub.EmbedText(request, timeout=timeout_s, metadata=_authorization(token))
        return HeardWords(answer.prompt, answer.vector)


class Embedders:
    """The embedders of a mesh: one for each encoder that is kept. Which serves which is asked, and asked again.

    Args:
        clients: One for each address; the first to answer says who is served on a fresh mesh.
    """

    def __init__(self, clients: Sequence[EmbedderClient]) -> None:
        self._clients = clients
        self._by_encoder: dict[EncoderId, EmbedderClient] = {}

    async def describe(self) -> list[Encoder]:
        """Ask all of them which encoder they serve; those that do not answer are left out.

        Raises:
            DomainError: None answers.
        """
        asked = (client.describe_model() for client in self._clients)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        found: dict[EncoderId, EmbedderClient] = {}
        seen: list[Encoder] = []
        away: list[DomainError] = []
        for client, answer in zip(self._clients, answers, strict=True):
            if isinstance(answer, DomainError):
                away.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
            elif answer.encoder_id and answer.dimension > 0 and answer.encoder_id not in found:
                found[answer.encoder_id] = client
                seen.append(answer)
        self._by_encoder = found
        if len(away) == len(self._clients):
            raise away[0]
        return seen

    async def embed_blob(self, digest: bytes, encoder_id: EncoderId, token: str, timeout_s: float) -> Embedding:
        """Let the embedder of this encoder hear a file.

        Raises:
            EncoderAway: No embedder serves this encoder now.
            DomainError: What the embedder refuses.
        """
        client = await self._serving(encoder_id)
        try:
            return await client.embed_blob(digest, encoder_id, token, timeout_s)
        except FailedPrecondition as error:
            if error.reason != _MISMATCH:
                raise
            self._by_encoder.pop(encoder_id, None)
            raise EncoderAway(encoder_id) from error

    async def embed_words(
        self, words: str, encoder_id: EncoderId, token: str, timeout_s: float, field: str
    ) -> HeardWords:
        """Put words into the space of this encoder's sounds.

        Args:
            words: 1 to 500 characters.
            encoder_id: Whose space.
            token: Of the job, or of the person's call.
            timeout_s: Of the call.
            field: Where the words stood in the request.

        Raises:
            WordsNotHeard: This encoder knows sounds alone.
            EncoderAway: No embedder serves this encoder now.
            DomainError: What the embedder refuses.
        """
        client = await self._serving(encoder_id)
        try:
            return await client.embed_words(words, encoder_id, token, timeout_s)
        except Unimplemented as error:
            raise WordsNotHeard(encoder_id, field) from error
        except FailedPrecondition as error:
            if error.reason != _MISMATCH:
                raise
            # A text model of another space, or another encoder in this one's place.
            self._by_encoder.pop(encoder_id, None)
            await self._serving(encoder_id)
            raise WordsNotHeard(encoder_id, field) from error
        except InvalidArgument as error:
            error.field = field
            raise

    async def _serving(self, encoder_id: EncoderId) -> EmbedderClient:
        if encoder_id not in self._by_encoder:
            await self.describe()
        client = self._by_encoder.get(encoder_id)
        if client is None:
            raise EncoderAway(encoder_id)
        return client


def to_embedding(message: embedder_pb2.Embedding) -> Embedding:
    """Read what the embedder heard."""
    return Embedding(
        message.vector,
        message.duration_seconds,
        message.window_count,
        message.windows_digest,
        [(tag.name, round(tag.score, 6)) for tag in message.tags],
        _descriptors(message.descriptors) if message.HasField("descriptors") else None,
    )


def _descriptors(message: embedder_pb2.Descriptors) -> Descriptors:
    return Descriptors(
        max(1, message.revision),
        message.loudness_lufs if message.HasField("loudness_lufs") else None,
        message.peak_dbfs if message.HasField("peak_dbfs") else None,
        message.tempo_bpm if message.HasField("tempo_bpm") else None,
        message.key or None,
        message.key_confidence if message.HasField("key_confidence") else None,
        message.energy if message.HasField("energy") else None,
    )


def _authorization(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)
