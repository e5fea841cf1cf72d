"""A token brings back its place, and nothing else is one."""

import base64
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from museed.retriever.v1 import retriever_pb2
from services.chassis.errors import InvalidArgument
from services.retriever.search import Cursor
from services.retriever.servicer import page_tokens, requests
from services.retriever.servicer.filter_requests import LISTS

DIGEST = page_tokens.query_digest(b"query")
PLACE = Cursor(20, 0.123456, "0192f0c0-0000-7000-8000-000000000001")


@given(
    st.integers(1, 1999), st.floats(-2, 2), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100)
)
def test_a_token_brings_back_its_place(served: int, score: float, track_id: str) -> None:
    place = Cursor(served, score, track_id)
    assert page_tokens.decode(page_tokens.encode(place, DIGEST), DIGEST) == place


def refusal(token: str) -> tuple[str, str | None, str | None, str | None]:
    with pytest.raises(InvalidArgument) as refused:
        page_tokens.decode(token, DIGEST)
    return refused.value.reason, refused.value.field, refused.value.value, refused.value.limit


def forged(version: int = 1, served: int = 20, score: float = 0.5, track_id: bytes = b"a") -> str:
    data = struct.pack("<B16sHd", version, DIGEST, served, score) + track_id
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_the_forger_of_these_tests_can_forge() -> None:
    assert page_tokens.decode(forged(), DIGEST) == Cursor(20, 0.5, "a")


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a page token",
        "é" * 40,
        "\x00" * 40,
        "A" * 38,
        "A" * 1001,
        page_tokens.encode(PLACE, DIGEST)[:-3] + "+/=",
        forged()[:10] + "\n" * 4 + forged()[10:],
        forged(track_id=b"a" * 1000),
        forged(version=2),
        forged(served=0),
        forged(served=2000),
        forged(score=float("nan")),
        forged(score=float("inf")),
        forged(score=-2.1),
        forged(track_id=b""),
        forged(track_id=b"\xff"),
    ],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    assert refusal(token) == ("PAGE_TOKEN_INVALID", "page_token", token[:200], "1000")


@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda data: base64.urlsafe_b64encode(data).decode()))
def test_any_text_is_refused_with_a_code(token: str) -> None:
    assert refusal(token)[0] in ("PAGE_TOKEN_INVALID", "PAGE_TOKEN_MISMATCH")


def search(**fields: Any) -> retriever_pb2.SearchRequest:
    return retriever_pb2.SearchRequest(**({"track_id": "a"} | fields))


def digest_of(request: retriever_pb2.SearchRequest) -> bytes:
    return requests.query_digest(request, requests.search(request, "enc").wanted, "enc")


@pytest.mark.parametrize(
    "other",
    [
        {"track_id": "b"},
        {"vector": b"1234"},
        {"exclude_track_ids": ["x"]},
        {"filter": retriever_pb2.Filter(genres=["Jazz"])},
        {"hub_damping": 0.5},
    ],
)
def test_a_token_of_another_query_is_refused(other: dict[str, Any]) -> None:
    token = page_tokens.encode(PLACE, digest_of(search()))
    if "vector" in other:
        asked = retriever_pb2.SearchRequest(page_token=token, **other)
    else:
        asked = search(page_token=token, **other)
    with pytest.raises(InvalidArgument) as refused:
        requests.search(asked, "enc")
    assert (refused.value.reason, refused.value.field) == ("PAGE_TOKEN_MISMATCH", "page_token")


def test_lists_in_another_order_are_the_same_query() -> None:
    """A blocklist comes from tables, which promise no order."""
    names = ["b", "a", "c", "a"]
    lists: dict[str, Any] = dict.fromkeys(LISTS, names)
    token = page_tokens.encode(
        PLACE,
        digest_of(search(filter=retriever_pb2.Filter(**lists), exclude_track_ids=["y", "x"])),
    )
    lists = {name: sorted(names) for name in LISTS}
    asked = search(filter=retriever_pb2.Filter(**lists), exclude_track_ids=["x", "y"], page_token=token)
    assert requests.search(asked, "enc").after == PLACE
    assert list(asked.exclude_track_ids) == ["x", "y"]
    moved = search(filter=retriever_pb2.Filter(artists=["a"], genres=["b"]))
    other = search(filter=retriever_pb2.Filter(artists=["b"], genres=["a"]))
    assert digest_of(moved) != digest_of(other)
    empty = search(filter=retriever_pb2.Filter())
    assert digest_of(empty) == digest_of(search())


def test_the_token_of_a_later_page_is_that_of_the_same_query() -> None:
    later = Cursor(40, 0.1, "b")
    asked = search(filter=retriever_pb2.Filter(genres=["Jazz"]))
    first = requests.next_page_token(asked, requests.search(asked, "enc"), PLACE, "enc")
    assert first == page_tokens.encode(PLACE, digest_of(asked))
    asked = search(filter=retriever_pb2.Filter(genres=["JAZZ"]), page_token=first)
    found = requests.search(asked, "enc")
    assert found.after == PLACE
    assert requests.next_page_token(asked, found, later, "enc") == page_tokens.encode(later, digest_of(asked))
    assert requests.next_page_token(asked, found, None, "enc") == ""


def test_a_token_is_void_when_another_encoder_serves() -> None:
    token = page_tokens.encode(PLACE, digest_of(search()))
    with pytest.raises(InvalidArgument) as refused:
        requests.search(search(page_token=token), "another")
    assert refused.value.reason == "PAGE_TOKEN_MISMATCH"


def test_k_and_the_read_point_may_differ_and_the_encoder_may_be_named() -> None:
    token = page_tokens.encode(PLACE, digest_of(search(k=20)))
    point = retriever_pb2.ReadPoint(sequence=4)
    asked = search(page_token=token, k=7, min_read_point=point, encoder_id="enc")
    assert requests.search(asked, "enc").after == PLACE
