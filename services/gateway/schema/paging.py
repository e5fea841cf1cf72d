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
    return _connection(*page_of(page, nodes, next_token))


def page_of(page: PageRequest, items: Sequence[T], next_token: str) -> tuple[list[tuple[str, T]], relay.PageInfo]:
    """Return the items to show of an upstream page, each with its cursor, and the page info.

    For connections whose edges say more than `Edge` does. Arguments as of `connection_from_page`.
    """
    shown = [(cursor(page.token, number), item) for number, item in enumerate(items, start=1) if number > page.skip]
    if shown and next_token:
        shown[-1] = (cursor(next_token, 0), shown[-1][1])
    info = page_info(
        [at for at, _ in shown], has_next_page=bool(next_token), has_previous_page=bool(page.token or page.skip)
    )
    if next_token:
        info.end_cursor = cursor(next_token, 0)  # also where this page shows nothing
    return shown, info


def connection_from_list(page: PageRequest, nodes: Sequence[T]) -> Connection[T]:
    """Make a connection of a list that is there as a whole, with the offset in the cursor's token."""
    return _connection(*page_of_list(page, nodes))


def page_of_list(page: PageRequest, items: Sequence[T]) -> tuple[list[tuple[str, T]], relay.PageInfo]:
    """Return the items to show of a list that is there as a whole, each with its cursor, and the page info."""
    start, end = list_window(page)
    return _page_of_part(start, items[start:end], has_next_page=end < len(items))


def list_window(page: PageRequest) -> tuple[int, int]:
    """Return where the items that are asked for begin and end in a list whose cursors are offsets.

    Raises:
        InvalidArgument: CURSOR_INVALID.
    """
    start = _offset(page.token) + page.skip
    return start, start + page.size - page.skip


def connection_from_part(start: int, nodes: Sequence[T], *, has_next_page: bool) -> Connection[T]:
    """Make a connection of the part of a list that begins at an offset; its cursors are those of the whole list."""
    return _connection(*_page_of_part(start, nodes, has_next_page=has_next_page))


def _page_of_part(start: int, items: Sequence[T], *, has_next_page: bool) -> tuple[list[tuple[str, T]], relay.PageInfo]:
    shown = [(cursor(str(number), 0), item) for number, item in enumerate(items, start=start + 1)]
    return shown, page_info([at for at, _ in shown], has_next_page=has_next_page, has_previous_page=start > 0)


def _connection(shown: Sequence[tuple[str, T]], info: relay.PageInfo) -> Connection[T]:
    return Connection(
        page_info=info, edges=[Edge(cursor=at, node=node) for at, node in shown], nodes=[node for _, node in shown]
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
