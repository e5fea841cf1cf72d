"""The gRPC side of the retriever: checks a request, reads the live index, tells what was found."""

from collections import defaultdict
from collections.abc import Callable

from google.protobuf.timestamp_pb2 import Timestamp

from museed.retriever.v1 import retriever_pb2, retriever_pb2_grpc
from services.chassis.auth import Access
from services.chassis.bus import LogPosition
from services.retriever.index.index import TrackIndex
from services.retriever.library import Library
from services.retriever.live.collection import Collections
from services.retriever.live.joining import AnsweredLibrary, Question
from services.retriever.playlist.extension import extend_playlist
from services.retriever.playlist.path import build_path
from services.retriever.playlist.playlist import Playlist, build_playlist
from services.retriever.playlist.quantiles import PairQuantiles, QuantileCache
from services.retriever.playlist.target import TasteVectors
from services.retriever.search import Page, first_depth, search_page
from services.retriever.servicer import playlist_requests, requests
from services.retriever.servicer.filter_requests import track_filter
from services.retriever.servicer.messages import playlist_track, rule_counts, warning
from services.retriever.servicer.waiting import time_to_wait_s
from services.retriever.similarity import Float32Array

_SERVICE = "/museed.retriever.v1.RetrieverService"

ACCESS = {
    f"{_SERVICE}/Search": Access.PUBLIC,
    f"{_SERVICE}/BuildPlaylist": Access.WORKER,
    f"{_SERVICE}/BuildPath": Access.WORKER,
    f"{_SERVICE}/ExtendPlaylist": Access.WORKER,
    f"{_SERVICE}/DescribeIndex": Access.PUBLIC,
}


class NoTastes:
    """Knows nobody's taste."""

    def of(self, profile_id: str) -> Float32Array | None:
        """Return None, whoever is asked for."""
        return None


class Servicer(retriever_pb2_grpc.RetrieverServiceServicer):
    """Answers from the live index of the encoder that is asked for. Who may call what stands in ACCESS.

    Args:
        collections: The indexes.
        tastes: Gives the tastes in the space of an index; called on the index's thread.
    """

    def __init__(
        self, collections: Collections, tastes: Callable[[TrackIndex], TasteVectors] = lambda _: NoTastes()
    ) -> None:
        self._collections = collections
        self._tastes = tastes
        self._quantiles: defaultdict[str, QuantileCache] = defaultdict(QuantileCache)

    async def Search(self, request: retriever_pb2.SearchRequest, context: object) -> retriever_pb2.SearchResponse:
        """Find the tracks nearest to a vector or to a track, page by page."""
        live = self._collections.of(request.encoder_id).live
        wanted = requests.search(request, live.encoder_id)

        def query_of(index: TrackIndex) -> Float32Array:
            if request.WhichOneof("query") == "track_id":
                return requests.vector_of_track(index, request.track_id, "track_id")
            return requests.unit_vector(index, request.vector, "vector")

        def ask(index: TrackIndex) -> Question:
            return Question(query_of(index), first_depth(wanted), wanted.wanted)

        def quantiles_of(library: Library) -> PairQuantiles | None:
            return self._quantiles[live.encoder_id].of(library) if request.with_quantiles else None

        def search(library: AnsweredLibrary) -> tuple[Page, PairQuantiles | None]:
            return search_page(library, library.question.query, wanted), quantiles_of(library)

        def search_alone(index: TrackIndex) -> tuple[Page, PairQuantiles | None]:
            return search_page(index, query_of(index), wanted), quantiles_of(index)

        point, timeout_s = requests.read_point(request), time_to_wait_s()
        if wanted.takes_long:
            page, quantiles = await live.compose(search_alone, point, timeout_s)
        else:
            page, quantiles = await live.search(ask, search, point, timeout_s)
        token = requests.next_page_token(request, wanted, page.end, live.encoder_id)
        response = retriever_pb2.SearchResponse(encoder_id=live.encoder_id, next_page_token=token)
        for track_id, similarity in page.hits:  # half the time of making messages and copying them in
            hit = response.hits.add(track_id=track_id, similarity=similarity)
            if quantiles is not None:
                hit.quantile = quantiles.of(similarity)
        return response

    async def BuildPlaylist(
        self, request: retriever_pb2.BuildPlaylistRequest, context: object
    ) -> retriever_pb2.BuildPlaylistResponse:
        """Choose and order the tracks of a playlist."""
        live = self._collections.of(request.encoder_id).live
        playlist_requests.check_seeds(request.seeds)
        recipe = playlist_requests.recipe(request)
        taste_weight = playlist_requests.profile_weight(request)
        wanted = track_filter(request.filter, "filter")

        def build(index: TrackIndex) -> Playlist:
            return build_playlist(
                index,
                playlist_requests.resolve_seeds(index, request.seeds),
                recipe,
                wanted=wanted,
                taste=self._tastes(index).of(request.profile_id) if request.profile_id else None,
                taste_weight=taste_weight,
                quantiles=self._quantiles[live.encoder_id].of(index),
            )

        playlist = await live.compose(build, requests.read_point(request), time_to_wait_s())
        return retriever_pb2.BuildPlaylistResponse(
            tracks=[playlist_track(track) for track in playlist.tracks],
            encoder_id=live.encoder_id,
            removed=rule_counts(playlist.removed),
            warning=warning(playlist.warning),
        )

    async def BuildPath(
        self, request: retriever_pb2.BuildPathRequest, context: object
    ) -> retriever_pb2.BuildPathResponse:
        """Lead from one track to another in small steps."""
        live = self._collections.of(request.encoder_id).live
        recipe = playlist_requests.path_recipe(request)
        wanted = track_filter(request.filter, "filter")

        def build(index: TrackIndex) -> Playlist:
            return build_path(
                index,
                playlist_requests.track_seed(index, request.from_track_id, "from_track_id"),
                playlist_requests.track_seed(index, request.to_track_id, "to_track_id"),
                recipe,
                wanted=wanted,
                quantiles=self._quantiles[live.encoder_id].of(index),
            )

        path = await live.compose(build, requests.read_point(request), time_to_wait_s())
        return retriever_pb2.BuildPathResponse(
            tracks=[playlist_track(track) for track in path.tracks],
            encoder_id=live.encoder_id,
            removed=rule_counts(path.removed),
        )

    async def ExtendPlaylist(
        self, request: retriever_pb2.ExtendPlaylistRequest, context: object
    ) -> retriever_pb2.ExtendPlaylistResponse:
        """Suggest what could be added to a playlist."""
        live = self._collections.of(request.encoder_id).live
        recipe = playlist_requests.extension_recipe(request)
        wanted = track_filter(request.filter, "filter")

        def extend(index: TrackIndex) -> Playlist:
            playlist = [
                playlist_requests.track_seed(index, track_id, f"track_ids[{number}]")
                for number, track_id in enumerate(request.track_ids)
            ]
            return extend_playlist(
                index,
                playlist,
                playlist_requests.known_seeds(index, request.accepted_track_ids),
                playlist_requests.known_seeds(index, request.rejected_track_ids),
                recipe,
                wanted=wanted,
                quantiles=self._quantiles[live.encoder_id].of(index),
            )

        found = await live.compose(extend, requests.read_point(request), time_to_wait_s())
        return retriever_pb2.ExtendPlaylistResponse(
            suggestions=[playlist_track(track) for track in found.tracks],
            encoder_id=live.encoder_id,
            removed=rule_counts(found.removed),
            warning=warning(found.warning),
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
                memory_bytes=index.memory_bytes,
                mapped_bytes=index.mapped_bytes,
                delta_count=index.delta_count,
                tombstone_count=index.tombstone_count,
            )

        wanted = requests.read_point(request)
        if wanted is None:
            return await live.run(describe)
        return await live.read(describe, wanted, time_to_wait_s())


def _read_point(position: LogPosition | None) -> retriever_pb2.ReadPoint | None:
    if position is None:
        return None
    created_at = Timestamp()
    created_at.FromDatetime(position.created_at)
    return retriever_pb2.ReadPoint(stream_created_at=created_at, sequence=position.sequence)
