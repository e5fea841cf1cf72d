"""Checks requests at the border and turns them into the values of the domain."""

from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import TypeVar

from museed.retriever.v1 import retriever_pb2
from services.chassis import vectors
from services.chassis.bus import LogPosition
from services.chassis.errors import InvalidArgument
from services.retriever.errors import MissingInput, OutOfRange, UnknownTrack
from services.retriever.index import TrackIndex
from services.retriever.recipe import Recipe, Seed
from services.retriever.similarity import Float32Array

DEFAULT_K, MAX_K = 20, 200
DEFAULT_LENGTH, MAX_LENGTH = 25, 500
DEFAULT_PER_ARTIST, MAX_PER_ARTIST = 3, 500
MAX_SEEDS = 20
MAX_WEIGHT = 1_000_000
MAX_EXCLUDED = 1000
_AUDIO_HASH_BYTES = 32

N = TypeVar("N", int, float)


def number_of_hits(request: retriever_pb2.SearchRequest) -> int:
    """Return how many hits are wanted.

    Raises:
        OutOfRange: k is beyond 1 to 200.
        MissingInput: There is neither a vector nor a track_id.
    """
    if request.WhichOneof("query") is None:
        raise MissingInput("query", "give a vector or a track_id")
    return _within("k", request.k or DEFAULT_K, 1, MAX_K)


def recipe(request: retriever_pb2.BuildPlaylistRequest) -> Recipe:
    """Return how to choose.

    Raises:
        OutOfRange: length, max_per_artist, min_similarity or the number of excluded tracks is beyond its limits.
    """
    min_similarity = None
    if request.HasField("min_similarity"):
        min_similarity = _within("min_similarity", request.min_similarity, -1, 1)
    return Recipe(
        length=_within("length", request.length or DEFAULT_LENGTH, 1, MAX_LENGTH),
        max_per_artist=_within("max_per_artist", request.max_per_artist or DEFAULT_PER_ARTIST, 1, MAX_PER_ARTIST),
        include_seed=request.include_seed,
        min_similarity=min_similarity,
        excluded=excluded(request.exclude_track_ids),
    )


def excluded(track_ids: Sequence[str]) -> frozenset[str]:
    """Return the tracks that must not be found; unknown ones do not matter.

    Raises:
        OutOfRange: They are more than 1,000.
    """
    _within("exclude_track_ids", len(track_ids), 0, MAX_EXCLUDED)
    return frozenset(track_ids)


def check_seeds(seeds: Sequence[retriever_pb2.Seed]) -> None:
    """Check all of the seeds that can be checked without an index.

    Raises:
        MissingInput: There is no seed, or one without a source.
        OutOfRange: There are more than 20, or a weight is not 0 to 1,000,000.
        InvalidArgument: An audio_hash is neither empty nor 32 bytes long.
    """
    if not seeds:
        raise MissingInput("seeds", f"give 1 to {MAX_SEEDS}")
    _within("seeds", len(seeds), 1, MAX_SEEDS)
    for number, seed in enumerate(seeds):
        field = f"seeds[{number}]"
        if seed.WhichOneof("source") is None:
            raise MissingInput(f"{field}.source", "give a vector or a track_id")
        _within(f"{field}.weight", seed.weight, 0, MAX_WEIGHT)
        if len(seed.audio_hash) not in (0, _AUDIO_HASH_BYTES):
            raise InvalidArgument(
                f"{field}.audio_hash has {len(seed.audio_hash)} bytes, {_AUDIO_HASH_BYTES} are expected",
                field=f"{field}.audio_hash",
                value=len(seed.audio_hash),
                limit=_AUDIO_HASH_BYTES,
            )


def resolve_seeds(index: TrackIndex, seeds: Iterable[retriever_pb2.Seed]) -> list[Seed]:
    """Look the seeds up in the index; on the index's thread.

    Raises:
        UnknownTrack: A seed's track is not indexed.
        InvalidArgument: A seed's vector has another length or norm.
    """
    resolved = []
    for number, seed in enumerate(seeds):
        weight = seed.weight or 1.0
        if seed.WhichOneof("source") == "track_id":
            field = f"seeds[{number}].track_id"
            vector, track = vector_of_track(index, seed.track_id, field), index.track(seed.track_id)
        else:
            vector, track = unit_vector(index, seed.vector, f"seeds[{number}].vector"), None
        resolved.append(Seed(vector, weight, track, seed.audio_hash))
    return resolved


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


def read_point(
    request: retriever_pb2.SearchRequest | retriever_pb2.BuildPlaylistRequest | retriever_pb2.DescribeIndexRequest,
) -> LogPosition | None:
    """Return the point of the log that the answer must contain, None where the caller does not mind."""
    if not request.HasField("min_read_point"):
        return None
    point = request.min_read_point
    return LogPosition(point.stream_created_at.ToDatetime(tzinfo=UTC), point.sequence)


def _within(field: str, value: N, lowest: int, highest: int) -> N:
    if not lowest <= value <= highest:
        raise OutOfRange(field, value, lowest, highest)
    return value
