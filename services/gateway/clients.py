"""The services behind the gateway: one channel each, and whether they can be called now."""

import asyncio

import grpc
from grpc_health.v1 import health_pb2

from museed.retriever.v1 import retriever_pb2_grpc
from museed.social.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
    catalog_pb2_grpc,
    encoders_pb2_grpc,
    ingest_pb2_grpc,
    jobs_pb2_grpc,
    playlists_pb2_grpc,
    uploads_pb2_grpc,
    work_pb2_grpc,
)
from services.chassis.channel import connect
from services.chassis.errors import DomainError

_PROBE_TIMEOUT_S = 1.0
_KEYS_TIMEOUT_S = 5.0
# Reads, and writes that may be repeated without another effect: retried while UNAVAILABLE.
_IDEMPOTENT_SOCIAL = [
    f"/museed.social.v1.{method}"
    for method in (
        "AccountService/LogOut",
        "AccountService/GetViewer",
        "AccountService/BatchGetUsers",
        "AccountService/GetJwks",
        "AccountService/ListRevokedSessions",
        "CatalogService/RegisterRoot",
        "CatalogService/RegisterTracks",
        "CatalogService/GetIngestProgress",
        "CatalogService/ListFailedTracks",
        "CatalogService/SearchTracks",
        "CatalogService/BatchGetTracks",
        "CatalogService/GetTrackMedia",
        "CatalogService/GetStats",
        "EncoderService/ListEncoders",
        "IngestService/ListRootFiles",
        "IngestService/MarkMissing",
        "IngestService/ListEmbeddings",
        "IngestService/ImportEmbeddings",
        "PlaylistService/GetPlaylist",
        "PlaylistService/ListMyPlaylists",
        "JobService/CreateGenerationJob",
        "JobService/GetJob",
        "JobService/CancelJob",
        "UploadService/CheckUpload",
        "WorkService/ListStreams",
        "WorkService/ListDeadLetters",
        "WorkService/ReplayDeadLetters",
    )
]
_IDEMPOTENT_RETRIEVER = [
    "/museed.retriever.v1.RetrieverService/Search",
    "/museed.retriever.v1.RetrieverService/DescribeIndex",
]


class Upstream:
    """Stubs of social and the retriever over one channel each.

    Args:
        social_address: gRPC target of social.
        retriever_address: gRPC target of the retriever.
    """

    def __init__(self, social_address: str, retriever_address: str) -> None:
        self._channels = {
            "social": connect(social_address, idempotent=_IDEMPOTENT_SOCIAL),
            "retriever": connect(retriever_address, idempotent=_IDEMPOTENT_RETRIEVER),
        }
        social = self._channels["social"]
        self.accounts = accounts_pb2_grpc.AccountServiceStub(social)
        self.catalog = catalog_pb2_grpc.CatalogServiceStub(social)
        self.encoders = encoders_pb2_grpc.EncoderServiceStub(social)
        self.ingest = ingest_pb2_grpc.IngestServiceStub(social)
        self.playlists = playlists_pb2_grpc.PlaylistServiceStub(social)
        self.jobs = jobs_pb2_grpc.JobServiceStub(social)
        self.uploads = uploads_pb2_grpc.UploadServiceStub(social)
        self.work = work_pb2_grpc.WorkServiceStub(social)
        self.retriever = retriever_pb2_grpc.RetrieverServiceStub(self._channels["retriever"])

    async def fetch_jwks(self) -> str:
        """Return social's public keys as JSON text."""
        return (await self.accounts.GetJwks(accounts_pb2.GetJwksRequest(), timeout=_KEYS_TIMEOUT_S)).jwks

    async def fetch_revoked_sessions(self) -> list[str]:
        """Return the sessions that ended while access tokens of theirs may be alive."""
        request = accounts_pb2.ListRevokedSessionsRequest()
        return list((await self.accounts.ListRevokedSessions(request, timeout=_KEYS_TIMEOUT_S)).session_ids)

    async def health(self) -> dict[str, bool]:
        """Ask every service, by gRPC health, whether it serves. Answers within about a second."""
        answers = await asyncio.gather(*(_serves(channel) for channel in self._channels.values()))
        return dict(zip(self._channels, answers, strict=True))

    async def close(self) -> None:
        """Close the channels; calls in flight end with an error."""
        for channel in self._channels.values():
            await channel.close()


async def _serves(channel: grpc.aio.Channel) -> bool:
    # By hand: the stub of grpcio-health-checking has no types.
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    try:
        answer = await check(health_pb2.HealthCheckRequest(), timeout=_PROBE_TIMEOUT_S)
    except DomainError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
