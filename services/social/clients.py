"""What social asks of embedder and retriever: one thin function for each call, domain values in and out."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

import grpc

from museed.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from museed.retriever.v1 import retriever_pb2, retriever_pb2_grpc
from services.chassis import channel
from services.chassis.errors import DomainError, FailedPrecondition
from services.social.domain.catalog import Descriptors, ReadPoint
from services.social.domain.encoders import Encoder
from services.social.domain.ids import EncoderId, TrackId, UserId
from services.social.domain.playlists import ChosenTrack
from services.social.domain.recipe import Recipe
from services.social.domain.rules import TrackFilter
from services.social.errors import EncoderAway, NotIndexedYet
from services.social.retriever_requests import (
    Blocks,
    SeedSound,
    chosen,
    filter_message,
    path_request,
    playlist_request,
    read_point_message,
)
from services.social.store.embeddings import Embedding

_DESCRIBE_TIMEOUT_S = 5.0
_MISMATCH = "ENCODER_MISMATCH"
_READS = ("BuildPlaylist", "BuildPath", "ExtendPlaylist", "DescribeIndex")


def connect_embedder(address: str) -> grpc.aio.Channel:
    """Open a channel to an embedder; one that is away says so at once when it is asked what it serves."""
    service = "/museed.embedder.v1.EmbedderService"
    return channel.connect(address, idempotent=[f"{service}/EmbedBlob"])


def connect_retriever(address: str) -> grpc.aio.Channel:
    """Open a channel to the retriever."""
    service = "/museed.retriever.v1.RetrieverService"
    return channel.connect(address, idempotent=[f"{service}/{method}" for method in _READS])


class EmbedderClient:
    """Calls of the embedder; each raises the DomainError that the embedder raised."""

    def __init__(self, grpc_channel: grpc.aio.Channel) -> None:
        self._stub: embedder_pb2_grpc.EmbedderServiceAsyncStub = embedder_pb2_grpc.EmbedderServiceStub(grpc_channel)

    async def describe_model(self) -> Encoder:
        """Ask which encoder is served."""
        model = await self._stub.DescribeModel(embedder_pb2.DescribeModelRequest(), timeout=_DESCRIBE_TIMEOUT_S)
        return Encoder(EncoderId(model.encoder_id), model.name, model.dimension, model.window_seconds)

    async def embed_blob(self, digest: bytes, encoder_id: EncoderId, token: str, timeout_s: float) -> Embedding:
        """Let the embedder hear a file, and keep its windows, in the name of the job that `token` stands for."""
        answer = await self._stub.EmbedBlob(
            embedder_pb2.EmbedBlobRequest(digest=digest, encoder_id=encoder_id, keep_windows=True),
            timeout=timeout_s,
            metadata=_authorization(token),
        )
        return to_embedding(answer.embedding)


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
        if encoder_id not in self._by_encoder:
            await self.describe()
        client = self._by_encoder.get(encoder_id)
        if client is None:
            raise EncoderAway(encoder_id)
        try:
            return await client.embed_blob(digest, encoder_id, token, timeout_s)
        except FailedPrecondition as error:
            if error.reason != _MISMATCH:
                raise
            self._by_encoder.pop(encoder_id, None)
            raise EncoderAway(encoder_id) from error


class RetrieverClient:
    """Calls of the retriever; each raises the DomainError that the retriever raised."""

    def __init__(self, grpc_channel: grpc.aio.Channel) -> None:
        self._stub: retriever_pb2_grpc.RetrieverServiceAsyncStub = retriever_pb2_grpc.RetrieverServiceStub(grpc_channel)

    async def build_playlist(
        self,
        recipe: Recipe,
        seeds: Sequence[SeedSound],
        blocks: Blocks,
        person: UserId,
        encoder_id: EncoderId,
        read_point: ReadPoint | None,
        token: str,
        timeout_s: float,
    ) -> list[ChosenTrack]:
        """Let the retriever choose and order tracks of this encoder's index, after that has applied `read_point`.

        Args:
            recipe: What to choose by; one with a path leads from its seed to the path's end.
            seeds: In the recipe's order; a path needs none.
            blocks: What is never chosen.
            person: Whose taste it is tilted to where the recipe wants that.
            encoder_id: Whose index.
            read_point: Up to where the index must have read its log; None where nothing was ever published.
            token: Of the job.
            timeout_s: Of the call.

        Raises:
            EncoderAway: The retriever does not hold this encoder's index.
            DomainError: What the retriever refuses.
        """
        metadata = _authorization(token)
        answer: retriever_pb2.BuildPathResponse | retriever_pb2.BuildPlaylistResponse
        with _telling_mismatch(encoder_id):
            if recipe.rules.path_to is not None:
                path = path_request(recipe, blocks, encoder_id, read_point)
                answer = await self._stub.BuildPath(path, timeout=timeout_s, metadata=metadata)
            else:
                playlist = playlist_request(recipe, seeds, blocks, person, encoder_id, read_point)
                answer = await self._stub.BuildPlaylist(playlist, timeout=timeout_s, metadata=metadata)
        return [chosen(track) for track in answer.tracks]

    async def extend_playlist(
        self,
        track_ids: Sequence[TrackId],
        accepted_ids: Sequence[TrackId],
        rejected_ids: Sequence[TrackId],
        count: int,
        wanted: TrackFilter,
        blocks: Blocks,
        encoder_id: EncoderId,
        read_point: ReadPoint | None,
        token: str,
        timeout_s: float,
    ) -> list[ChosenTrack]:
        """Let the retriever suggest what goes with a playlist, as earlier suggestions were judged.

        Args:
            track_ids: Of the playlist, 1 to 500.
            accepted_ids: Suggestions that were taken, at most 500.
            rejected_ids: Suggestions that were refused, at most 500.
            count: Suggestions wanted, 1 to 100.
            wanted: Which tracks may be suggested.
            blocks: What is never suggested.
            encoder_id: Whose index.
            read_point: As in `build_playlist`.
            token: Of the job.
            timeout_s: Of the call.

        Raises:
            EncoderAway: The retriever does not hold this encoder's index.
            DomainError: What the retriever refuses.
        """
        request = retriever_pb2.ExtendPlaylistRequest(
            track_ids=track_ids,
            accepted_track_ids=accepted_ids,
            rejected_track_ids=rejected_ids,
            count=count,
            encoder_id=encoder_id,
            filter=filter_message(wanted, blocks),
            min_read_point=read_point_message(read_point),
        )
        with _telling_mismatch(encoder_id):
            answer = await self._stub.ExtendPlaylist(request, timeout=timeout_s, metadata=_authorization(token))
        return [chosen(track) for track in answer.suggestions]

    async def until_ready(self, encoder_id: EncoderId, read_point: ReadPoint | None) -> None:
        """Wait until an encoder's index has applied a point and answers searches.

        Args:
            encoder_id: Whose index.
            read_point: None where nothing of it was ever published.

        Raises:
            NotIndexedYet: It is still being read.
            DomainError: It does not reach the point in time, or there is no such index.
        """
        request = retriever_pb2.DescribeIndexRequest(
            encoder_id=encoder_id, min_read_point=read_point_message(read_point)
        )
        answer = await self._stub.DescribeIndex(request, timeout=_DESCRIBE_TIMEOUT_S)
        if not answer.is_caught_up:
            raise NotIndexedYet


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


@contextlib.contextmanager
def _telling_mismatch(encoder_id: EncoderId) -> Iterator[None]:
    try:
        yield
    except FailedPrecondition as error:
        raise EncoderAway(encoder_id) if error.reason == _MISMATCH else error from error


def _authorization(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)
