"""Every bad input is refused by name, with its value and its limit."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from museed.retriever.v1 import retriever_pb2
from services.chassis import vectors
from services.chassis.bus import LogPosition
from services.chassis.errors import DomainError, InvalidArgument, NotFound
from services.retriever import requests
from services.retriever.index import TrackIndex
from services.retriever.recipe import Recipe
from services.retriever.settings import RetrieverSettings
from services.retriever.tracks import Track

X = vectors.encode(np.array([1, 0, 0], np.float32))


def an_index() -> TrackIndex:
    index = TrackIndex("enc")
    index.upsert(Track("a", 1), np.array([0, 1, 0], np.float32))
    return index


def told(error: DomainError) -> tuple[str, str | None, str | None, str | None]:
    return error.reason, error.field, error.value, error.limit


def playlist_request(**fields: Any) -> retriever_pb2.BuildPlaylistRequest:
    return retriever_pb2.BuildPlaylistRequest(**fields)


@pytest.mark.parametrize(("k", "expected"), [(0, 20), (1, 1), (200, 200)])
def test_k_within_limits(k: int, expected: int) -> None:
    assert requests.number_of_hits(retriever_pb2.SearchRequest(track_id="a", k=k)) == expected


@pytest.mark.parametrize(("k", "limit"), [(-1, "1"), (201, "200")])
def test_k_beyond_limits(k: int, limit: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        requests.number_of_hits(retriever_pb2.SearchRequest(track_id="a", k=k))
    assert told(refused.value) == ("OUT_OF_RANGE", "k", str(k), limit)


def test_a_search_needs_a_query() -> None:
    with pytest.raises(InvalidArgument) as refused:
        requests.number_of_hits(retriever_pb2.SearchRequest())
    assert told(refused.value) == ("MISSING_INPUT", "query", None, None)


def test_zeros_of_a_recipe_mean_its_defaults() -> None:
    assert requests.recipe(playlist_request()) == Recipe(
        length=25, max_per_artist=3, include_seed=False, min_similarity=None, excluded=frozenset()
    )


def test_min_similarity_zero_is_not_the_same_as_none() -> None:
    assert requests.recipe(playlist_request(min_similarity=0.0)).min_similarity == 0.0


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"length": 10_000}, ("OUT_OF_RANGE", "length", "10000", "500")),
        ({"length": -1}, ("OUT_OF_RANGE", "length", "-1", "1")),
        ({"max_per_artist": 501}, ("OUT_OF_RANGE", "max_per_artist", "501", "500")),
        ({"max_per_artist": -3}, ("OUT_OF_RANGE", "max_per_artist", "-3", "1")),
        ({"min_similarity": 1.5}, ("OUT_OF_RANGE", "min_similarity", "1.5", "1")),
        ({"min_similarity": -1.5}, ("OUT_OF_RANGE", "min_similarity", "-1.5", "-1")),
        ({"min_similarity": float("nan")}, ("OUT_OF_RANGE", "min_similarity", "nan", "1")),
        ({"exclude_track_ids": ["a"] * 1001}, ("OUT_OF_RANGE", "exclude_track_ids", "1001", "1000")),
    ],
)
def test_recipe_beyond_limits(fields: dict[str, Any], expected: tuple[str, str, str, str]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        requests.recipe(playlist_request(**fields))
    assert told(refused.value) == expected


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        ([], ("MISSING_INPUT", "seeds", None, None)),
        ([{"track_id": "a"}] * 21, ("OUT_OF_RANGE", "seeds", "21", "20")),
        ([{"track_id": "a"}, {}], ("MISSING_INPUT", "seeds[1].source", None, None)),
        ([{"track_id": "a", "weight": -0.5}], ("OUT_OF_RANGE", "seeds[0].weight", "-0.5", "0")),
        ([{"track_id": "a", "weight": float("inf")}], ("OUT_OF_RANGE", "seeds[0].weight", "inf", "1000000")),
        ([{"track_id": "a", "weight": float("nan")}], ("OUT_OF_RANGE", "seeds[0].weight", "nan", "1000000")),
        ([{"track_id": "a", "audio_hash": b"xyz"}], ("INVALID_ARGUMENT", "seeds[0].audio_hash", "3", "32")),
    ],
)
def test_seeds_that_are_refused(seeds: list[dict[str, Any]], expected: tuple[str, str, str, str]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        requests.check_seeds([retriever_pb2.Seed(**seed) for seed in seeds])
    assert told(refused.value) == expected


def test_seeds_are_resolved_in_order_and_weight_zero_counts_as_one() -> None:
    upload = retriever_pb2.Seed(vector=X, weight=2, audio_hash=b"h" * 32)
    found = requests.resolve_seeds(an_index(), [retriever_pb2.Seed(track_id="a"), upload])
    assert [(seed.track, seed.weight, seed.audio_hash) for seed in found] == [
        (Track("a", 1), 1.0, b""),
        (None, 2.0, b"h" * 32),
    ]
    assert np.array_equal(np.stack([seed.vector for seed in found]), [[0, 1, 0], [1, 0, 0]])


def test_an_unknown_seed_is_named() -> None:
    seeds = [retriever_pb2.Seed(track_id="a"), retriever_pb2.Seed(track_id="nobody")]
    with pytest.raises(NotFound) as refused:
        requests.resolve_seeds(an_index(), seeds)
    assert told(refused.value) == ("UNKNOWN_TRACK", "seeds[1].track_id", "nobody", None)


@pytest.mark.parametrize(
    ("vector", "expected"),
    [
        (X[:8], ("DIMENSION_MISMATCH", "seeds[0].vector", "8", "12")),
        (b"", ("DIMENSION_MISMATCH", "seeds[0].vector", "0", "12")),
        (vectors.encode(np.array([np.nan, 0, 0], np.float32)), ("VECTOR_NOT_UNIT", "seeds[0].vector", "nan", "0.001")),
        (vectors.encode(np.array([2, 0, 0], np.float32)), ("VECTOR_NOT_UNIT", "seeds[0].vector", "2", "0.001")),
    ],
)
def test_vectors_that_are_refused(vector: bytes, expected: tuple[str, str, str, str]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        requests.resolve_seeds(an_index(), [retriever_pb2.Seed(vector=vector)])
    assert told(refused.value) == expected


@pytest.mark.parametrize("vector", [b"", b"123", X[:10]])
def test_an_empty_index_refuses_broken_vectors_too(vector: bytes) -> None:
    with pytest.raises(InvalidArgument):
        requests.unit_vector(TrackIndex("enc"), vector, "vector")
    assert requests.unit_vector(TrackIndex("enc"), X, "vector").shape == (3,)


def test_a_read_point_is_compared_to_the_microsecond() -> None:
    created_at = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    stamp = Timestamp()
    stamp.FromDatetime(created_at)
    point = retriever_pb2.ReadPoint(stream_created_at=stamp, sequence=9)
    assert requests.read_point(retriever_pb2.SearchRequest(min_read_point=point)) == LogPosition(created_at, 9)
    assert requests.read_point(retriever_pb2.SearchRequest()) is None


@pytest.mark.parametrize("encoder_id", ["", "a.b", "a*", "../x", ">", "-a"])
def test_an_encoder_id_that_is_no_subject_token_is_no_setting(encoder_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRIEVER_ENCODER_ID", encoder_id)
    monkeypatch.setenv("RETRIEVER_SOCIAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("RETRIEVER_SNAPSHOT_FOLDER", "snapshots")
    with pytest.raises(ValueError, match="encoder_id"):
        RetrieverSettings()
