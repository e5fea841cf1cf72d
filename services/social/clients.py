"""What social asks of the retriever: one thin function for each call, domain values in and out."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import grpc

from museed.retriever.v1 import retriever_pb2, retriever_pb2_grpc
from services.chassis import channel
from services.chassis.errors import FailedPrecondition
from services.chassis.tls import Identity
from services.social.domain.catalog import ReadPoint
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

_DESCRIBE_TIMEOUT_S = 5.0
_MISMATCH = "ENCODER_MISMATCH"
_READS = ("BuildPlaylist", "BuildPath", "ExtendPlaylist", "DescribeIndex", "Search")


def connect_retriever(address: str, identity: Identity | None = None) -> grpc.aio.Channel:
    """Open a channel to the retriever."""
    service = "/museed.retriever.v1.RetrieverService"
    return channel.connect(
        address, idempotent=[f"{service}/{method}" for method in _READS], identity=identity, peer="retriever"
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """Tracks in playing order, and how many candidates each rule passed over."""

    tracks: list[ChosenTrack]
    removed: list[tuple[str, int]]


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
    ) -> Choice:
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
        return Choice([chosen(track) for track in answer.tracks], [(each.rule, each.count) for each in answer.removed])

    async def find_near(
        self,
        vector: bytes,
        count: int,
        wanted: TrackFilter,
        blocks: Blocks,
        encoder_id: EncoderId,
        timeout_s: float,
    ) -> list[tuple[TrackId, float]]:
        """Let the retriever find tracks near to a vector of this encoder's space, with cosines, nearest first.

        Raises:
            EncoderAway: The retriever does not hold this encoder's index.
            DomainError: What the retriever refuses.
        """
        request = retriever_pb2.SearchRequest(
            vector=vector, encoder_id=encoder_id, k=count, filter=filter_message(wanted, blocks)
        )
        with _telling_mismatch(encoder_id):
            answer = await self._stub.Search(request, timeout=timeout_s)
        return [(TrackId(hit.track_id), hit.similarity) for hit in answer.hits]

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


@contextlib.contextmanager
def _telling_mismatch(encoder_id: EncoderId) -> Iterator[None]:
    try:
        yield
    except FailedPrecondition as error:
        if error.reason != _MISMATCH:
            raise
        raise EncoderAway(encoder_id) from error


def _authorization(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)
