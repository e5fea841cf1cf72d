"""What the gateway shows in the end is what the rows are."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.checker import Final, FinalJob, FinalList
from tests.faults.findings import Kind
from tests.faults.pages import Pages, check_pages


def final() -> Final:
    return Final(
        users={"ann": "u1"},
        lists={"u1": {"p1": FinalList("One", 2, ["t1"], likes=3, is_public=True)}},
        comments={"u1": [("c1", "words")]},
        jobs={"u1": {"j1": FinalJob("SUCCEEDED", "{}", "p1")}},
    )


def pages(**other: Any) -> Pages:
    page = {"title": "One", "is_public": True, "version": 2, "track_ids": ["t1"], "likes": 3}
    lists: dict[str, dict[str, Any] | None] = {"p1": {**page, "comments": [["c1", "words"]], **other}}
    return Pages(lists, {"j1": {"state": "SUCCEEDED", "playlistId": "p1"}})


def test_pages_as_the_rows_are_no_findings() -> None:
    assert check_pages(pages(), final()) == []


OTHERS: dict[str, tuple[Callable[[], Pages], Kind]] = {
    "old title": (lambda: pages(title="Zero"), Kind.STALE),
    "old version": (lambda: pages(version=1), Kind.STALE),
    "other tracks": (lambda: pages(track_ids=[]), Kind.STALE),
    "other likes": (lambda: pages(likes=2), Kind.STALE),
    "shown to nobody": (lambda: pages(is_public=False), Kind.STALE),
    "no comment": (lambda: pages(comments=[]), Kind.STALE),
    "other words": (lambda: pages(comments=[["c1", "word"]]), Kind.STALE),
    "comment twice": (lambda: pages(comments=[["c1", "words"]] * 2), Kind.DOUBLED),
    "old job": (lambda: Pages(pages().lists, {"j1": {"state": "ARRANGING", "playlistId": None}}), Kind.STALE),
    "no job": (lambda: Pages(pages().lists, {"j1": None}), Kind.STALE),
}


@pytest.mark.parametrize("what", OTHERS)
def test_each_other_page_is_found(what: str) -> None:
    shown, kind = OTHERS[what]
    assert kind in [finding.kind for finding in check_pages(shown(), final())]


def test_page_that_is_not_found_is_found() -> None:
    shown = pages()
    shown.lists["p1"] = None
    assert [finding.kind for finding in check_pages(shown, final())] == [Kind.STALE, Kind.STALE]
