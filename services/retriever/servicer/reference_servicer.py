"""The gRPC side of references: checks a request, finds candidates, compares them, tells where they match."""

from collections import defaultdict

from museed.retriever.v1 import reference_pb2, reference_pb2_grpc
from services.chassis.auth import Access
from services.retriever.errors import NoBlobStore, WindowsUnreadable
from services.retriever.index.index import TrackIndex
from services.retriever.live.collection import Collections
from services.retriever.playlist.quantiles import PairQuantiles, QuantileCache
from services.retriever.reference.reference import Matches, ReferenceMatcher, TrackMatch
from services.retriever.servicer import reference_requests, requests
from services.retriever.servicer.filter_requests import track_filter
from services.retriever.servicer.limits import within
from services.retriever.servicer.waiting import time_to_wait_s
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track

_SERVICE = "/museed.retriever.v1.ReferenceService"

ACCESS = {f"{_SERVICE}/MatchReference": Access.WORKER}

DEFAULT_K, MAX_K = 20, 200
DEFAULT_SEGMENTS, MAX_SEGMENTS = 3, 20
_CANDIDATES = 200


class ReferenceServicer(reference_pb2_grpc.ReferenceServiceServicer):
    """Answers from the index of the encoder that is asked for and from blobs. Who may call it stands in ACCESS.

    Args:
        collections: The indexes.
        matcher: None where this process is given no blob store.
    """

    def __init__(self, collections: Collections, matcher: ReferenceMatcher | None) -> None:
        self._collections = collections
        self._matcher = matcher
        self._quantiles: defaultdict[str, QuantileCache] = defaultdict(QuantileCache)

    async def MatchReference(
        self, request: reference_pb2.MatchReferenceRequest, context: object
    ) -> reference_pb2.MatchReferenceResponse:
        """Find the tracks that sound like a recording, and where in them."""
        if self._matcher is None:
            raise NoBlobStore
        live = self._collections.of(request.encoder_id).live
        k = within("k", request.k or DEFAULT_K, 1, MAX_K)
        segments = within("segments_per_track", request.segments_per_track or DEFAULT_SEGMENTS, 1, MAX_SEGMENTS)
        reference_requests.check_times(request)
        reference_requests.check_windows(request)
        wanted = track_filter(request.filter, "filter")

        read_point = requests.read_point(request)
        dimension = await live.read(lambda index: index.dimension, read_point, time_to_wait_s())
        matches = Matches([], 0, 0, 0)
        quantiles: PairQuantiles | None = None
        tags = frozenset(request.tags)
        if dimension:  # without a track there is none to check against
            # Not on the index's thread, where everybody else would wait for it.
            kept = await self._kept(request.windows_digest, dimension) if request.windows_digest else None
            reference = await self._matcher.read(lambda: reference_requests.reference(request, dimension, kept))

            def find(index: TrackIndex) -> tuple[list[tuple[Track, float]], PairQuantiles | None]:
                nearest = index.nearest(reference.vector, _CANDIDATES, wanted)
                found = list(zip(nearest.tracks, nearest.similarities.tolist(), strict=True))
                return found, self._quantiles[live.encoder_id].of(index)

            candidates, quantiles = await live.read(find, read_point, time_to_wait_s())
            matches = await self._matcher.match(reference, candidates, k, segments)
        return reference_pb2.MatchReferenceResponse(
            matches=[_message(match, quantiles, tags) for match in matches.tracks],
            encoder_id=live.encoder_id,
            candidate_count=matches.candidate_count,
            without_windows_count=matches.without_windows_count,
            unreadable_count=matches.unreadable_count,
        )

    async def _kept(self, digest: bytes, dimension: int) -> Float32Array:
        assert self._matcher is not None  # asked before
        kept = await self._matcher.windows_of(digest, dimension)
        if kept is None:
            raise WindowsUnreadable(digest)
        return kept


def _message(match: TrackMatch, quantiles: PairQuantiles | None, tags: frozenset[str]) -> reference_pb2.TrackMatch:
    return reference_pb2.TrackMatch(
        track_id=match.track.track_id,
        similarity=match.similarity,
        score=match.score,
        segments=[
            reference_pb2.SegmentMatch(
                reference=_segment(one.reference_s),
                track=None if one.track_s is None else _segment(one.track_s),
                similarity=one.similarity,
            )
            for one in match.segments
        ],
        quantile=None if quantiles is None else quantiles.of(match.similarity),
        shared_tags=[tag for tag in match.track.tags if tag in tags],
    )


def _segment(seconds: tuple[float, float]) -> reference_pb2.Segment:
    return reference_pb2.Segment(start_seconds=seconds[0], end_seconds=seconds[1])
