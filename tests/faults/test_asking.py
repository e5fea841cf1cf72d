"""How people ask: as their dice say and however often they must, until they are answered, or in haste."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clients.python.errors import ClientError
from tests.faults import asking
from tests.faults.asking import KINDS, Asker, World
from tests.faults.history import History, Outcome


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(asking, "HASTE_S", 0.1)
    history = History(tmp_path / "history.jsonl")
    yield World("http://127.0.0.1:1", [], [], history, {})
    history.close()


def answers(failures: int) -> asking.Ask:
    left = [ClientError("away", "UNAVAILABLE", is_transient=True)] * failures

    async def ask() -> dict[str, Any]:
        await asyncio.sleep(0)
        if left:
            raise left.pop()
        return {"user_id": ""}

    return ask


async def test_how_often_something_is_asked_does_not_decide_what_comes_next(world: World) -> None:
    drawn = []
    for failures in (0, 3):
        person = Asker(world, "ann", random.Random(7))
        assert await person._ask("sign_up", {"username": "ann"}, answers(failures))
        drawn.append(person._dice.random())
        await person._calls.close()
    assert [one.tries > 3 for one in world.history.operations] == [False, True]
    assert drawn[0] == drawn[1]


async def test_read_that_somebody_insists_on_is_asked_until_it_is_answered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for share, outcome in ((0.0, Outcome.GIVEN_UP), (1.0, Outcome.DONE)):
        monkeypatch.setattr(asking, "_INSISTED_ON", share)
        person = Asker(world, "ann", random.Random(7))
        await person._ask("who_am_i", {}, answers(2), is_read=True)
        await person._calls.close()
        assert world.history.operations[-1].outcome == outcome


async def test_read_that_fails_for_ever_is_told_of(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_INSISTED_ON", 1.0)
    monkeypatch.setattr(asking, "PATIENCE_S", 0.2)
    person = Asker(world, "ann", random.Random(7))
    assert not await person._ask("who_am_i", {}, answers(100), is_read=True)
    await person._calls.close()
    assert world.unanswered == world.history.operations


async def test_who_is_in_haste_gives_up_what_may_be_given_up_and_nothing_else(world: World) -> None:
    person = Asker(world, "ann", random.Random(7), is_hasty=True)

    async def never() -> dict[str, Any]:
        await asyncio.sleep(3600)
        return {}

    assert not await person._ask("like", {"playlist_id": "p1"}, never)
    assert await person._ask("sign_up", {"username": "ann"}, answers(2))
    await person._calls.close()
    first = world.history.operations[0]
    assert (first.outcome, first.heard) == (Outcome.GIVEN_UP, ["NO_ANSWER"])
    assert not person.ledger.may_touch("like", "p1")


def test_each_kind_of_question_is_asked_once_more_after_the_last_fault(world: World) -> None:
    world.lacking.clear()
    assert not world.is_over
    world.end()
    assert world.lacking == KINDS
    assert not world.is_over
    world.lacking.clear()
    assert world.is_over
