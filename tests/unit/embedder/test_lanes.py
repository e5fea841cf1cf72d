"""Order, sums and departures of the windows that wait."""

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import DeadlineExceeded
from services.embedder.lanes import Waiting, WindowQueue


def waiting(samples: int, expires_at: float | None = None) -> Waiting:
    future = asyncio.get_running_loop().create_future()
    return Waiting(np.zeros(samples, np.float32), samples / 1000, future, 0.0, expires_at, {})


def queue_of(*items: Waiting) -> WindowQueue:
    queue = WindowQueue()
    for item in items:
        queue.append(item)
    return queue


@given(lengths=st.lists(st.sampled_from([100, 250, 333, 1000]), max_size=30), limit_s=st.floats(0.05, 3))
def test_every_window_is_taken_once_in_order_with_its_likes(lengths: list[int], limit_s: float) -> None:
    async def check() -> None:
        items = [waiting(samples) for samples in lengths]
        queue = queue_of(*items)
        assert queue.seconds == pytest.approx(sum(lengths) / 1000)
        batches: list[list[Waiting]] = []
        while len(queue):
            first = next(item for item in items if all(item not in batch for batch in batches))
            batches.append(queue.take(limit_s))
            assert batches[-1][0] is first
        taken = [item for batch in batches for item in batch]
        assert sorted(map(id, taken)) == sorted(map(id, items))
        assert queue.seconds == 0
        for batch in batches:
            assert len({len(item.window) for item in batch}) == 1
            assert [items.index(item) for item in batch] == sorted(items.index(item) for item in batch)
            assert len(batch) == 1 or sum(item.seconds for item in batch) <= limit_s + 1e-3

    asyncio.run(check())


async def test_a_batch_is_as_large_as_the_limit_allows() -> None:
    queue = queue_of(*(waiting(100) for _ in range(13)))
    # 0.3 / 0.1 is a little less than three.
    assert [len(queue.take(limit_s)) for limit_s in (0.3, 0.7, 0.99, 1.0)] == [3, 7, 3, 0]


async def test_what_is_done_leaves_and_is_never_taken() -> None:
    first, second = waiting(100), waiting(200)
    queue = queue_of(first, second)
    first.future.cancel()
    assert queue.take(10) == [second]
    await asyncio.sleep(0)
    assert (len(queue), queue.seconds) == (0, 0)


async def test_late_windows_are_told_and_the_others_stay() -> None:
    late, in_time, patient = waiting(100, expires_at=5), waiting(100, expires_at=5.5), waiting(100)
    queue = queue_of(late, in_time, patient)
    assert queue.end_late(5) == 1
    with pytest.raises(DeadlineExceeded):
        await late.future
    assert queue.take(10) == [in_time, patient]


async def test_cancelling_all_reaches_everybody() -> None:
    items = [waiting(100), waiting(200)]
    queue = queue_of(*items)
    queue.cancel_all()
    assert [item.future.cancelled() for item in items] == [True, True]
    assert (len(queue), queue.seconds, queue.oldest_at) == (0, 0, None)
