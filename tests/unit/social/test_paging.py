"""Page sizes and tokens: a token continues its own list, and nothing else is a token."""

import base64
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import InvalidArgument
from services.social.domain.ids import is_id, new_id
from services.social.domain.paging import cut, decode_token, encode_token, is_number, is_text, is_time, page_size

SHAPE = [is_number, is_text, is_id]


@pytest.mark.parametrize(("requested", "size"), [(0, 20), (1, 1), (100, 100), (101, 100), (2**31 - 1, 100)])
def test_size_is_defaulted_and_cut(requested: int, size: int) -> None:
    assert page_size(requested, 20, 100) == size


def test_negative_size_is_refused() -> None:
    with pytest.raises(InvalidArgument) as refusal:
        page_size(-1, 20, 100)
    assert (refusal.value.reason, refusal.value.field, refusal.value.value) == ("OUT_OF_RANGE", "page_size", "-1")


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
)
def test_token_gives_its_key_back(number: float, text: str) -> None:
    track_id = new_id()
    token = encode_token("list", (number, text, track_id))
    assert decode_token("list", token, SHAPE) == [number, text, track_id]


def test_no_token_starts() -> None:
    assert decode_token("list", "", SHAPE) is None


def packed(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


MARK = json.loads(base64.b64decode(encode_token("list", ()) + "=="))[0]


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "ünicode",
        "a" * 9_000,
        packed([MARK]),
        packed({"a": 1}),
        packed([MARK, 1.0, "a", "not an id"]),
        packed([MARK, float("nan"), "a", new_id()]),
        packed([MARK, True, "a", new_id()]),
        packed([MARK, 1.0, "a\0", new_id()]),
        packed([MARK, 1.0, "\ud800", new_id()]),
        packed([MARK, 1.0, "a", new_id(), "more"]),
        packed([["nested"], 1.0, "a", new_id()]),
        "W" * 4_000,
        encode_token("another list", (1.0, "a", new_id())),
    ],
    ids=itertools.count(),
)
def test_anything_else_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        decode_token("list", token, SHAPE)
    assert (refusal.value.reason, refusal.value.field) == ("MALFORMED", "page_token")


@given(st.text(max_size=50))
def test_no_text_at_all_breaks_the_decoder(token: str) -> None:
    if token:
        with pytest.raises(InvalidArgument):
            decode_token("list", token, SHAPE)


def test_page_is_cut_and_continues_after_its_last_item() -> None:
    page = cut(["a", "b", "c"], 2, "list", lambda item: (item,))
    assert page.items == ["a", "b"]
    assert decode_token("list", page.next_token, [is_text]) == ["b"]
    assert cut(["a", "b"], 2, "list", lambda item: (item,)).next_token == ""
    assert cut([], 2, "list", lambda item: (item,)).next_token == ""


def test_time_needs_its_offset() -> None:
    assert is_time("2026-01-02T03:04:05.000006+00:00")
    assert not is_time("2026-01-02T03:04:05")
    assert not is_time("yesterday")
    assert not is_time(5)


@pytest.mark.parametrize("edge", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_time_that_is_none_in_utc_is_refused(edge: str) -> None:
    assert not is_time(edge)


@pytest.mark.parametrize("number", [10**400, -(10**400), float("inf"), float("nan"), True, "1"])
def test_number_that_no_float_holds_is_refused(number: object) -> None:
    assert not is_number(number)


@pytest.mark.parametrize("number", [-3.25, 0, 2**63, 1e308])
def test_number_that_a_float_holds_is_taken(number: float) -> None:
    assert is_number(number)
