"""What was registered is there once, is heard, and is found by the index; each way of failing at that is found."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.faults.findings import Finding, Kind
from tests.faults.history import Operation, Outcome
from tests.faults.library import FinalTrack, check_library

BEFORE = {"t1": ["t2"], "t2": ["t1"]}


def told(kind: str, outcome: Outcome = Outcome.DONE, tries: int = 1, **facts: Any) -> Operation:
    return Operation(0, "operator", kind, facts, outcome, facts.pop("result", {}), tries)


def registered(*tracks: list[str], tries: int = 1) -> Operation:
    files = [[path, f"Piece {path}"] for path, _, _ in tracks]
    return told("register", tries=tries, files=files, result={"tracks": list(tracks)})


def read(track_id: str, state: str | None, title: str = "Piece a") -> Operation:
    return told("read_track", track_id=track_id, result={"state": state, "title": title, "reason": None})


def retagged(path: str, title: str, track_id: str, outcome: str = "RETAGGED", tries: int = 1) -> Operation:
    return told("retag", tries=tries, path=path, title=title, result={"tracks": [[path, track_id, outcome]]})


def similar(track_id: str, *found: str) -> Operation:
    return told("similar", track_id=track_id, result={"track_ids": list(found)})


def story() -> list[Operation]:
    return [
        registered(["a", "t3", "CREATED"], ["b", "t4", "CREATED"]),
        read("t3", "PENDING"),
        similar("t1", "t2"),
        read("t3", "INDEXED"),
        registered(["c", "t5", "UNCHANGED"], tries=2),
        read("t3", "EMBEDDED"),
        similar("t1", "t5", "t3", "t2"),
        told("retag", Outcome.GIVEN_UP, path="a", title="perhaps"),
        retagged("b", "new", "t4"),
        read("t4", "INDEXED", "new"),
        told("register", Outcome.GIVEN_UP, files=[["d", "Piece d"]]),
    ]


def tracks() -> dict[str, FinalTrack]:
    return {
        "t1": FinalTrack("1", "One", "INDEXED", (1.0, 0.0)),
        "t2": FinalTrack("2", "Two", "INDEXED", (0.0, 1.0)),
        "t3": FinalTrack("a", "perhaps", "INDEXED", (0.8, 0.6)),
        "t4": FinalTrack("b", "new", "INDEXED", (0.6, 0.8)),
        "t5": FinalTrack("c", "Piece c", "INDEXED", (0.8, 0.6)),
    }


def after() -> dict[str, list[str]]:
    return {
        "t1": ["t3", "t5", "t4", "t2"],
        "t2": ["t4", "t5", "t3", "t1"],
        "t3": ["t5", "t4", "t1", "t2"],
        "t4": ["t3", "t5", "t2", "t1"],
        "t5": ["t3", "t4", "t1", "t2"],
    }


def judge(operations: list[Operation], there: dict[str, FinalTrack], shown: dict[str, list[str]]) -> list[Finding]:
    return check_library(operations, there, BEFORE, shown)


def test_library_that_was_kept_is_no_finding() -> None:
    assert judge(story(), tracks(), after()) == []


def test_what_was_given_up_may_be_there() -> None:
    there = tracks() | {"t6": FinalTrack("d", "Piece d", "INDEXED", (-1.0, 0.0))}
    shown = {track_id: [*found, "t6"] for track_id, found in after().items()}
    assert judge(story(), there, shown | {"t6": ["t2", "t4", "t3", "t5", "t1"]}) == []


Answer = tuple[Callable[[], Operation], Kind]
ANSWERS: dict[str, Answer] = {
    "another id": (lambda: retagged("a", "perhaps", "t9"), Kind.LOST),
    "somebody else's id": (lambda: registered(["e", "t3", "CREATED"]), Kind.FOREIGN),
    "there before": (lambda: registered(["c", "t5", "UNCHANGED"]), Kind.DOUBLED),
    "refused": (lambda: registered(["c", "t5", "MEDIA_GONE"]), Kind.REFUSED),
    "created anew": (lambda: retagged("a", "perhaps", "t3", "CREATED"), Kind.REFUSED),
    "not found": (lambda: read("t3", None), Kind.LOST),
    "failed": (lambda: read("t3", "FAILED"), Kind.LOST),
    "waits again": (lambda: read("t3", "PENDING"), Kind.STALE),
    "old title": (lambda: read("t4", "INDEXED", "Piece b"), Kind.STALE),
    "half an index": (lambda: similar("t1"), Kind.STALE),
    "a nearer one passed over": (lambda: similar("t1", "t4"), Kind.STALE),
    "another order": (lambda: similar("t1", "t4", "t3", "t2"), Kind.STALE),
    "what is not there": (lambda: similar("t1", "t9", "t2"), Kind.STALE),
    "twice": (lambda: similar("t1", "t3", "t3", "t2"), Kind.DOUBLED),
    "itself": (lambda: similar("t1", "t1", "t2"), Kind.DOUBLED),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_each_wrong_answer_is_found(what: str) -> None:
    answer, kind = ANSWERS[what]
    assert kind in [finding.kind for finding in judge([*story(), answer()], tracks(), after())]


Change = Callable[[dict[str, FinalTrack], dict[str, list[str]]], object]
BROKEN: dict[str, tuple[Change, Kind]] = {
    "track": (lambda there, _: there.pop("t4"), Kind.LOST),
    "track of before": (lambda there, _: there.pop("t2"), Kind.LOST),
    "not heard": (lambda there, _: there.update(t4=FinalTrack("b", "new", "PENDING")), Kind.ENDLESS),
    "not to be heard": (lambda there, _: there.update(t4=FinalTrack("b", "new", "FAILED")), Kind.LOST),
    "vector": (lambda there, _: there.update(t4=FinalTrack("b", "new", "INDEXED")), Kind.LOST),
    "title": (lambda there, _: there.update(t4=replace(there["t4"], title="Piece b")), Kind.LOST),
    "other id": (lambda there, _: there.update(t9=there.pop("t4")), Kind.DOUBLED),
    "twice": (lambda there, _: there.update(t9=FinalTrack("b", "new", "INDEXED", (0.6, 0.8))), Kind.DOUBLED),
    "of nobody": (lambda there, _: there.update(t9=FinalTrack("z", "z", "INDEXED", (0.6, 0.8))), Kind.DOUBLED),
    "other vector": (lambda there, _: there.update(t4=replace(there["t4"], vector=(0.0, 1.0))), Kind.STALE),
    "not in the index": (lambda _, shown: shown.update(t1=["t3", "t5", "t2"]), Kind.STALE),
    "not found at all": (lambda _, shown: shown.pop("t4"), Kind.STALE),
    "twice in the index": (lambda _, shown: shown.update(t1=["t3", "t5", "t4", "t4"]), Kind.DOUBLED),
}


@pytest.mark.parametrize("what", BROKEN)
def test_each_broken_promise_is_found(what: str) -> None:
    change, kind = BROKEN[what]
    there, shown = tracks(), after()
    change(there, shown)
    assert kind in [finding.kind for finding in judge(story(), there, shown)]


def test_vectors_that_changed_are_found_by_what_the_index_said_before() -> None:
    there, before = tracks(), {"t1": ["t2", "t3"], "t2": ["t3", "t1"], "t3": ["t2", "t1"]}
    there["t3"] = replace(there["t3"], path="3")
    assert Kind.STALE in [finding.kind for finding in check_library([], there, before, after())]
