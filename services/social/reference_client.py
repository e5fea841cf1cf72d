"""What social asks of the retriever about recordings, in a person's name."""

from collections.abc import Callable
from datetime import datetime, timedelta

import grpc

from museed.retriever.v1 import reference_pb2, reference_pb2_grpc
from services.chassis import channel
from services.chassis.errors import FailedPrecondition
from services.chassis.tls import Identity
from services.social.domain.ids import EncoderId, JobId, TrackId, UserId, new_id
from services.social.domain.references import Heard, Match, MatchedSegment, Matches, Stretch
from services.social.domain.rules import TrackFilter
from services.social.domain.tokens import TokenIssuer
from services.social.errors import EncoderAway
from services.social.retriever_requests import Blocks, filter_message

_MATCH = "/museed.retriever.v1.ReferenceService/MatchReference"
_TIMEOUT_S = 10.0
_TOKEN_LIFE = timedelta(minutes=1)


class WindowsUnreadable(Exception):
    """The blob of the recording's windows is missing or damaged."""


def connect_references(address: str, identity: Identity | None = None) -> grpc.aio.Channel:
    """Open a channel to the retriever's references."""
    return channel.connect(address, idempotent=[_MATCH], identity=identity, peer="retriever")


class ReferenceClient:
    """Calls of the retriever's ReferenceService.

    Args:
        grpc_channel: To the retriever.
        issuer: Signs a token for each call, for the person who searches.
        clock: Time of day.
    """

    def __init__(self, grpc_channel: grpc.aio.Channel, issuer: TokenIssuer, clock: Callable[[], datetime]) -> None:
        self._stub: reference_pb2_grpc.ReferenceServiceAsyncStub = reference_pb2_grpc.ReferenceServiceStub(grpc_channel)
        self._issuer = issuer
        self._clock = clock

    async def match(
        self,
        user_id: UserId,
        heard: Heard,
        encoder_id: EncoderId,
        window_seconds: float,
        count: int,
        segment_count: int,
        wanted: TrackFilter,
        blocks: Blocks,
    ) -> Matches:
        """Find tracks that sound like a recording.

        Args:
            user_id: Who searches.
            heard: The recording; it has windows.
            encoder_id: Whose ear heard it.
            window_seconds: Length of that encoder's windows; 0 where it is not known.
            count: Tracks wanted.
            segment_count: Pairs of segments wanted of each.
            wanted: Which tracks may be found, checked.
            blocks: What is not found.

        Raises:
            WindowsUnreadable: Nothing is left of its windows.
            EncoderAway: The retriever does not hold this encoder's index.
            DomainError: What the retriever refuses.
        """
        request = reference_pb2.MatchReferenceRequest(
            windows_digest=heard.windows_digest,
            window_seconds=window_seconds,
            duration_seconds=heard.duration_seconds,
            vector=heard.vector,
            encoder_id=encoder_id,
            k=count,
            filter=filter_message(wanted, blocks),
            segments_per_track=segment_count,
            tags=heard.tag_names,
        )
        token = self._issuer.job_token(user_id, JobId(new_id()), self._clock(), _TOKEN_LIFE)
        metadata = (("authorization", f"Bearer {token}"),)
        try:
            answer = await self._stub.MatchReference(request, timeout=_TIMEOUT_S, metadata=metadata)
        except FailedPrecondition as error:
            if error.reason == "WINDOWS_UNREADABLE":
                raise WindowsUnreadable from error
            if error.reason == "ENCODER_MISMATCH":
                raise EncoderAway(encoder_id) from error
            raise
        return Matches(
            [_match(one) for one in answer.matches],
            answer.candidate_count,
            answer.without_windows_count + answer.unreadable_count,
        )


def _match(message: reference_pb2.TrackMatch) -> Match:
    return Match(
        TrackId(message.track_id),
        message.similarity,
        message.score if message.HasField("score") else None,
        message.quantile if message.HasField("quantile") else None,
        list(message.shared_tags),
        [
            MatchedSegment(
                _stretch(one.reference), _stretch(one.track) if one.HasField("track") else None, one.similarity
            )
            for one in message.segments
        ],
    )


def _stretch(message: reference_pb2.Segment) -> Stretch:
    return Stretch(message.start_seconds, message.end_seconds)
