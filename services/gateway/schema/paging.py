"""Relay's connections over page tokens: forward only, at most 100 items a page."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

import strawberry
from strawberry import field, relay

from services.chassis.errors import InvalidArgument

MAX_PAGE_SIZE = 100

T = TypeVar("T")

First = Annotated[int, strawberry.argument(description="Items wanted, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="Cursor to go on behind; without one from the start.")]


@strawberry.type(description="An item of a page.")
class Edge(Generic[T]):
    """An item with the cursor that the next page starts after."""

    cursor: str = field(description="Give it as `after` to go on behind this item.")
    node: T = field(description="The item.")


@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    """A page with its cursors."""

    page_info: relay.PageInfo = field(description="Whether and where it goes on.")
    edges: list[Edge[T]] = field(description="The items with their cursors.")
    nodes: list[T] = field(description="The items alone.")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What to ask an upstream for: `size` items of the page at `token`, of which the first `skip` are known already."""

    token: str
    skip: int
    size: int


def page_request(first: int, after: str | None) -> PageRequest:
    """Read `first` and `after`.

    A cursor holds the page token of its page and the number of items up to it, so that a client can go on behind any
    item although upstream only knows pages.

    Raises:
        InvalidArgument: PAGE_SIZE_OUT_OF_RANGE or CURSOR_INVALID.
    """
    check_page_size(first)
    if after is None:
        return PageRequest("", 0, first)
    try:
        text = base64.b64decode(after, altchars=b"-_", validate=True).decode()
        skip, _, token = text.partition(":")
        if not (skip.isascii() and skip.isdigit() and len(skip) <= 4) or int(skip) > MAX_PAGE_SIZE:
            raise ValueError(skip)
    except (binascii.Error, ValueError):
        raise InvalidArgument("this is not a cursor", reason="CURSOR_INVALID", field="after", value=after) from None
    return PageRequest(token, int(skip), min(int(skip) + first, MAX_PAGE_SIZE))


def check_page_size(first: int) -> None:
    """Refuse page sizes outside of 1 to 100.

    Raises:
        InvalidArgument: PAGE_SIZE_OUT_OF_RANGE.
    """
    if not 1 <= first <= MAX_PAGE_SIZE:
        raise InvalidArgument(
            f"first is {first}, it must be 1 to {MAX_PAGE_SIZE}",
            reason="PAGE_SIZE_OUT_OF_RANGE",
            field="first",
            value=first,
            limit=MAX_PAGE_SIZE,
        )


def cursor(token: str, count: int) -> str:
    """Return the cursor behind the first `count` items of the page at a token."""
    return base64.urlsafe_b64encode(f"{count}:{token}".encode()).decode()


def connection_from_page(page: PageRequest, nodes: Sequence[T], next_token: str) -> Connection[T]:
    """Make a connection of an upstream page.

    Args:
        page: What was asked for.
        nodes: All items of the answer, those to skip included.
        next_token: Upstream's token of the next page; empty at the end.
    """
    edges = [
        Edge(cursor=cursor(page.token, number), node=node)
        for number, node in enumerate(nodes, start=1)
        if number > page.skip
    ]
    if edges and next_token:
        edges[-1] = Edge(cursor=cursor(next_token, 0), node=edges[-1].node)
    made = connection(edges, has_next_page=bool(next_token), has_previous_page=bool(page.token or page.skip))
    if next_token:
        made.page_info.end_cursor = cursor(next_token, 0)  # also where this page shows nothing
    return made


def connection_from_list(page: PageRequest, nodes: Sequence[T]) -> Connection[T]:
    """Make a connection of a list that is there as a whole, with the offset in the cursor's token."""
    start, size = part_of_list(page)
    end = start + size
    return connection_from_part(start, nodes[start:end], has_next_page=end < len(nodes))


def part_of_list(page: PageRequest) -> tuple[int, int]:
    """Return from where on a page shows a list whose cursors are offsets, and how many items.

    Raises:
        InvalidArgument: CURSOR_INVALID.
    """
    return _offset(page.token) + page.skip, page.size - page.skip


def connection_from_part(start: int, nodes: Sequence[T], *, has_next_page: bool) -> Connection[T]:
    """Make a connection of the part of a list that begins at an offset; its cursors are those of the whole list."""
    edges = [Edge(cursor=cursor(str(number), 0), node=node) for number, node in enumerate(nodes, start=start + 1)]
    return connection(edges, has_next_page=has_next_page, has_previous_page=start > 0)


def connection(edges: list[Edge[T]], *, has_next_page: bool, has_previous_page: bool) -> Connection[T]:
    """Make a connection of its edges."""
    return Connection(
        page_info=page_info(
            [edge.cursor for edge in edges], has_next_page=has_next_page, has_previous_page=has_previous_page
        ),
        edges=edges,
        nodes=[edge.node for edge in edges],
    )


def page_info(cursors: Sequence[str], *, has_next_page: bool, has_previous_page: bool) -> relay.PageInfo:
    """Make the page info of a page with these cursors."""
    return relay.PageInfo(
        has_next_page=has_next_page,
        has_previous_page=has_previous_page,
        start_cursor=cursors[0] if cursors else None,
        end_cursor=cursors[-1] if cursors else None,
    )


def _offset(token: str) -> int:
    if token and not (token.isascii() and token.isdigit() and len(token) <= 6):
        raise InvalidArgument("this is not a cursor", reason="CURSOR_INVALID", field="after", value=token)
    return int(token or 0)
