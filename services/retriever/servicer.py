"""The gRPC side of the retriever: checks a request, reads the live index, tells what was found."""

from google.protobuf.timestamp_pb2 import Timestamp

from museed.retriever.v1 import retriever_pb2, retriever_pb2_grpc
from services.chassis.auth import Access
from services.chassis.bus import LogPosition
from services.chassis.server import time_left_s
from services.retriever import requests
from services.retriever.collection import Collections
from services.retriever.index import Hit, TrackIndex
from services.retriever.playlist import Playlist, PlaylistTrack, build_playlist

_SERVICE = "/museed.retriever.v1.RetrieverService"

ACCESS = {
    f"{_SERVICE}/Search": Access.PUBLIC,
    f"{_SERVICE}/BuildPlaylist": Access.WORKER,
    f"{_SERVICE}/DescribeIndex": Access.PUBLIC,
}

# Kept of the caller's time for the answer itself, so that it hears INDEX_BEHIND and not only that its time is over.
_ANSWER_S = 0.1
_LONGEST_WAIT_S = 30.0


class Servicer(retriever_pb2_grpc.RetrieverServiceServicer):
    """Answers from the live index of the encoder that is asked for. Who may call what stands in ACCESS.

    Args:
        collections: The indexes.
    """

    def __init__(self, collections: Collections) -> None:
        self._collections = collections

    async def Search(self, request: retriever_pb2.SearchRequest, context: object) -> retriever_pb2.SearchResponse:
        """Find the tracks nearest to a vector or to a track."""
        live = self._collections.of(request.encoder_id).live
        k = requests.number_of_hits(request)
        excluded = requests.excluded(request.exclude_track_ids)

        def search(index: TrackIndex) -> list[Hit]:
            if request.WhichOneof("query") == "track_id":
                query = requests.vector_of_track(index, request.track_id, "track_id")
                return index.search(query, k, excluded | {request.track_id})
            return index.search(requests.unit_vector(index, request.vector, "vector"), k, excluded)

        hits = await live.read(search, requests.read_point(request), _time_to_wait_s())
        return retriever_pb2.SearchResponse(
            hits=[retriever_pb2.Hit(track_id=hit.track.track_id, similarity=hit.similarity) for hit in hits],
            encoder_id=live.encoder_id,
        )

    async def BuildPlaylist(
        self, request: retriever_pb2.BuildPlaylistRequest, context: object
    ) -> retriever_pb2.BuildPlaylistResponse:
        """Choose and order the tracks of a playlist."""
        live = self._collections.of(request.encoder_id).live
        requests.check_seeds(request.seeds)
        recipe = requests.recipe(request)

        def build(index: TrackIndex) -> Playlist:
            return build_playlist(index.tracks, index.vectors, requests.resolve_seeds(index, request.seeds), recipe)

        playlist = await live.read(build, requests.read_point(request), _time_to_wait_s())
        return retriever_pb2.BuildPlaylistResponse(
            tracks=[_playlist_track(track) for track in playlist.tracks],
            encoder_id=live.encoder_id,
            removed=[retriever_pb2.RuleCount(rule=rule, count=count) for rule, count in playlist.removed.items()],
        )

    async def DescribeIndex(
        self, request: retriever_pb2.DescribeIndexRequest, context: object
    ) -> retriever_pb2.DescribeIndexResponse:
        """Say what is indexed and how far the log has been applied; with a point, after it has been."""
        collection = self._collections.of(request.encoder_id)
        live = collection.live

        def describe(index: TrackIndex) -> retriever_pb2.DescribeIndexResponse:
            return retriever_pb2.DescribeIndexResponse(
                encoder_id=index.encoder_id,
                dimension=index.dimension,
                track_count=len(index),
                applied=_read_point(live.position),
                kind=index.kind,
                is_caught_up=live.is_caught_up,
                refused_count=collection.consumer.refused_count,
            )

        wanted = requests.read_point(request)
        if wanted is None:
            return await live.run(describe)
        return await live.read(describe, wanted, _time_to_wait_s())


def _time_to_wait_s() -> float:
    left = time_left_s()
    return _LONGEST_WAIT_S if left is None else min(_LONGEST_WAIT_S, max(0.0, left - _ANSWER_S))


def _read_point(position: LogPosition | None) -> retriever_pb2.ReadPoint | None:
    if position is None:
        return None
    created_at = Timestamp()
    created_at.FromDatetime(position.created_at)
    return retriever_pb2.ReadPoint(stream_created_at=created_at, sequence=position.sequence)


def _playlist_track(track: PlaylistTrack) -> retriever_pb2.PlaylistTrack:
    return retriever_pb2.PlaylistTrack(
        track_id=track.track.track_id,
        similarity=track.similarity,
        is_seed=track.is_seed,
        seed_similarities=track.seed_similarities,
        shared_tags=track.shared_tags,
    )
