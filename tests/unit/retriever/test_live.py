"""Reads wait for what they may expect, and no longer than they have."""

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from services.chassis.bus import LogPosition
from services.retriever.errors import IndexBehind, IndexLoading
from services.retriever.index import TrackIndex
from services.retriever.live import LiveIndex
from services.retriever.tracks import Track

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
BEGUN_ANEW = BEGUN + timedelta(hours=1)


@pytest.fixture
async def live() -> AsyncIterator[LiveIndex]:
    index = LiveIndex(TrackIndex("enc"))
    yield index
    index.close()


async def move_to(live: LiveIndex, position: LogPosition, *, is_caught_up: bool = True) -> None:
    def add(index: TrackIndex) -> int:
        return index.upsert(Track(f"t{position.sequence}", 1), np.array([1, 0], np.float32))

    await live.advance(add, position, is_caught_up=is_caught_up)


async def test_nothing_is_read_before_the_log_was_read_to_its_end(live: LiveIndex) -> None:
    with pytest.raises(IndexLoading):
        await live.read(len, None, 1.0)
    await move_to(live, LogPosition(BEGUN, 1), is_caught_up=False)
    with pytest.raises(IndexLoading) as refused:
        await live.read(len, LogPosition(BEGUN, 1), 1.0)
    assert refused.value.retry_after_ms == 500
    await move_to(live, LogPosition(BEGUN, 2))
    assert await live.read(len, None, 1.0) == 2


@pytest.mark.parametrize("first", [LogPosition(BEGUN, 4), LogPosition(BEGUN_ANEW, 9)])
async def test_a_read_waits_for_its_point_of_that_very_stream(live: LiveIndex, first: LogPosition) -> None:
    await move_to(live, first)
    reading = asyncio.create_task(live.read(lambda index: index.track("t5") is not None, LogPosition(BEGUN, 5), 10.0))
    await move_to(live, first)
    assert not reading.done()
    await move_to(live, LogPosition(BEGUN, 5))
    assert await reading is True


async def test_a_point_that_is_reached_already_needs_no_time(live: LiveIndex) -> None:
    await move_to(live, LogPosition(BEGUN, 5))
    assert await live.read(len, LogPosition(BEGUN, 5), 0.0) == 1


@pytest.mark.parametrize("wanted", [LogPosition(BEGUN, 6), LogPosition(BEGUN_ANEW, 1)])
async def test_a_point_that_is_not_reached_in_time_is_refused(live: LiveIndex, wanted: LogPosition) -> None:
    await move_to(live, LogPosition(BEGUN, 5))
    with pytest.raises(IndexBehind) as refused:
        await live.read(len, wanted, 0.01)
    assert refused.value.metadata == {
        "field": "min_read_point",
        "value": f"sequence {wanted.sequence} of the stream of {wanted.created_at.isoformat()}",
        "limit": "sequence 5 of the stream of 2026-01-01T00:00:00+00:00",
        "retry_after_ms": "500",
    }


async def test_a_log_that_begins_anew_between_wait_and_work_is_noticed(live: LiveIndex) -> None:
    await move_to(live, LogPosition(BEGUN, 5))
    hold, held = threading.Event(), threading.Event()

    def block(index: TrackIndex) -> int:
        held.set()
        hold.wait(10)
        index.clear()
        return 1

    resetting = asyncio.create_task(live.advance(block, LogPosition(BEGUN_ANEW, 0), is_caught_up=False))
    await asyncio.to_thread(held.wait, 10)
    reading = asyncio.create_task(live.read(len, None, 10.0))
    reading_point = asyncio.create_task(live.read(len, LogPosition(BEGUN, 5), 10.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    hold.set()
    await resetting
    with pytest.raises(IndexLoading):
        await reading
    with pytest.raises(IndexBehind):
        await reading_point


async def test_work_is_done_on_one_thread_with_that_name(live: LiveIndex) -> None:
    names = {await live.run(lambda index: threading.current_thread().name) for _ in range(5)}
    assert names == {"retriever-index_0"}
