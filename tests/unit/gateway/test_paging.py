"""Cursors over upstream pages and over whole lists: every walk sees everything once, in order."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import InvalidArgument
from services.gateway.schema.paging import Connection, connection_from_list, connection_from_page, page_request


class Upstream:
    """Pages by tokens; may give less than was asked for, as AIP-158 allows."""

    def __init__(self, items: list[int], most: int) -> None:
        self.items = items
        self.most = most

    def ask(self, first: int, after: str | None) -> Connection[int]:
        page = page_request(first, after)
        start = int(page.token.removeprefix("from ") or 0)
        end = start + min(page.size, self.most)
        token = f"from {end}" if end < len(self.items) else ""
        return connection_from_page(page, self.items[start:end], token)


@given(st.integers(0, 250), st.integers(1, 100), st.lists(st.integers(1, 100), min_size=1), st.randoms())
def test_any_walk_over_pages_sees_everything_once(count: int, most: int, sizes: list[int], random: object) -> None:
    upstream = Upstream(list(range(count)), most)
    seen: list[int] = []
    after: str | None = None
    for step in range(5 * count + 5):
        found = upstream.ask(sizes[step % len(sizes)], after)
        assert found.nodes == [edge.node for edge in found.edges]
        assert len(found.edges) <= sizes[step % len(sizes)]
        seen += found.nodes
        after = found.page_info.end_cursor
        if not found.page_info.has_next_page:
            break
    assert seen == list(range(count))


@given(st.integers(1, 150), st.integers(1, 100), st.data())
def test_the_cursor_of_any_edge_goes_on_right_behind_it(count: int, first: int, data: st.DataObject) -> None:
    upstream = Upstream(list(range(count)), 100)
    edges = upstream.ask(first, None).edges
    edge = data.draw(st.sampled_from(edges))
    seen: list[int] = []
    after: str | None = edge.cursor
    for _ in range(count + 5):
        found = upstream.ask(first, after)
        seen += found.nodes
        after = found.page_info.end_cursor
        if not found.page_info.has_next_page:
            break
    assert seen == list(range(edge.node + 1, count))


@given(st.integers(0, 120), st.integers(1, 100))
def test_a_whole_list_is_walked_in_equal_pages(count: int, first: int) -> None:
    items = list(range(count))
    seen: list[int] = []
    after: str | None = None
    while True:
        found = connection_from_list(page_request(first, after), items)
        assert found.page_info.has_previous_page == bool(seen)
        seen += found.nodes
        after = found.page_info.end_cursor
        if not found.page_info.has_next_page:
            break
        assert len(found.nodes) == first
    assert seen == items


def test_a_list_that_has_shrunk_ends_quietly() -> None:
    after = connection_from_list(page_request(5, None), list(range(9))).page_info.end_cursor
    found = connection_from_list(page_request(5, after), [1, 2, 3])
    assert (found.nodes, found.page_info.has_next_page) == ([], False)


@pytest.mark.parametrize("first", [-1, 0, 101, 2**31 - 1])
def test_page_size_is_one_to_a_hundred(first: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        page_request(first, None)
    error = caught.value
    assert (error.reason, error.field, error.value, error.limit) == (
        "PAGE_SIZE_OUT_OF_RANGE",
        "first",
        str(first),
        "100",
    )


@pytest.mark.parametrize(
    "after", ["", "?", "AAA", base64.b64encode(b"x:t").decode(), base64.b64encode(b"101:t").decode(), "\ud800"]
)
def test_made_up_cursors_are_refused(after: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        page_request(10, after)
    assert caught.value.reason == "CURSOR_INVALID"


def test_made_up_offset_is_refused() -> None:
    after = base64.b64encode(b"0:x").decode()
    with pytest.raises(InvalidArgument):
        connection_from_list(page_request(10, after), [1])
