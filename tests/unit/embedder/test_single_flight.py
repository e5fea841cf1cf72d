"""One acts, the others wait; whoever is cancelled takes nobody with it."""

import asyncio

import pytest

from services.embedder.single_flight import SingleFlight


class Act:
    """Counts how often it was begun, and ends when it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = 0
        self.may_end = asyncio.Event()
        self._error = error

    async def __call__(self) -> None:
        self.begun += 1
        await self.may_end.wait()
        if self._error is not None:
            raise self._error


async def begin(flight: SingleFlight, act: Act, *keys: str) -> list[asyncio.Task[None]]:
    async def join(key: str) -> None:
        await flight.join(key, act)

    tasks = [asyncio.create_task(join(key)) for key in keys]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_those_who_ask_for_the_same_share_one_act_and_others_do_not() -> None:
    flight, act = SingleFlight(), Act()
    tasks = await begin(flight, act, "one", "one", "two", "one")
    assert act.begun == 2
    act.may_end.set()
    await asyncio.gather(*tasks)
    assert flight._flying == {}
    await flight.join("one", act)
    assert act.begun == 3


async def test_failure_is_everybodys_and_the_next_one_begins_anew() -> None:
    error = ValueError("no")
    flight, act = SingleFlight(), Act(error)
    tasks = await begin(flight, act, "one", "one")
    act.may_end.set()
    assert await asyncio.gather(*tasks, return_exceptions=True) == [error, error]
    with pytest.raises(ValueError, match="no"):
        await flight.join("one", act)
    assert act.begun == 2


async def test_cancelled_waiter_disturbs_nobody() -> None:
    flight, act = SingleFlight(), Act()
    first, second, third = await begin(flight, act, "one", "one", "one")
    second.cancel()
    act.may_end.set()
    await asyncio.gather(first, third)
    assert second.cancelled()
    assert act.begun == 1


async def test_one_waiter_acts_where_the_first_is_cancelled() -> None:
    flight, act = SingleFlight(), Act()
    first, second, third = await begin(flight, act, "one", "one", "one")
    first.cancel()
    await asyncio.wait({first})
    act.may_end.set()
    await asyncio.gather(second, third)
    assert first.cancelled()
    assert act.begun == 2
    assert flight._flying == {}
