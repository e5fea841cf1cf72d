"""What social asks of the retriever about tastes, in a person's name."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import grpc

from museed.retriever.v1 import profiles_pb2, profiles_pb2_grpc, retriever_pb2
from services.chassis import channel
from services.chassis.errors import Code, DomainError
from services.chassis.server import time_left_s
from services.chassis.tls import Identity
from services.social.domain.ids import JobId, TrackId, UserId, new_id
from services.social.domain.rules import MOST_BLOCKED
from services.social.domain.tokens import TokenIssuer
from services.social.errors.tastes import TastesAway, TasteUncounted
from services.social.retriever_requests import Blocks

_SERVICE = "/museed.retriever.v1.ProfileService"
_TIMEOUT_S = 5.0
_TOKEN_LIFE = timedelta(minutes=1)
_MOST = 200
_MOST_PEOPLE = 100
# An older retriever knows no tastes.
_AWAY = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.UNIMPLEMENTED, Code.RESOURCE_EXHAUSTED)


def connect_tastes(address: str, identity: Identity | None = None) -> grpc.aio.Channel:
    """Open a channel to the retriever's profiles."""
    return channel.connect(
        address,
        idempotent=[f"{_SERVICE}/FindProfiles", f"{_SERVICE}/RecommendTracks"],
        identity=identity,
        peer="retriever",
    )


class TasteClient:
    """Calls of the retriever's ProfileService.

    Args:
        grpc_channel: To the retriever.
        issuer: Signs a token for each call, for the person whose profile is asked for.
        clock: Time of day.
    """

    def __init__(self, grpc_channel: grpc.aio.Channel, issuer: TokenIssuer, clock: Callable[[], datetime]) -> None:
        self._stub: profiles_pb2_grpc.ProfileServiceAsyncStub = profiles_pb2_grpc.ProfileServiceStub(grpc_channel)
        self._issuer = issuer
        self._clock = clock

    async def find_people(self, user_id: UserId, blocked: Sequence[UserId]) -> list[tuple[UserId, float]]:
        """Find at most 100 listed people of a like taste with cosines, most alike first; nobody without a taste.

        Args:
            user_id: For whom; somebody who has heard something.
            blocked: Who must not be found, at most 10,000.

        Raises:
            TastesAway: The retriever is away or still reads.
            TasteUncounted: It was not told of this taste yet.
            DomainError: What it refuses.
        """
        request = profiles_pb2.FindProfilesRequest(profile_id=user_id, limit=_MOST_PEOPLE, blocked_profile_ids=blocked)
        try:
            answer = await self._stub.FindProfiles(request, timeout=_TIMEOUT_S, metadata=self._metadata(user_id))
        except DomainError as error:
            if _is_nothing(error):
                return []
            raise
        return [(UserId(one.profile_id), one.similarity) for one in answer.profiles]

    async def recommend_tracks(self, user_id: UserId, blocked: Blocks) -> list[tuple[TrackId, float]]:
        """Find at most 200 tracks that go with a person's taste with cosines, nearest first; none without a taste.

        Args:
            user_id: For whom; somebody who has heard something.
            blocked: What need not be found; of each kind the first 10,000 are told.

        Raises:
            TastesAway: The retriever is away, still reads, or takes more than half of the time that is left for the
                call at hand.
            TasteUncounted: It was not told of this taste yet.
            DomainError: What it refuses.
        """
        request = profiles_pb2.RecommendTracksRequest(
            profile_id=user_id,
            limit=_MOST,
            filter=retriever_pb2.Filter(
                blocked_track_ids=blocked.track_ids[:MOST_BLOCKED], blocked_artists=blocked.artists[:MOST_BLOCKED]
            ),
        )
        left = time_left_s()
        timeout_s = _TIMEOUT_S if left is None else min(_TIMEOUT_S, left / 2)
        try:
            answer = await self._stub.RecommendTracks(request, timeout=timeout_s, metadata=self._metadata(user_id))
        except DomainError as error:
            if _is_nothing(error):
                return []
            raise
        return [(TrackId(hit.track_id), hit.similarity) for hit in answer.hits]

    def _metadata(self, user_id: UserId) -> tuple[tuple[str, str], ...]:
        token = self._issuer.job_token(user_id, JobId(new_id()), self._clock(), _TOKEN_LIFE)
        return (("authorization", f"Bearer {token}"),)


def _is_nothing(error: DomainError) -> bool:
    """Say whether a refusal means that there is no taste: none of what the person hears is in the index.

    Raises:
        TastesAway: The refusal means that there is nobody to ask now.
        TasteUncounted: It means that the taste was not told yet.
    """
    if error.code is Code.NOT_FOUND:
        raise TasteUncounted from error
    if error.code in _AWAY:
        raise TastesAway(error.reason) from error
    return error.code is Code.FAILED_PRECONDITION
