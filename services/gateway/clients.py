"""The services behind the gateway: one channel each, and whether they can be called now."""

import asyncio
import sys
from collections.abc import Callable
from typing import Protocol, TypeVar

import grpc
from grpc_health.v1 import health_pb2

from museed.retriever.v1 import reference_pb2_grpc, retriever_pb2_grpc
from museed.social.v1 import (
    access_pb2_grpc,
    accounts_pb2,
    accounts_pb2_grpc,
    api_tokens_pb2_grpc,
    badges_pb2_grpc,
    blocklists_pb2_grpc,
    catalog_pb2_grpc,
    editing_pb2_grpc,
    encoders_pb2_grpc,
    engagement_pb2_grpc,
    exchange_pb2_grpc,
    feed_pb2_grpc,
    ingest_pb2_grpc,
    jobs_pb2_grpc,
    jobwork_pb2_grpc,
    library_pb2_grpc,
    listening_pb2_grpc,
    moderation_pb2_grpc,
    notifications_pb2_grpc,
    people_pb2_grpc,
    playlists_pb2_grpc,
    privacy_pb2_grpc,
    recommendations_pb2_grpc,
    sessions_pb2_grpc,
    sound_pb2_grpc,
    trends_pb2_grpc,
    uploads_pb2_grpc,
    work_pb2_grpc,
)
from museed.social.v1 import (
    reference_pb2_grpc as reference_search_pb2_grpc,
)
from services.chassis.channel import connect
from services.chassis.errors import DomainError
from services.chassis.tls import Identity

Q = TypeVar("Q")
R = TypeVar("R")

_PROBE_TIMEOUT_S = 1.0
_KEYS_TIMEOUT_S = 5.0
# Retried while UNAVAILABLE: whatever only reads, and those writes that may be repeated without another effect, because
# they come with a key or name the state that is wanted.
_READS = ("Batch", "CanView", "Check", "Count", "Describe", "Export", "Get", "List", "Match", "Resolve", "Search")
_REPEATABLE = frozenset(
    "AddComment AddEntries BlockArtist BlockTrack BlockUser CancelJob ClearSchedule CopyPlaylist"
    " CreateApiToken CreateExtensionJob CreateGenerationJob CreateHearingJob CreatePlaylist"
    " CreateRegenerationJob DeleteUpload Follow ImportEmbeddings ImportPlaylist JudgeSuggestions LikePlaylist"
    " LogOut MarkMissing MarkRead MoveEntry RecordPlays RegisterRoot RegisterTracks RemoveEntries"
    " ReorderByTracks ReorderEntries ReplayDeadLetters ReplayJobs SetSchedule UnblockArtist UnblockTrack"
    " UnblockUser Unfollow UnlikePlaylist".split()
)


def _idempotent(package: str) -> list[str]:
    """Return the full names of a package's methods that may be called twice."""
    files = (file for name, file in sys.modules.items() if name.startswith(package) and name.endswith("_pb2"))
    return sorted(
        f"/{service.full_name}/{method.name}"
        for file in files
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.name in _REPEATABLE or method.name.startswith(_READS)
    )


class Call(Protocol):
    """Makes an upstream call with deadline and budget of the operation at hand."""

    async def __call__(self, method: grpc.aio.UnaryUnaryMultiCallable[Q, R], request: Q) -> R:
        """Make the call; raises DomainError."""


class Upstream:
    """Stubs of social and the retriever over one channel each, by the names of their services.

    Args:
        social_address: gRPC target of social.
        retriever_address: gRPC target of the retriever.
        identity: Who this process is; None speaks without TLS.

    Attributes:
        on_busy: Called when one of them has no place for a call.
    """

    def __init__(self, social_address: str, retriever_address: str, identity: Identity | None = None) -> None:
        addresses = {"social": social_address, "retriever": retriever_address}
        self._channels = {
            name: connect(address, idempotent=_idempotent(f"museed.{name}.v1"), identity=identity, peer=name)
            for name, address in addresses.items()
        }
        self.on_busy: Callable[[], None] = lambda: None
        social, retriever = self._channels.values()
        self.accounts = accounts_pb2_grpc.AccountServiceStub(social)
        self.api_tokens = api_tokens_pb2_grpc.ApiTokenServiceStub(social)
        self.badges = badges_pb2_grpc.BadgeServiceStub(social)
        self.blocklists = blocklists_pb2_grpc.BlocklistServiceStub(social)
        self.catalog = catalog_pb2_grpc.CatalogServiceStub(social)
        self.credentials = sessions_pb2_grpc.CredentialServiceStub(social)
        self.editing = editing_pb2_grpc.EditingServiceStub(social)
        self.encoders = encoders_pb2_grpc.EncoderServiceStub(social)
        self.engagement = engagement_pb2_grpc.EngagementServiceStub(social)
        self.exchange = exchange_pb2_grpc.ExchangeServiceStub(social)
        self.feed = feed_pb2_grpc.FeedServiceStub(social)
        self.ingest = ingest_pb2_grpc.IngestServiceStub(social)
        self.jobs = jobs_pb2_grpc.JobServiceStub(social)
        self.library = library_pb2_grpc.LibraryServiceStub(social)
        self.listening = listening_pb2_grpc.ListeningServiceStub(social)
        self.moderation = moderation_pb2_grpc.ModerationServiceStub(social)
        self.notifications = notifications_pb2_grpc.NotificationServiceStub(social)
        self.people = people_pb2_grpc.PeopleServiceStub(social)
        self.playlist_jobs = jobwork_pb2_grpc.PlaylistJobServiceStub(social)
        self.playlists = playlists_pb2_grpc.PlaylistServiceStub(social)
        self.privacy = privacy_pb2_grpc.PrivacyServiceStub(social)
        self.recommendations = recommendations_pb2_grpc.RecommendationServiceStub(social)
        self.reference_search = reference_search_pb2_grpc.ReferenceSearchServiceStub(social)
        self.sessions = sessions_pb2_grpc.SessionServiceStub(social)
        self.sound = sound_pb2_grpc.SoundServiceStub(social)
        self.trends = trends_pb2_grpc.TrendServiceStub(social)
        self.uploads = uploads_pb2_grpc.UploadServiceStub(social)
        self.views = access_pb2_grpc.ViewServiceStub(social)
        self.work = work_pb2_grpc.WorkServiceStub(social)
        self.retriever = retriever_pb2_grpc.RetrieverServiceStub(retriever)
        self.reference = reference_pb2_grpc.ReferenceServiceStub(retriever)

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
