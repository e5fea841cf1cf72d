"""What was committed and what was told are compared, both ways, in number and in order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.chassis.bus import PEOPLE_EVENTS, SOCIAL_EVENTS
from tests.faults.events import Promised, Stream, Told, judge_events
from tests.faults.findings import Kind

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


# Each leaves the outbox half a second after it was written.
PROMISED = [Promised(f"e{number}", "k1", PEOPLE_EVENTS, at(number), at(number + 0.5)) for number in (1, 2, 3)]


def judge(*told: tuple[str, float], made_s: float = -1.0, later: str = "") -> list[Kind]:
    stream = Stream(at(made_s - 0.1), at(made_s), [Told(event_id, at(seconds)) for event_id, seconds in told])
    streams = {PEOPLE_EVENTS: stream, SOCIAL_EVENTS: Stream(at(0), at(0), [])}
    committed = {later, *(event.event_id for event in PROMISED)}
    return [finding.kind for finding in judge_events(PROMISED, streams, BEGAN, committed)]


def test_each_told_once_in_order_is_right() -> None:
    assert judge(("before", -0.5), ("e1", 1), ("e2", 2), ("e3", 3)) == []


def test_what_is_promised_while_streams_are_read_may_be_told() -> None:
    assert judge(("e1", 1), ("e2", 2), ("e3", 3), ("e4", 4), later="e4") == []


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        pytest.param([("e1", 1), ("e3", 3)], Kind.LOST, id="never told"),
        pytest.param([("e1", 1), ("e2", 2), ("e2", 2.5), ("e3", 3)], Kind.DOUBLED, id="told twice"),
        pytest.param([("e1", 1), ("e2", 2), ("e3", 3), ("e4", 4)], Kind.DOUBLED, id="told and rolled back"),
        pytest.param([("e2", 2), ("e1", 2.1), ("e3", 3)], Kind.STALE, id="another order"),
    ],
)
def test_each_broken_promise_is_found(told: list[tuple[str, float]], kind: Kind) -> None:
    assert judge(*told) == [kind]


def test_what_a_wiped_stream_may_have_held_is_not_missed_and_what_was_written_later_is() -> None:
    assert judge(("e3", 3), made_s=2.4) == []
    assert judge(("e2", 3), made_s=2.4) == [Kind.LOST]
    paused = [replace(event, left_at=at(61)) for event in PROMISED]
    stream = {PEOPLE_EVENTS: Stream(at(2.3), at(2.4), [Told("e3", at(3))])}
    assert judge_events(paused, stream, BEGAN, {"e3"}) == []


def test_what_waited_while_a_stream_was_wiped_is_missed() -> None:
    late = replace(PROMISED[0], left_at=at(66))
    stream = {PEOPLE_EVENTS: Stream(at(4), at(5), [])}
    assert judge_events(PROMISED, stream, BEGAN, set()) == []
    assert [finding.kind for finding in judge_events([late, *PROMISED[1:]], stream, BEGAN, set())] == [Kind.LOST]


def test_what_was_written_while_the_wiped_server_was_dead_is_missed() -> None:
    stream = {PEOPLE_EVENTS: Stream(at(1.5), at(5), [Told("e2", at(6))])}
    (finding,) = judge_events(PROMISED, stream, BEGAN, {"e2"})
    assert finding.kind == Kind.LOST
    assert "e3" in finding.text


def test_what_is_told_again_after_the_window_of_duplicates_is_known_by_its_id() -> None:
    assert judge(("e1", 1), ("e2", 2), ("e3", 3), ("e1", 200)) == []
