"""A page of somebody else's is judged by what its owner knew when it was asked for."""

from typing import Any

import pytest

from tests.faults.browsing import check_browsing
from tests.faults.findings import Kind
from tests.faults.history import Operation, Outcome


def told(actor: str, kind: str, began_s: float, ended_s: float, result: dict[str, Any], **asked: Any) -> Operation:
    return Operation(0, actor, kind, asked, Outcome.DONE, result, 1, [], began_s, ended_s)


def story(began_s: float, **page: Any) -> list[Operation]:
    """Bea's list is made at 1 and named anew from 5 to 8; Ann asks for it."""
    made = {"playlist_id": "p1", "version": 1, "entries": [["e1", "t1"]]}
    shown = {"found": True, "playlist_id": "p1", "title": "One", "version": 1, "track_ids": ["t1"], **page}
    return [
        told("bea", "create", 0, 1, made, title="One", is_public=True, track_ids=["t1"]),
        told("bea", "rename", 5, 8, {"version": 2}, playlist_id="p1", title="Two"),
        told("ann", "browse", began_s, began_s + 1, shown, of="bea", playlist_id="p1"),
    ]


NEW = {"title": "Two", "version": 2}


@pytest.mark.parametrize(
    ("began_s", "page"),
    [(2, {}), (2, NEW), (6, {}), (6, NEW), (9, NEW), (9, {"title": "Three", "version": 3})],
)
def test_page_as_it_was_or_newer_is_right(began_s: float, page: dict[str, Any]) -> None:
    assert check_browsing(story(began_s, **page)) == []


def test_page_that_somebody_saw_stays_though_nobody_acknowledged_it() -> None:
    told_first = story(5.5, **NEW)
    again = told("bea's friend", "browse", 6.8, 7, {**told_first[2].result, **NEW}, of="bea", playlist_id="p1")
    assert check_browsing([*told_first, again]) == []
    page = {"title": "One", "version": 1}
    old = told("bea's friend", "browse", 6.8, 7, {**told_first[2].result, **page}, of="bea", playlist_id="p1")
    assert [finding.kind for finding in check_browsing([*told_first, old])] == [Kind.STALE]
    # Asked for while the first was not answered yet.
    old.began_s = 6.2
    assert check_browsing([*told_first, old]) == []


def test_list_that_somebody_saw_is_found_though_nobody_acknowledged_it() -> None:
    page = {"found": True, "playlist_id": "p1", "title": "One", "version": 1, "track_ids": ["t1"]}
    seen = told("ann", "browse", 1, 2, page, of="bea", playlist_id="p1")
    gone = told("cid", "browse", 3, 4, {"found": False}, of="bea", playlist_id="p1")
    assert [finding.kind for finding in check_browsing([seen, gone])] == [Kind.STALE]
    gone.began_s = 1.5
    assert check_browsing([seen, gone]) == []


@pytest.mark.parametrize(
    ("began_s", "page", "kind"),
    [
        pytest.param(9, {}, Kind.STALE, id="older than acknowledged"),
        pytest.param(9, {"found": False}, Kind.STALE, id="not found"),
        pytest.param(9, {**NEW, "track_ids": ["t2"]}, Kind.STALE, id="other tracks"),
        pytest.param(2, {"title": "Two"}, Kind.STALE, id="half of a change"),
        pytest.param(9, {**NEW, "playlist_id": "p2"}, Kind.FOREIGN, id="another list"),
    ],
)
def test_page_that_never_was_so_is_found(began_s: float, page: dict[str, Any], kind: Kind) -> None:
    assert [finding.kind for finding in check_browsing(story(began_s, **page))] == [kind]
