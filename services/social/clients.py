"""What social asks of embedder and retriever: one thin function for each call, domain values in and out."""

from dataclasses import dataclass

import grpc

from museed.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from museed.retriever.v1 import retriever_pb2, retriever_pb2_grpc
from services.chassis import channel
from services.social.catalog import Descriptors, ReadPoint
from services.social.ids import EncoderId, TrackId
from services.social.jobs import Recipe
from services.social.playlists import ChosenTrack
from services.social.store.embeddings import Embedding
from services.social.store.encoders import Encoder
from services.social.wire import timestamp

_DESCRIBE_TIMEOUT_S = 5.0


def connect_embedder(address: str) -> grpc.aio.Channel:
    """Open a channel to the embedder."""
    service = "/museed.embedder.v1.EmbedderService"
    return channel.connect(address, idempotent=[f"{service}/EmbedBlob", f"{service}/DescribeModel"])


def connect_retriever(address: str) -> grpc.aio.Channel:
    """Open a channel to the retriever."""
    return channel.connect(address, idempotent=["/museed.retriever.v1.RetrieverService/BuildPlaylist"])


@dataclass(frozen=True, slots=True)
class SeedSound:
    """A seed as the retriever takes it: a track of the index, or an upload's vector and its recording if known."""

    track_id: TrackId | None
    vector: bytes
    weight: float
    audio_hash: bytes


class EmbedderClient:
    """Calls of the embedder; each raises the DomainError that the embedder raised."""

    def __init__(self, grpc_channel: grpc.aio.Channel) -> None:
        self._stub: embedder_pb2_grpc.EmbedderServiceAsyncStub = embedder_pb2_grpc.EmbedderServiceStub(grpc_channel)

    async def describe_model(self) -> Encoder:
        """Ask which encoder is served."""
        model = await self._stub.DescribeModel(embedder_pb2.DescribeModelRequest(), timeout=_DESCRIBE_TIMEOUT_S)
        return Encoder(EncoderId(model.encoder_id), model.name, model.dimension)

    async def embed_blob(self, digest: bytes, encoder_id: EncoderId, token: str, timeout_s: float) -> Embedding:
        """Let the embedder hear a file of the blob store in the name of the job that `token` stands for."""
        answer = await self._stub.EmbedBlob(
            embedder_pb2.EmbedBlobRequest(digest=digest, encoder_id=encoder_id),
            timeout=timeout_s,
            metadata=_authorization(token),
        )
        return to_embedding(answer.embedding)


class RetrieverClient:
    """Calls of the retriever; each raises the DomainError that the retriever raised."""

    def __init__(self, grpc_channel: grpc.aio.Channel) -> None:
        self._stub: retriever_pb2_grpc.RetrieverServiceAsyncStub = retriever_pb2_grpc.RetrieverServiceStub(grpc_channel)

    async def build_playlist(
        self,
        recipe: Recipe,
        seeds: list[SeedSound],
        encoder_id: EncoderId,
        read_point: ReadPoint | None,
        token: str,
        timeout_s: float,
    ) -> list[ChosenTrack]:
        """Let the retriever choose and order tracks, after it has applied `read_point`."""
        request = retriever_pb2.BuildPlaylistRequest(
            seeds=[_seed(seed) for seed in seeds],
            encoder_id=encoder_id,
            length=recipe.length,
            max_per_artist=recipe.max_per_artist,
            include_seed=recipe.include_seed,
            min_similarity=recipe.min_similarity,
            exclude_track_ids=recipe.exclude_track_ids,
        )
        if read_point is not None:
            request.min_read_point.sequence = read_point.sequence
            request.min_read_point.stream_created_at.CopyFrom(timestamp(read_point.stream_created_at))
        answer = await self._stub.BuildPlaylist(request, timeout=timeout_s, metadata=_authorization(token))
        return [
            ChosenTrack(
                TrackId(track.track_id),
                track.similarity,
                track.is_seed,
                list(track.seed_similarities),
                list(track.shared_tags),
            )
            for track in answer.tracks
        ]


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


def _seed(seed: SeedSound) -> retriever_pb2.Seed:
    if seed.track_id is not None:
        return retriever_pb2.Seed(track_id=seed.track_id, weight=seed.weight)
    return retriever_pb2.Seed(vector=seed.vector, weight=seed.weight, audio_hash=seed.audio_hash)


def _authorization(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)
