"""Every bad input is refused by name, with its value and its limit."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from museed.retriever.v1 import retriever_pb2
from services.chassis import auth, vectors
from services.chassis.bus import LogPosition
from services.chassis.errors import DomainError, InvalidArgument, PermissionDenied
from services.retriever.index.index import TrackIndex
from services.retriever.servicer import requests
from services.retriever.settings import RetrieverSettings
from services.retriever.tracks import Track

X = vectors.encode(np.array([1, 0, 0], np.float32))


def an_index() -> TrackIndex:
    index = TrackIndex("enc")
    index.upsert(Track("a", 1), np.array([0, 1, 0], np.float32))
    return index


def told(error: DomainError) -> tuple[str, str | None, str | None, str | None]:
    return error.reason, error.field, error.value, error.limit


@pytest.mark.parametrize(("k", "expected"), [(0, 20), (1, 1), (200, 200)])
def test_k_within_limits(k: int, expected: int) -> None:
    assert requests.search(retriever_pb2.SearchRequest(track_id="a", k=k), "enc").count == expected


@pytest.mark.parametrize(("k", "limit"), [(-1, "1"), (201, "200")])
def test_k_beyond_limits(k: int, limit: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        requests.search(retriever_pb2.SearchRequest(track_id="a", k=k), "enc")
    assert told(refused.value) == ("OUT_OF_RANGE", "k", str(k), limit)


def test_a_search_needs_a_query() -> None:
    with pytest.raises(InvalidArgument) as refused:
        requests.search(retriever_pb2.SearchRequest(), "enc")
    assert told(refused.value) == ("MISSING_INPUT", "query", "0", "1")


@pytest.mark.parametrize(
    ("track_id", "expected"),
    [("", ("MISSING_INPUT", "track_id", "0", "1")), ("x" * 101, ("OUT_OF_RANGE", "track_id", "101", "100"))],
)
def test_a_search_from_no_id_is_refused(track_id: str, expected: tuple[str, str, str, str]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        requests.search(retriever_pb2.SearchRequest(track_id=track_id), "enc")
    assert told(refused.value) == expected


def digest(**fields: Any) -> bytes:
    request = retriever_pb2.SearchRequest(**({"track_id": "a"} | fields))
    return requests.query_digest(request, requests.search(request, "enc").wanted, "enc")


def test_a_query_is_known_again_however_it_is_written() -> None:
    assert digest() == digest(filter=retriever_pb2.Filter()) == digest(k=5)
    rock = digest(filter=retriever_pb2.Filter(genres=["Rock", "pop"], blocked_track_ids=["x"]))
    assert rock == digest(filter=retriever_pb2.Filter(genres=["POP", " rock", "Pop"]), exclude_track_ids=["x", "x"])
    # Every replica, whatever its hashes, makes the same of it.
    many = retriever_pb2.Filter(artists=[f"artist {number}" for number in range(20)])
    assert digest(filter=many).hex() == "dbeb718e1744c5383dda235599a021fa"
    others = [
        digest(),
        digest(filter=retriever_pb2.Filter(genres=["rock"], blocked_track_ids=["x"])),
        digest(filter=retriever_pb2.Filter(tags=["rock", "pop"], blocked_track_ids=["x"])),
        digest(filter=retriever_pb2.Filter(genres=["rock", "pop"], blocked_track_ids=["X"])),
        digest(filter=retriever_pb2.Filter(year=retriever_pb2.Range())),
        digest(filter=retriever_pb2.Filter(year=retriever_pb2.Range(min=1))),
        digest(hub_damping=0.5),
        digest(track_id="b"),
    ]
    assert len({rock, *others}) == 9


def test_a_profile_is_that_of_the_person_for_whom_a_job_is_done() -> None:
    auth.bind("", None)
    assert requests.own_profile("anybody") == "anybody"  # where access is open, as in tests
    auth.bind("token", auth.Viewer("me", "user", auth.TokenKind.JOB, job_id="j"))
    try:
        assert requests.own_profile("me") == "me"
        with pytest.raises(PermissionDenied) as refused:
            requests.own_profile("you")
        assert told(refused.value) == ("PROFILE_OF_ANOTHER", "profile_id", "you", None)
    finally:
        auth.bind("", None)


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


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(10**18, 0), (-(10**18), 0), (253402300800, 0), (0, -5), (0, 10**9), (0, 2**31 - 1)]
)
def test_a_read_point_of_no_time_is_refused(seconds: int, nanos: int) -> None:
    point = retriever_pb2.ReadPoint(stream_created_at=Timestamp(seconds=seconds, nanos=nanos), sequence=1)
    with pytest.raises(InvalidArgument) as refused:
        requests.read_point(retriever_pb2.SearchRequest(min_read_point=point))
    assert told(refused.value)[:2] == ("OUT_OF_RANGE", "min_read_point.stream_created_at")
    assert refused.value.value == f"{seconds} s and {nanos} ns"


@pytest.mark.parametrize("encoder_id", ["", "a.b", "a*", "../x", ">", "-a"])
def test_an_encoder_id_that_is_no_subject_token_is_no_setting(encoder_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRIEVER_ENCODER_ID", encoder_id)
    monkeypatch.setenv("RETRIEVER_SOCIAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("RETRIEVER_SNAPSHOT_FOLDER", "snapshots")
    with pytest.raises(ValueError, match="encoder_id"):
        RetrieverSettings()
