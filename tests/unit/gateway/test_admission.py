"""How many are at work, how many wait, and who is refused, by a clock that the test turns."""

import asyncio

import pytest

from services.gateway.admission import FIRST_AT_WORK, LEAST_AT_WORK, LEAST_WAITING, Admission, Bounds, Place

BOUNDS = Bounds(most_at_work=1000, target_delay_s=0.015, queue_s=0.2)
ROOM_AT_FIRST = 100  # at 2 ms each


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def asked(admission: Admission, count: int) -> list[Place]:
    """Ask so often; nobody may be refused."""
    places = [admission.ask() for _ in range(count)]
    assert None not in places
    return [place for place in places if place is not None]


def look(admission: Admission, clock: Clock, *delays_s: float, every_s: float = 0.06) -> list[int]:
    """Tell of the loop, again and again; returns the limit after each."""
    found = []
    for delay_s in delays_s:
        clock.now += every_s
        admission.observe(delay_s)
        found.append(admission.limit)
    return found


async def test_those_above_the_limit_wait_and_begin_in_turn(clock: Clock) -> None:
    admission = Admission(BOUNDS, clock)
    begun = asked(admission, FIRST_AT_WORK)
    first, second = asked(admission, 2)
    assert (admission.at_work, admission.waiting) == (FIRST_AT_WORK, 2)
    assert [place.is_held for place in (begun[0], first, second)] == [True, False, False]
    begun[0].leave()
    assert [place.is_held for place in (begun[0], first, second)] == [False, True, False]
    assert await first.is_granted()
    assert (admission.at_work, admission.waiting) == (FIRST_AT_WORK, 1)


async def test_more_than_can_begin_soon_are_refused_at_once_and_nothing_changes(clock: Clock) -> None:
    admission = Admission(BOUNDS, clock)
    begun = asked(admission, FIRST_AT_WORK + ROOM_AT_FIRST)
    assert admission.is_full
    assert [admission.ask(), admission.ask()] == [None, None]
    assert (admission.at_work, admission.waiting) == (FIRST_AT_WORK, ROOM_AT_FIRST)
    assert admission.refused == {"overloaded": 2}
    begun[0].leave()
    assert not admission.is_full
    asked(admission, 1)


async def test_the_queue_is_as_long_as_its_pace_allows(clock: Clock) -> None:
    admission = Admission(BOUNDS, clock)
    places = asked(admission, FIRST_AT_WORK + 60)
    for place in places[:60]:
        clock.now += 0.005
        place.leave()
    assert admission.room == 40  # 200 ms at 5 ms each, which the beginning at 2 ms does not move any more
    places = places[60:] + asked(admission, 24)
    assert admission.ask() is not None
    for place in places[:20]:
        clock.now += 0.15
        place.leave()
    assert admission.room == LEAST_WAITING


async def test_many_that_begin_at_once_do_not_make_the_queue_longer(clock: Clock) -> None:
    admission = Admission(BOUNDS, clock)
    places = asked(admission, FIRST_AT_WORK + ROOM_AT_FIRST)
    for place in places[:40]:
        clock.now += 0.005
        place.leave()
    room = admission.room
    assert room == 40
    assert look(admission, clock, *[0.0] * 3, every_s=0.0) == [20, 25, 31]
    assert admission.room == room
    assert [place.is_held for place in places[55:72]] == [True] * 16 + [False]


async def test_nobody_joins_a_queue_whose_first_has_waited_for_longer_than_anybody_should(clock: Clock) -> None:
    admission = Admission(BOUNDS, clock)
    begun = asked(admission, FIRST_AT_WORK)
    asked(admission, LEAST_WAITING)
    clock.now += 0.19
    asked(admission, 1)
    clock.now += 0.02
    assert admission.ask() is None
    begun[0].leave()
    begun[1].leave()
    assert admission.waiting == LEAST_WAITING - 1
    asked(admission, 1)  # so many always may
    assert admission.ask() is None
    for place in begun[2:]:
        place.leave()
    asked(admission, 13 + LEAST_WAITING)


async def test_who_waited_for_too_long_is_refused_instead_of_begun(clock: Clock) -> None:
    admission = Admission(BOUNDS, clock)
    begun = asked(admission, FIRST_AT_WORK)
    late, later = asked(admission, 2)
    clock.now += 0.5
    in_time = asked(admission, 1)[0]
    clock.now += 0.301
    begun[0].leave()
    assert [await late.is_granted(), await later.is_granted(), await in_time.is_granted()] == [False, False, True]
    assert admission.refused == {"waited": 2}
    assert admission.at_work == FIRST_AT_WORK
    late.leave()
    assert admission.at_work == FIRST_AT_WORK


async def test_who_waits_behind_what_hangs_is_told_by_the_next_look(clock: Clock) -> None:
    admission = Admission(Bounds(FIRST_AT_WORK, 0.015, 0.2), clock)
    asked(admission, FIRST_AT_WORK)
    (late,) = asked(admission, 1)
    look(admission, clock, 0.01, every_s=0.79)
    assert late.turn is not None
    assert not late.turn.done()
    look(admission, clock, 0.01, every_s=0.02)
    assert late.turn.done()
    assert await late.is_granted() is False


async def test_a_delay_that_stands_halves_the_limit_ten_times_a_second_down_to_the_least(clock: Clock) -> None:
    admission = Admission(BOUNDS, clock)
    asked(admission, FIRST_AT_WORK)
    assert look(admission, clock, *[0.03] * 9) == [16, 16, 8, 8, 4, 4, 4, 4, 4]
    assert LEAST_AT_WORK == 4


async def test_a_limit_comes_down_in_proportion_to_the_delay(clock: Clock) -> None:
    admission = Admission(BOUNDS, clock)
    asked(admission, FIRST_AT_WORK)
    assert look(admission, clock, 0.02, 0.02, 0.02) == [16, 16, 12]
    assert look(admission, clock, 0.0151, 0.0151) == [12, 11]


async def test_a_loop_that_is_late_once_or_now_and_then_changes_nothing(clock: Clock) -> None:
    admission = Admission(BOUNDS, clock)
    asked(admission, FIRST_AT_WORK)
    assert look(admission, clock, 3.0, 0.01, 0.5, 0.5, 0.015, 0.5, 0.01) == [16] * 7


async def test_a_limit_that_is_in_the_way_of_nothing_late_rises_and_lets_others_begin(clock: Clock) -> None:
    admission = Admission(BOUNDS, clock)
    asked(admission, FIRST_AT_WORK)
    assert look(admission, clock, 0.0, 0.0) == [16, 16]  # nobody waits
    waiting = asked(admission, 10)
    assert look(admission, clock, 0.01) == [16]  # not late, but near
    assert look(admission, clock, 0.0075) == [20]
    assert [place.is_held for place in waiting] == [True] * 4 + [False] * 6
    assert look(admission, clock, 0.0, 0.0, 0.0, 0.0) == [25, 31, 31, 31]


async def test_a_limit_never_passes_its_bound_and_refusals_there_have_another_reason(clock: Clock) -> None:
    admission = Admission(Bounds(20, 0.015, 0.2), clock)
    asked(admission, FIRST_AT_WORK + 20)
    assert look(admission, clock, 0.0, 0.0) == [20, 20]
    assert admission.room == 20
    asked(admission, 4)
    assert admission.ask() is None
    assert admission.refused == {"full": 1}
    small = Admission(Bounds(2, 0.015, 0.2), clock)
    asked(small, 3)
    assert look(small, clock, 1.0, 1.0, 1.0, 1.0, 1.0) == [2] * 5


async def test_who_does_not_wait_any_more_takes_no_place(clock: Clock) -> None:
    admission = Admission(BOUNDS, clock)
    begun = asked(admission, FIRST_AT_WORK)
    gone, next_one = asked(admission, 2)
    waiting = asyncio.create_task(gone.is_granted())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    begun[0].leave()
    assert (gone.is_held, next_one.is_held) == (False, True)
    gone.leave()
    assert (admission.at_work, admission.waiting) == (FIRST_AT_WORK, 0)


async def test_a_place_is_left_once_and_can_be_taken_back(clock: Clock) -> None:
    admission = Admission(BOUNDS, clock)
    first, *_ = asked(admission, FIRST_AT_WORK)
    for _ in range(2):
        first.leave()
        assert admission.at_work == FIRST_AT_WORK - 1
    asked(admission, 1)
    for _ in range(2):
        first.take_back()
        assert admission.at_work == FIRST_AT_WORK + 1  # what was begun goes on
    first.leave()
    (waiting,) = asked(admission, 1)
    assert not waiting.is_held


def busy(admission: Admission, clock: Clock, times: int, every_s: float = 0.06) -> list[int]:
    """Have a service behind refuse before each look; returns the limit after each."""
    found = []
    for _ in range(times):
        admission.note_busy()
        found += look(admission, clock, 0.0, every_s=every_s)
    return found


async def test_services_behind_without_a_place_bring_the_limit_down_ten_times_a_second(clock: Clock) -> None:
    admission = Admission(BOUNDS, clock)
    asked(admission, FIRST_AT_WORK + 10)
    assert busy(admission, clock, 8) == [12, 12, 9, 9, 6, 6, 4, 4]
    assert busy(admission, clock, 4) == [LEAST_AT_WORK] * 4


async def test_limit_follows_what_is_at_work_and_not_what_might_be(clock: Clock) -> None:
    admission = Admission(BOUNDS, clock)
    places = asked(admission, FIRST_AT_WORK)
    for place in places[:8]:
        place.leave()
    assert busy(admission, clock, 1) == [6]
    assert busy(admission, clock, 20, every_s=0.2)[-1] == LEAST_AT_WORK


async def test_after_a_busy_service_the_limit_rests_and_rises_by_one(clock: Clock) -> None:
    admission = Admission(BOUNDS, clock)
    asked(admission, FIRST_AT_WORK + 90)
    assert busy(admission, clock, 1) == [12]
    assert look(admission, clock, *[0.0] * 6, every_s=0.1) == [12, 12, 12, 12, 13, 14]
    clock.now += 9.4
    admission.ask()
    assert look(admission, clock, 0.0, every_s=0.1) == [17]
