"""Every kind of broken promise is found in a history made up for it, and none in one that was kept."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.checker import Final, FinalJob, FinalList, check
from tests.faults.findings import Kind
from tests.faults.history import History, Operation, Outcome, read_history
from tests.faults.library import FinalTrack


def request(length: int, *seeds: str | None) -> str:
    recipe = {"length": length, "include_seed": True, "seeds": [{"track_id": seed} for seed in seeds]}
    return json.dumps({"title": "Made", "recipe": recipe})


NEIGHBOURS = {"t1": ["t2", "t3"], "t2": ["t1", "t3"], "t3": ["t2", "t1"]}


class Story:
    """Operations of Ann, each answered."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def told(self, kind: str, outcome: Outcome = Outcome.DONE, tries: int = 1, **facts: Any) -> "Story":
        result = facts.pop("result", {})
        self.operations.append(Operation(len(self.operations), "ann", kind, facts, outcome, result, tries))
        return self


def story() -> Story:
    made = Story().told("sign_up", username="ann", result={"user_id": "u1"})
    entries = [["e1", "t1"], ["e2", "t2"]]
    created = {"playlist_id": "p1", "version": 1, "entries": entries}
    made.told("create", title="One", is_public=True, track_ids=["t1", "t2"], result=created)
    made.told("add", playlist_id="p1", track_ids=["t3"], position=1, result={"version": 2, "entries": [["e3", "t3"]]})
    made.told("rename", playlist_id="p1", title="Two", result={"version": 3})
    made.told("remove", playlist_id="p1", entry_id="e1", result={"version": 4})
    made.told("like", playlist_id="p9")
    made.told("follow", user_id="u2")
    made.told("comment", playlist_id="p9", text="words", result={"comment_id": "c1"})
    made.told("play", play_id="h1", track_id="t1", result={"outcome": "COUNTED"})
    made.told("upload", name="a.flac", digest="d1", result={"upload_id": "a1"})
    made.told("generate", title="Made", result={"job_id": "j1"})
    made.told("read_job", job_id="j1", result={"state": "SUCCEEDED"})
    made.told("read_list", playlist_id="p1", result=shown())
    made.told("similar", track_id="t1", result={"track_ids": ["t2", "t3"]})
    made.told("who_am_i", result={"user_id": "u1"})
    made.told("read_lists", result=own())
    made.told("read_likes", result={"playlist_ids": ["p9"], "is_whole": True})
    made.told("read_follows", result={"user_ids": ["u2"]})
    made.told("peek", of="bea", what="playlist", id="p7", result={"found": False})
    return made


def shown(**other: Any) -> dict[str, Any]:
    return {"found": True, "playlist_id": "p1", "title": "Two", "version": 4, "track_ids": ["t3", "t2"], **other}


def own(*rows: list[Any]) -> dict[str, Any]:
    return {"lists": list(rows) or [["p2", "Made", 1, 1], ["p1", "Two", 4, 2]], "is_whole": True}


def final() -> Final:
    return Final(
        users={"ann": "u1"},
        lists={"u1": {"p1": FinalList("Two", 4, ["t3", "t2"], is_public=True), "p2": FinalList("Made", 1, ["t1"])}},
        likes={"u1": ["p9"]},
        follows={"u1": ["u2"]},
        comments={"u1": [("c1", "words")]},
        plays={"u1": ["h1"]},
        uploads={"u1": [("a1", "a.flac")]},
        jobs={"u1": {"j1": FinalJob("SUCCEEDED", request(1, None), "p2")}},
        tracks={
            "t1": FinalTrack("1.flac", "One", "INDEXED", (1.0, 0.0)),
            "t2": FinalTrack("2.flac", "Two", "INDEXED", (0.9, 0.3)),
            "t3": FinalTrack("3.flac", "Three", "INDEXED", (0.0, 1.0)),
        },
        neighbours=NEIGHBOURS,
        audio={"a1": "d1"},
        ownerless_jobs={"j9": "SUCCEEDED"},
    )


def kinds(told: Story, there: Final) -> list[Kind]:
    return [finding.kind for finding in check(told.operations, there, NEIGHBOURS)]


def test_kept_promises_are_no_findings() -> None:
    assert check(story().operations, final(), NEIGHBOURS) == []


Change = Callable[[Final], object]
BROKEN: dict[str, tuple[Change, Kind]] = {
    "account": (lambda there: there.users.clear(), Kind.LOST),
    "playlist": (lambda there: there.lists["u1"].pop("p1"), Kind.LOST),
    "change": (lambda there: there.lists["u1"].update(p1=FinalList("Two", 3, ["t3", "t2"], is_public=True)), Kind.LOST),
    "change twice": (
        lambda there: there.lists["u1"].update(p1=FinalList("Two", 5, ["t3", "t3", "t2"], is_public=True)),
        Kind.DOUBLED,
    ),
    "visibility": (lambda there: there.lists["u1"].update(p1=FinalList("Two", 4, ["t3", "t2"])), Kind.LOST),
    "playlist twice": (lambda there: there.lists["u1"].update(p3=FinalList("Three", 1, [])), Kind.DOUBLED),
    "made list twice": (lambda there: there.lists["u1"].update(p3=FinalList("Made", 1, ["t1"])), Kind.DOUBLED),
    "like": (lambda there: there.likes["u1"].clear(), Kind.LOST),
    "other like": (lambda there: there.likes["u1"].append("p8"), Kind.DOUBLED),
    "like shown": (lambda there: there.lists["u1"].update(p2=FinalList("Made", 1, ["t1"], likes=1)), Kind.STALE),
    "follow": (lambda there: there.follows["u1"].clear(), Kind.LOST),
    "comment": (lambda there: there.comments["u1"].clear(), Kind.LOST),
    "comment twice": (lambda there: there.comments["u1"].append(("c2", "words")), Kind.DOUBLED),
    "play": (lambda there: there.plays["u1"].clear(), Kind.LOST),
    "play twice": (lambda there: there.plays["u1"].append("h1"), Kind.DOUBLED),
    "upload": (lambda there: there.uploads["u1"].clear(), Kind.LOST),
    "upload twice": (lambda there: there.uploads["u1"].append(("a2", "a.flac")), Kind.DOUBLED),
    "upload's bytes": (lambda there: there.audio.update(a1="d2"), Kind.LOST),
    "upload's file": (lambda there: there.audio.clear(), Kind.LOST),
    "job": (lambda there: there.jobs["u1"].clear(), Kind.LOST),
    "job without an end": (lambda there: there.jobs["u1"].update(j1=FinalJob("QUEUED", "Made", "p2")), Kind.ENDLESS),
    "failed": (lambda there: there.jobs["u1"].update(j1=FinalJob("FAILED", "Made", None, "INTERNAL_ERROR")), Kind.LOST),
    "given up": (
        lambda there: there.jobs["u1"].update(j1=FinalJob("FAILED", "Made", None, "JOB_ABANDONED")),
        Kind.LOST,
    ),
    "job twice": (lambda there: there.jobs["u1"].update(j2=FinalJob("CANCELLED", "Made")), Kind.DOUBLED),
    "job of nobody without an end": (lambda there: there.ownerless_jobs.update(j9="SEARCHING"), Kind.ENDLESS),
    "job of nobody's wish": (lambda there: there.jobs["u1"].update(j2=FinalJob("CANCELLED", "x")), Kind.DOUBLED),
    "job called off with a list": (
        lambda there: there.jobs["u1"].update(j1=FinalJob("CANCELLED", "Made", "p2")),
        Kind.DOUBLED,
    ),
    "short list of a job": (
        lambda there: there.jobs["u1"].update(j1=FinalJob("SUCCEEDED", request(2, None), "p2")),
        Kind.LOST,
    ),
    "list of a job without its seed": (
        lambda there: there.jobs["u1"].update(j1=FinalJob("SUCCEEDED", request(1, "t1"), "p2")),
        Kind.LOST,
    ),
    "title of a job": (lambda there: there.lists["u1"].update(p2=FinalList("Mad", 1, ["t1"])), Kind.LOST),
    "job for all": (lambda there: there.lists["u1"].update(p2=FinalList("Made", 1, ["t1"], 0, True)), Kind.LOST),
    "empty list of a job": (lambda there: there.lists["u1"].update(p2=FinalList("Made", 1, [])), Kind.LOST),
    "track twice in a list of a job": (
        lambda there: there.lists["u1"].update(p2=FinalList("Made", 1, ["t1", "t1"])),
        Kind.DOUBLED,
    ),
    "count": (lambda there: there.miscounted.append("ann has 2 plays, counted is 3"), Kind.STALE),
    "list of a job": (lambda there: there.lists["u1"].pop("p2"), Kind.LOST),
    "dead letter": (lambda there: setattr(there, "dead_letters", 1), Kind.LOST),
    "index": (lambda there: setattr(there, "neighbours", NEIGHBOURS | {"t1": ["t3", "t2"]}), Kind.STALE),
}


@pytest.mark.parametrize("what", BROKEN)
def test_each_broken_promise_is_found(what: str) -> None:
    change, kind = BROKEN[what]
    there = final()
    change(there)
    assert kind in kinds(story(), there)


TOLD: dict[str, tuple[Callable[[Story], object], Kind]] = {
    "raised twice": (lambda one: one.told("rename", playlist_id="p1", title="X", result={"version": 6}), Kind.DOUBLED),
    "not raised": (lambda one: one.told("rename", playlist_id="p1", title="X", result={"version": 4}), Kind.LOST),
    "old page": (lambda one: one.told("read_list", playlist_id="p1", result=shown(version=3)), Kind.STALE),
    "no page": (lambda one: one.told("read_list", playlist_id="p1", result={"found": False}), Kind.STALE),
    "page of another list": (
        lambda one: one.told("read_list", playlist_id="p1", result=shown(playlist_id="p7")),
        Kind.FOREIGN,
    ),
    "old own lists": (lambda one: one.told("read_lists", result=own(["p1", "Two", 3, 2])), Kind.STALE),
    "no own lists": (lambda one: one.told("read_lists", result={"lists": [], "is_whole": True}), Kind.STALE),
    "list twice": (
        lambda one: one.told("read_lists", result=own(["p1", "Two", 4, 2], ["p1", "Two", 4, 2])),
        Kind.DOUBLED,
    ),
    "somebody else's list": (
        lambda one: one.told("read_lists", result=own(["p1", "Two", 4, 2], ["p7", "Bea's", 1, 1])),
        Kind.FOREIGN,
    ),
    "deleted list": (
        lambda one: one.told("delete", playlist_id="p1").told("read_lists", result=own()),
        Kind.STALE,
    ),
    "old likes": (
        lambda one: one.told("read_likes", result={"playlist_ids": [], "is_whole": True}),
        Kind.STALE,
    ),
    "likes of somebody else": (
        lambda one: one.told("read_likes", result={"playlist_ids": ["p9", "p8"], "is_whole": True}),
        Kind.STALE,
    ),
    "old follows": (lambda one: one.told("read_follows", result={"user_ids": []}), Kind.STALE),
    "called off and goes on": (
        lambda one: one.told("cancel", job_id="j2", result={"state": "SEARCHING"}),
        Kind.ENDLESS,
    ),
    "called off and ended otherwise": (
        lambda one: one.told("cancel", job_id="j1", result={"state": "CANCELLED"}),
        Kind.STALE,
    ),
    "deleted": (
        lambda one: one.told("delete", playlist_id="p1").told("read_list", playlist_id="p1", result=shown()),
        Kind.STALE,
    ),
    "came back": (lambda one: one.told("delete", playlist_id="p1"), Kind.LOST),
    "job went back": (lambda one: one.told("read_job", job_id="j1", result={"state": "QUEUED"}), Kind.STALE),
    "somebody else's": (
        lambda one: one.told("peek", of="bea", what="upload", id="a7", result={"found": True}),
        Kind.FOREIGN,
    ),
    "somebody else": (lambda one: one.told("who_am_i", result={"user_id": "u2"}), Kind.FOREIGN),
    "half an index": (lambda one: one.told("similar", track_id="t1", result={"track_ids": ["t3"]}), Kind.STALE),
    "other bytes": (
        lambda one: one.told("read_audio", digest="d1", upload_id="a1", result={"digest": "d2"}),
        Kind.LOST,
    ),
    "no play": (lambda one: one.told("play", play_id="h2", result={"outcome": "TOO_SOON"}), Kind.LOST),
    "play of before": (lambda one: one.told("play", play_id="h2", result={"outcome": "DUPLICATE"}), Kind.DOUBLED),
    "refusal": (lambda one: one.told("like", Outcome.REFUSED, playlist_id="p9", result={"code": "X"}), Kind.REFUSED),
}


@pytest.mark.parametrize("what", TOLD)
def test_each_wrong_answer_is_found(what: str) -> None:
    tell, kind = TOLD[what]
    told = story()
    tell(told)
    assert kind in kinds(told, final())


def test_what_was_given_up_may_be_there_once_or_not() -> None:
    told = story().told("create", Outcome.GIVEN_UP, title="Four", is_public=False, track_ids=[])
    told.told("like", Outcome.GIVEN_UP, playlist_id="p8").told("generate", Outcome.OPEN, title="Five")
    assert kinds(told, final()) == []
    there = final()
    there.lists["u1"]["p4"] = FinalList("Four", 1, [])
    there.likes["u1"].append("p8")
    there.jobs["u1"]["j5"] = FinalJob("CANCELLED", '{"title": "Five"}')
    assert kinds(told, there) == []
    there.lists["u1"]["p5"] = FinalList("Four", 1, [])
    there.jobs["u1"]["j6"] = FinalJob("CANCELLED", '{"title": "Five"}')
    assert kinds(told, there) == [Kind.DOUBLED, Kind.DOUBLED]


def test_what_was_given_up_is_there_as_a_whole() -> None:
    told = story().told("create", Outcome.GIVEN_UP, title="Four", is_public=True, track_ids=["t1"])
    there = final()
    for one, found in (
        (FinalList("Four", 1, ["t1"], is_public=True), []),
        (FinalList("Four", 1, [], is_public=True), [Kind.LOST]),
        (FinalList("Four", 1, ["t1"]), [Kind.LOST]),
        (FinalList("Four", 2, ["t1"], is_public=True), [Kind.LOST]),
    ):
        there.lists["u1"]["p4"] = one
        assert kinds(told, there) == found


def test_quota_is_no_finding_and_leaves_nothing() -> None:
    refused = {"code": "COMMENT_QUOTA_REACHED"}
    told = story().told("comment", Outcome.REFUSED, playlist_id="p9", text="more", result=refused)
    assert kinds(told, final()) == []
    there = final()
    there.comments["u1"].append(("c2", "more"))
    assert kinds(told, there) == [Kind.DOUBLED]


def test_play_that_was_sent_twice_counts_once() -> None:
    told = story().told("play", tries=2, play_id="h2", track_id="t1", result={"outcome": "DUPLICATE"})
    there = final()
    there.plays["u1"].append("h2")
    assert kinds(told, there) == []


def test_page_that_goes_on_need_not_show_all() -> None:
    told = story().told("read_lists", result={"lists": [["p2", "Made", 1, 1]], "is_whole": False})
    told.told("read_likes", result={"playlist_ids": [], "is_whole": False})
    assert kinds(told, final()) == []


def test_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    one = history.begin("ann", "like", {"playlist_id": "p1"})
    other = history.begin("bea", "who_am_i", {})
    one.tries, one.heard = 2, ["UNAVAILABLE"]
    history.end(one, Outcome.DONE, {"x": 1})
    history.close()
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"number": 1, "act')
    assert read_history(tmp_path / "history.jsonl") == [one, other]
    assert (one.outcome, other.outcome) == (Outcome.DONE, Outcome.OPEN)
