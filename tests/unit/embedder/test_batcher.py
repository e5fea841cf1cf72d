"""Joining, order, bounds and failures of the batcher, with an encoder that has no weights."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import numpy as np
import pytest
from numpy.typing import NDArray

from services.chassis.errors import DeadlineExceeded
from services.embedder.batcher import Batcher
from services.embedder.errors import AudioCorrupt, EmbedderBusy, EncodingFailed, ModelBroken
from services.embedder.lanes import Lane
from services.embedder.metrics import EmbedderMetrics
from tests.fakes.encoder import NOT_FINITE, POISON, FakeEncoder, vector_of


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


# The fake hears 1,000 samples a second: windows here are 50 ms long.
WINDOW_S = 0.05


def window(level: float, samples: int = 50) -> NDArray[np.float32]:
    return np.full(samples, level, dtype=np.float32)


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder()


def make(
    encoder: FakeEncoder, *, batch: int = 4, delay_ms: float = 0, queued: int = 100, clock: Clock | None = None
) -> Batcher:
    return Batcher(
        encoder,
        max_batch_seconds=batch * WINDOW_S,
        max_delay_ms=delay_ms,
        max_queued_seconds=queued * WINDOW_S,
        clock=clock or Clock(),
    )


@contextlib.asynccontextmanager
async def running(batcher: Batcher) -> AsyncIterator[None]:
    task = asyncio.create_task(batcher.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        batcher.close()


async def test_windows_of_many_callers_share_batches_in_order(encoder: FakeEncoder) -> None:
    batcher = make(encoder, batch=3)
    futures = [batcher.submit(window(level / 10), Lane.BULK) for level in range(5)]
    async with running(batcher):
        results = await asyncio.gather(*futures)
    assert encoder.batches == [[0.0, 0.1, 0.2], [0.3, 0.4]]
    for level, result in enumerate(results):
        np.testing.assert_allclose(result.vector, vector_of(level / 10), atol=1e-6)
        np.testing.assert_allclose(result.tags, [level / 10, 1 - level / 10], atol=1e-6)


async def test_model_runs_in_its_own_thread_alone(encoder: FakeEncoder) -> None:
    batcher = make(encoder, batch=1)
    async with running(batcher):
        await asyncio.gather(*(batcher.submit(window(0.1), Lane.BULK) for _ in range(5)))
    assert encoder.threads == {"encoder_0"}


async def test_interactive_windows_go_first(encoder: FakeEncoder) -> None:
    batcher = make(encoder, batch=2)
    bulk = [batcher.submit(window(level), Lane.BULK) for level in (0.1, 0.2, 0.3)]
    interactive = [batcher.submit(window(level), Lane.INTERACTIVE) for level in (0.8, 0.9, 0.95)]
    async with running(batcher):
        await asyncio.gather(*bulk, *interactive)
    # The rest of the interactive lane is not filled up with bulk work, which would make its batch longer.
    assert encoder.batches == [[0.8, 0.9], [0.95], [0.1, 0.2], [0.3]]


async def test_only_windows_of_one_length_share_a_batch(encoder: FakeEncoder) -> None:
    batcher = make(encoder)
    lengths = [50, 30, 50, 30, 20]
    futures = [batcher.submit(window(row / 10, samples), Lane.BULK) for row, samples in enumerate(lengths)]
    async with running(batcher):
        await asyncio.gather(*futures)
    assert encoder.batches == [[0.0, 0.2], [0.1, 0.3], [0.4]]


async def test_batches_hold_so_much_sound_whatever_the_windows(encoder: FakeEncoder) -> None:
    batcher = make(encoder, batch=4)
    futures = [batcher.submit(window(0.1, 20), Lane.BULK) for _ in range(12)]
    futures += [batcher.submit(window(0.2, 100), Lane.BULK) for _ in range(3)]
    futures += [batcher.submit(window(0.3, 500), Lane.BULK) for _ in range(2)]
    async with running(batcher):
        await asyncio.gather(*futures)
    # 0.2 s at a time: ten, two, and one that is longer than that by itself.
    assert [len(batch) for batch in encoder.batches] == [10, 2, 2, 1, 1, 1]


async def test_interactive_window_waits_for_one_batch_at_most(encoder: FakeEncoder) -> None:
    encoder.open.clear()
    batcher = make(encoder, batch=2)
    futures = [batcher.submit(window(0.1), Lane.BULK) for _ in range(8)]
    async with running(batcher):
        while not encoder.batches:
            await asyncio.sleep(0)
        futures.append(batcher.submit(window(0.9), Lane.INTERACTIVE))
        encoder.open.set()
        await asyncio.gather(*futures)
    assert encoder.batches == [[0.1, 0.1], [0.9], [0.1, 0.1], [0.1, 0.1], [0.1, 0.1]]


async def test_full_batch_does_not_wait(encoder: FakeEncoder) -> None:
    batcher = make(encoder, batch=2, delay_ms=3_600_000)
    async with running(batcher):
        first = batcher.submit(window(0.1), Lane.BULK)
        await asyncio.gather(first, batcher.submit(window(0.2), Lane.BULK))
    assert encoder.batches == [[0.1, 0.2]]


async def test_part_of_a_batch_waits_for_its_delay_only(encoder: FakeEncoder) -> None:
    clock = Clock()
    batcher = make(encoder, batch=4, delay_ms=3_600_000, clock=clock)
    async with running(batcher):
        first = batcher.submit(window(0.1), Lane.BULK)
        for _ in range(5):
            await asyncio.sleep(0)
        assert encoder.batches == []
        clock.now += 3600
        await asyncio.gather(first, batcher.submit(window(0.2), Lane.BULK))
    assert encoder.batches == [[0.1, 0.2]]


async def test_poison_window_fails_alone(encoder: FakeEncoder) -> None:
    batcher = make(encoder, batch=4)
    futures = [batcher.submit(window(level), Lane.BULK) for level in (0.1, 0.2, POISON, 0.3)]
    async with running(batcher):
        results = await asyncio.gather(*futures, return_exceptions=True)
    assert isinstance(results[2], EncodingFailed)
    assert [isinstance(result, BaseException) for result in results] == [False, False, True, False]
    # Behind the poison one window is encoded that is known to be good.
    assert encoder.batches[:4] == [[0.1, 0.2, POISON, 0.3], [0.1], [0.2], [POISON]]
    assert encoder.batches[5:] == [[0.3]]


async def test_model_goes_on_after_poison(encoder: FakeEncoder) -> None:
    batcher = make(encoder, batch=1)
    async with running(batcher):
        with pytest.raises(EncodingFailed):
            await batcher.submit(window(POISON), Lane.BULK)
        result = await batcher.submit(window(0.5), Lane.BULK)
    np.testing.assert_allclose(result.vector, vector_of(0.5), atol=1e-6)


async def test_vector_that_is_not_finite_fails_alone(encoder: FakeEncoder) -> None:
    batcher = make(encoder, batch=2)
    futures = [batcher.submit(window(level), Lane.BULK) for level in (NOT_FINITE, 0.2)]
    async with running(batcher):
        results = await asyncio.gather(*futures, return_exceptions=True)
    assert isinstance(results[0], AudioCorrupt)
    assert not isinstance(results[1], BaseException)


async def test_full_lane_refuses_with_a_hint_and_keeps_what_it_has(encoder: FakeEncoder) -> None:
    batcher = make(encoder, batch=4, queued=80)
    futures = [batcher.submit(window(0.1, 500), Lane.BULK) for _ in range(8)]  # half a second each
    with pytest.raises(EmbedderBusy) as caught:
        batcher.submit(window(0.9), Lane.BULK)
    assert (caught.value.code, caught.value.reason) == ("RESOURCE_EXHAUSTED", "EMBEDDER_BUSY")
    assert (caught.value.value, caught.value.limit) == ("4", "4")
    assert caught.value.retry_after_ms == 4000  # in real time, as long as no batch was timed
    futures.append(batcher.submit(window(0.9), Lane.INTERACTIVE))
    async with running(batcher):
        await asyncio.gather(*futures)
    assert sum(len(batch) for batch in encoder.batches) == 9


async def test_window_longer_than_the_queue_is_taken_alone(encoder: FakeEncoder) -> None:
    batcher = make(encoder, queued=2)
    long = batcher.submit(window(0.1, 5000), Lane.BULK)
    with pytest.raises(EmbedderBusy):
        batcher.submit(window(0.2), Lane.BULK)
    async with running(batcher):
        await long
    assert encoder.batches == [[0.1]]


async def test_window_that_is_cancelled_makes_room_at_once(encoder: FakeEncoder) -> None:
    batcher = make(encoder, queued=1)
    batcher.submit(window(0.1), Lane.BULK).cancel()
    await asyncio.sleep(0)
    assert batcher.queued_seconds(Lane.BULK) == 0
    kept = batcher.submit(window(0.2), Lane.BULK)
    async with running(batcher):
        await kept
    assert encoder.batches == [[0.2]]


async def test_hint_follows_the_pace_of_the_model(encoder: FakeEncoder) -> None:
    clock = Clock()
    batcher = make(encoder, clock=clock, queued=1000)
    encoder.on_call = lambda: setattr(clock, "now", clock.now + 0.5)  # half a second for 50 ms of sound
    async with running(batcher):
        await batcher.submit(window(0.1), Lane.BULK)
        await asyncio.sleep(0)
    batcher.submit(window(0.1, 500), Lane.BULK)
    assert batcher.retry_after_ms(Lane.BULK) == 5000
    assert batcher.retry_after_ms(Lane.INTERACTIVE) == 100


async def test_cancelled_window_costs_nothing(encoder: FakeEncoder) -> None:
    batcher = make(encoder)
    kept = batcher.submit(window(0.1), Lane.BULK)
    batcher.submit(window(0.2), Lane.BULK).cancel()
    async with running(batcher):
        await kept
    assert encoder.batches == [[0.1]]


async def test_expired_window_costs_nothing_and_says_so(encoder: FakeEncoder) -> None:
    clock = Clock()
    batcher = make(encoder, clock=clock)
    late = batcher.submit(window(0.1), Lane.INTERACTIVE, expires_at=105)
    in_time = batcher.submit(window(0.2), Lane.INTERACTIVE, expires_at=105.1)
    clock.now = 105
    async with running(batcher):
        with pytest.raises(DeadlineExceeded):
            await late
        await in_time
    assert encoder.batches == [[0.2]]


async def test_loop_runs_on_while_the_model_works(encoder: FakeEncoder) -> None:
    encoder.open.clear()
    batcher = make(encoder, batch=1)
    async with running(batcher):
        future = batcher.submit(window(0.1), Lane.BULK)
        while not encoder.batches:
            await asyncio.sleep(0)
        assert not future.done()
        encoder.open.set()
        await future


async def test_stopping_cancels_what_waits_and_what_runs(encoder: FakeEncoder) -> None:
    encoder.open.clear()
    batcher = make(encoder, batch=1)
    async with running(batcher):
        running_one = batcher.submit(window(0.1), Lane.BULK)
        waiting_one = batcher.submit(window(0.2), Lane.BULK)
        while not encoder.batches:
            await asyncio.sleep(0)
        encoder.open.set()
    assert running_one.cancelled()
    assert waiting_one.cancelled()


class Notes(EmbedderMetrics):
    def __init__(self) -> None:
        self.depths: list[tuple[str, int, float]] = []
        self.drops: list[tuple[str, str]] = []
        self.batches: list[tuple[int, float]] = []

    def queued(self, lane: str, items: int, audio_seconds: float) -> None:
        self.depths.append((lane, items, round(audio_seconds, 6)))

    def dropped(self, lane: str, cause: str) -> None:
        self.drops.append((lane, cause))

    def batched(self, items: int, audio_seconds: float, gather_seconds: float) -> None:
        self.batches.append((items, round(audio_seconds, 6)))


async def test_queues_batches_and_drops_are_told(encoder: FakeEncoder) -> None:
    notes, clock = Notes(), Clock()
    batcher = Batcher(encoder, max_batch_seconds=0.2, max_delay_ms=0, max_queued_seconds=10, clock=clock, metrics=notes)
    kept = [batcher.submit(window(0.1), Lane.BULK) for _ in range(2)]
    late = batcher.submit(window(0.2), Lane.INTERACTIVE, expires_at=101)
    batcher.submit(window(0.3), Lane.BULK).cancel()
    assert notes.depths == [("bulk", 1, 0.05), ("bulk", 2, 0.1), ("interactive", 1, 0.05), ("bulk", 3, 0.15)]
    clock.now = 101
    async with running(batcher):
        await asyncio.gather(*kept)
        assert isinstance(late.exception(), DeadlineExceeded)
    assert sorted(notes.drops) == [("bulk", "cancelled"), ("interactive", "expired")]
    assert notes.batches == [(2, 0.1)]
    assert notes.depths[-2:] == [("interactive", 0, 0), ("bulk", 0, 0)]


async def test_windows_beside_poison_let_those_who_wait_go_first(encoder: FakeEncoder) -> None:
    batcher = make(encoder, batch=3)
    bulk = [batcher.submit(window(level), Lane.BULK) for level in (0.1, POISON, 0.2)]
    encoder.open.clear()
    async with running(batcher):
        while not encoder.batches:
            await asyncio.sleep(0)
        waiting = batcher.submit(window(0.9), Lane.INTERACTIVE)
        bulk[2].cancel()
        encoder.open.set()
        await asyncio.gather(*bulk, waiting, return_exceptions=True)
    assert encoder.batches[:3] == [[0.1, POISON, 0.2], [0.9], [0.1]]
    assert [0.2] not in encoder.batches


async def test_model_that_fails_on_everything_ends_the_batcher_and_blames_nobody(encoder: FakeEncoder) -> None:
    def broken() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    encoder.on_call = broken
    batcher = make(encoder)
    futures = [batcher.submit(window(level), Lane.BULK) for level in (0.1, 0.2)]
    with pytest.raises(ModelBroken):
        await batcher.run()
    batcher.close()
    assert [future.cancelled() for future in futures] == [True, True]


async def test_only_a_cancelled_window_in_the_queue_does_not_hold_the_loop(encoder: FakeEncoder) -> None:
    batcher = make(encoder)
    async with running(batcher):
        batcher.submit(window(0.1), Lane.BULK).cancel()
        async with asyncio.timeout(60):
            await batcher.submit(window(0.2), Lane.INTERACTIVE)
    assert encoder.batches == [[0.2]]
