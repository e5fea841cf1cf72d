"""The weights of profiles against a dictionary, and what a message of their log does to them."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from museed.social.v1 import events_pb2
from services.chassis.bus import LogBatch, LogEntry, LogPosition, profile_subject
from services.chassis.errors import InvalidArgument
from services.retriever.profile_consumer import ProfileConsumer, apply_entry, parse_profile
from services.retriever.profiles.profiles import Profiles

TRACKS = [f"t{number}" for number in range(5)]
CHANGES = st.tuples(
    st.sampled_from("abc"), st.integers(1, 4), st.dictionaries(st.sampled_from(TRACKS), st.floats(0, 9, width=32))
)


def message(profile_id: str = "a", version: int = 1, weights: Any = None, *, is_listed: bool = True) -> LogEntry:
    """The state of a profile as the log carries it; weights by track or as pairs."""
    pairs = dict(weights or {}).items() if isinstance(weights, dict) else weights or []
    payload = events_pb2.ProfileWeights(
        profile_id=profile_id,
        version=version,
        tracks=[events_pb2.TrackWeight(track_id=track_id, weight=weight) for track_id, weight in pairs],
        is_listed=is_listed,
    ).SerializeToString()
    return LogEntry(profile_subject(profile_id), 1, payload)


def tombstone(profile_id: str) -> LogEntry:
    return LogEntry(profile_subject(profile_id), 1, b"")


@given(st.lists(CHANGES | st.sampled_from("abc")))
def test_profiles_are_what_the_last_messages_say(changes: list[tuple[str, int, dict[str, float]] | str]) -> None:
    profiles = Profiles()
    known: dict[str, tuple[int, dict[str, float]]] = {}
    for change in changes:
        if isinstance(change, str):
            assert apply_entry(profiles, tombstone(change)) is (known.pop(change, None) is not None)
        else:
            profile_id, version, weights = change
            is_new = profile_id not in known or version >= known[profile_id][0]
            for _ in range(2):  # a message may come twice
                assert apply_entry(profiles, message(profile_id, version, weights)) is is_new
            if is_new:
                known[profile_id] = (version, weights)
    found = {
        one.profile_id: (one.version, dict(zip(one.track_ids, one.weights.tolist(), strict=True)))
        for one in profiles.all()
    }
    assert found == known
    assert len(profiles) == len(known)
    for track_id in TRACKS:
        assert profiles.has_track(track_id) is any(track_id in weights for _, weights in known.values())


def test_a_profile_says_whether_it_is_listed() -> None:
    profiles = Profiles()
    apply_entry(profiles, message("a", is_listed=False))
    apply_entry(profiles, message("b"))
    assert {one.profile_id: one.is_listed for one in profiles.all()} == {"a": False, "b": True}
    profiles.clear()
    assert (profiles.get("b"), profiles.all()) == (None, [])


def test_tracks_of_a_cleared_log_are_forgotten() -> None:
    profiles = Profiles()
    apply_entry(profiles, message("a", 1, {"t0": 1.0}))
    profiles.clear()
    assert not profiles.has_track("t0")
    apply_entry(profiles, message("a", 1, {"t0": 1.0}))
    apply_entry(profiles, tombstone("a"))
    assert not profiles.has_track("t0")


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (message("b"), ("INVALID_ARGUMENT", "profile_id", "b", None)),
        (message(weights={"t": -0.5}), ("OUT_OF_RANGE", "tracks[0].weight", "-0.5", "0")),
        (message(weights={"s": 1, "t": float("nan")}), ("OUT_OF_RANGE", "tracks[1].weight", "nan", None)),
        (message(weights={"t": float("inf")}), ("OUT_OF_RANGE", "tracks[0].weight", "inf", None)),
        (message(weights={"": 1}), ("OUT_OF_RANGE", "length of tracks[0].track_id", "0", "1")),
        (message(weights={"x" * 101: 1}), ("OUT_OF_RANGE", "length of tracks[0].track_id", "101", "100")),
        (message(weights=[("t", 1), ("t", 2)]), ("INVALID_ARGUMENT", "tracks", None, None)),
        (message(weights={f"t{n}": 1 for n in range(1001)}), ("OUT_OF_RANGE", "tracks", "1001", "1000")),
        (LogEntry("", 1, b"\xff\xff"), ("INVALID_ARGUMENT", None, None, None)),
    ],
)
def test_a_malformed_message_is_refused_and_changes_nothing(
    entry: LogEntry, told: tuple[str, str | None, str | None, str | None]
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse_profile(entry.payload, "a")
    error = refused.value
    assert (error.reason, error.field, error.value) == told[:3]
    assert told[3] is None or error.limit == told[3]


def test_a_thousand_tracks_are_taken() -> None:
    profile = parse_profile(message(weights={f"t{n}": n for n in range(1000)}).payload, "a")
    assert (len(profile.track_ids), profile.weights[999]) == (1000, 999)


def batch(*entries: LogEntry, is_reset: bool = False, is_caught_up: bool = True) -> LogBatch:
    return LogBatch(LogPosition(datetime(2026, 1, 1, tzinfo=UTC), 1), list(entries), is_reset, is_caught_up)


async def test_whose_message_cannot_be_read_is_told_to_nobody_until_one_can() -> None:
    """The message may have said that the person wants to be found no more."""
    profiles = Profiles()
    consumer = ProfileConsumer(profiles)
    bad = LogEntry(profile_subject("a"), 2, b"\xff\xff")
    unknown = LogEntry(profile_subject("x"), 3, b"\xff\xff")
    await consumer.take(batch(message("a", 5, {"t0": 2.0}), message("b"), bad, unknown))
    hidden = profiles.get("a")
    assert hidden is not None
    assert (hidden.version, hidden.track_ids, hidden.weights.tolist(), hidden.is_listed) == (5, ("t0",), [2.0], False)
    assert (len(profiles), consumer.refused_count, profiles.has_track("t0")) == (2, 2, True)
    assert [one.profile_id for one in profiles.all() if one.is_listed] == ["b"]
    await consumer.take(batch(message("a", 6, {"t0": 2.0})))
    assert [one.profile_id for one in profiles.all() if one.is_listed] == ["a", "b"]
    await consumer.take(batch(LogEntry(profile_subject("a"), 4, b"")))
    assert not profiles.has_track("t0")


async def test_a_burst_lets_others_work_and_is_loading_while_a_log_begins_anew() -> None:
    profiles = Profiles()
    consumer = ProfileConsumer(profiles)
    await consumer.take(batch(message("old")))
    assert profiles.is_caught_up
    entries = [message(f"p{number}", 1, {f"t{track}": 1.0 for track in range(200)}) for number in range(300)]
    taking = asyncio.create_task(consumer.take(batch(*entries, is_reset=True)))
    seen: list[tuple[int, bool]] = []
    while not taking.done():
        await asyncio.sleep(0)
        seen.append((len(profiles), profiles.is_caught_up))
    assert len({count for count, _ in seen}) > 10
    assert {is_caught_up for count, is_caught_up in seen if count < 300} == {False}
    assert seen[-1] == (300, True)


def test_what_changed_is_noted_for_each_who_watches() -> None:
    profiles = Profiles()
    first = profiles.watch(9)
    apply_entry(profiles, message("a"))
    second = profiles.watch(9)
    apply_entry(profiles, message("b"))
    apply_entry(profiles, tombstone("a"))
    apply_entry(profiles, message("b", version=0))  # nothing new
    assert (first.take(), second.take()) == ({"a", "b"}, {"a", "b"})
    profiles.unlist("b")
    profiles.unlist("nobody")
    assert first.take() == {"b"}
    profiles.clear()
    assert (first.take(), second.take()) == (None, None)
