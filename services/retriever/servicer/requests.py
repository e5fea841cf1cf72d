"""Checks requests at the border and turns them into the values of the domain."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC

from museed.retriever.v1 import profiles_pb2, reference_pb2, retriever_pb2
from services.chassis import auth, vectors
from services.chassis.bus import LogPosition
from services.chassis.errors import InvalidArgument
from services.retriever.errors import UnknownTrack
from services.retriever.filters import TrackFilter
from services.retriever.index.index import TrackIndex
from services.retriever.request_errors import MissingInput, ProfileOfAnother
from services.retriever.search import Cursor, Search
from services.retriever.servicer import page_tokens
from services.retriever.servicer.filter_requests import track_filter as track_filter
from services.retriever.servicer.limits import an_id, ids, within
from services.retriever.similarity import Float32Array

DEFAULT_K, MAX_K = 20, 200
MAX_EXCLUDED = 1000
_ALL = TrackFilter()

# Requests that may wait for a point of the log.
Reading = (
    retriever_pb2.SearchRequest
    | retriever_pb2.BuildPlaylistRequest
    | retriever_pb2.BuildPathRequest
    | retriever_pb2.ExtendPlaylistRequest
    | retriever_pb2.DescribeIndexRequest
    | profiles_pb2.RecommendTracksRequest
    | reference_pb2.MatchReferenceRequest
)


def search(request: retriever_pb2.SearchRequest, encoder_id: str) -> Search:
    """Return which hits are wanted.

    Args:
        request: As it came.
        encoder_id: Whose index answers.

    Raises:
        MissingInput: There is neither a vector nor a track_id, or an id or an entry of a list is blank.
        OutOfRange, CountOutOfRange, TextTooLong: Something is beyond its limits.
        RangeReversed, PageTokenInvalid, PageTokenMismatch: See there.
    """
    if request.WhichOneof("query") is None:
        raise MissingInput("query", "give a vector or a track_id")
    left_out = excluded(request.exclude_track_ids)
    if request.WhichOneof("query") == "track_id":
        left_out |= {an_id("track_id", request.track_id)}
    wanted = (track_filter(request.filter, "filter") if request.HasField("filter") else None) or _ALL
    wanted = wanted.without(left_out) if left_out else wanted
    hub_damping = within("hub_damping", request.hub_damping, 0, 1)
    after = None
    if request.page_token:
        after = page_tokens.decode(request.page_token, query_digest(request, wanted, encoder_id))
    return Search(within("k", request.k or DEFAULT_K, 1, MAX_K), wanted, hub_damping, after)


def query_digest(request: retriever_pb2.SearchRequest, wanted: TrackFilter, encoder_id: str) -> bytes:
    """Return by what the query of a search is known again on its next page: by what it asks, however it is written.

    Args:
        request: Neither k nor min_read_point matters, nor the order, the case and repetitions in a list: a blocklist
            comes from tables, which promise none.
        wanted: Its filter, with what it excludes.
        encoder_id: The one that was meant: it may be another one for the next page.
    """
    # Its digest: to write 4,096 bytes out takes ten times as long.
    start = request.WhichOneof("query"), page_tokens.query_digest(request.vector), request.track_id
    asked = [getattr(wanted, each.name) for each in fields(wanted)]
    # Joined: writing 10,000 texts one by one takes as long as sorting them. Whose texts hold NULs fools nobody else.
    plain = ["\0".join(sorted(each)) if isinstance(each, frozenset) else each for each in asked]
    return page_tokens.query_digest(repr((encoder_id, start, abs(request.hub_damping), plain)).encode())


def next_page_token(request: retriever_pb2.SearchRequest, wanted: Search, end: Cursor | None, encoder_id: str) -> str:
    """Return the token of the page after this one; empty where there is none.

    Args:
        request: As it came.
        wanted: What `search` made of it.
        end: Where this page ended; None on the last one.
        encoder_id: Whose index answered.
    """
    if end is None:
        return ""
    if request.page_token:  # it was checked to be of this query
        digest = page_tokens.digest_of(request.page_token)
    else:
        digest = query_digest(request, wanted.wanted, encoder_id)
    return page_tokens.encode(end, digest)


def excluded(track_ids: Sequence[str]) -> frozenset[str]:
    """Return the tracks that must not be found; unknown ones do not matter.

    Raises:
        CountOutOfRange: They are more than 1,000.
        MissingInput, TextTooLong: One is blank, or longer than 100 characters.
    """
    return frozenset(ids("exclude_track_ids", track_ids, MAX_EXCLUDED))


def own_profile(profile_id: str) -> str:
    """Return the profile of a request, which is that of the person for whom the caller works.

    A profile tells what somebody listens to, so that a job gets at nobody's but its owner's, whatever social passes on.

    Raises:
        MissingInput: There is none.
        TextTooLong: It is longer than 100 characters.
        ProfileOfAnother: The job is another person's.
    """
    an_id("profile_id", profile_id)
    caller = auth.viewer()
    if caller is not None and caller.user_id != profile_id:
        raise ProfileOfAnother(profile_id)
    return profile_id


def vector_of_track(index: TrackIndex, track_id: str, field: str) -> Float32Array:
    """Return a copy of the vector of a track, shape (dim,).

    Raises:
        UnknownTrack: The track is not indexed.
    """
    if index.track(track_id) is None:
        raise UnknownTrack(field, track_id)
    return index.vector(track_id)


def unit_vector(index: TrackIndex, data: bytes, field: str) -> Float32Array:
    """Return the vector of a request, shape (dim,), float32, normalised.

    Raises:
        InvalidArgument: DIMENSION_MISMATCH or VECTOR_NOT_UNIT; NaN is not unit either. While the index is empty it has
            no dimension, and takes any.
    """
    vector = vectors.decode(data, index.dimension or max(1, len(data) // 4), field)
    unit: Float32Array = (vector / float((vector @ vector) ** 0.5)).astype("float32")
    return unit


def read_point(request: Reading) -> LogPosition | None:
    """Return the point of the log that the answer must contain, None where the caller does not mind.

    Raises:
        InvalidArgument: OUT_OF_RANGE: Its time is none.
    """
    if not request.HasField("min_read_point"):
        return None
    point = request.min_read_point
    try:
        created_at = point.stream_created_at.ToDatetime(tzinfo=UTC)
    except ValueError as error:
        field, time = "min_read_point.stream_created_at", point.stream_created_at
        value = f"{time.seconds} s and {time.nanos} ns"
        raise InvalidArgument(
            f"{field} is {value}: {error}", reason="OUT_OF_RANGE", field=field, value=value
        ) from error
    return LogPosition(created_at, point.sequence)
