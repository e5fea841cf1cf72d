"""What the supervisor does when it is asked to start a service again; the processes are made up."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from deploy.local import restarts
from deploy.local.process import Spec, StartError, SupervisedProcess
from deploy.local.requests import RESTART
from deploy.local.restarts import Restarts
from deploy.local.state import State


async def yes() -> bool:
    return True


class FakeProcess:
    log = Path("its.log")

    def __init__(self, spec: Spec, said: list[str], fault: StartError | None = None) -> None:
        self.spec, self._said, self._fault = spec, said, fault

    async def restart(self) -> None:
        self._said.append(f"restart {self.spec.name}")
        if self._fault is not None:
            raise self._fault


class Scene:
    """A supervisor of processes that only tell what was done with them."""

    def __init__(self, state: State, *specs: Spec, fault: StartError | None = None) -> None:
        self.said: list[str] = []
        self.add_fault: Exception | None = None
        self.drop_s = 0.0
        # Whether it serves, look by look; then it does.
        self.looks_of_stand_in: list[bool] = []
        self._state = state
        self._running = cast(list[SupervisedProcess], [FakeProcess(spec, self.said, fault) for spec in specs])
        self._restarts = Restarts(state, self._running, self._stand_in, self._add, self._drop)

    def _stand_in(self, spec: Spec) -> Spec:
        return replace(spec, name=f"{spec.name}-stand-in", is_ready=self._is_serving, start_timeout_s=0.0)

    async def _is_serving(self) -> bool:
        return self.looks_of_stand_in.pop(0) if self.looks_of_stand_in else True

    async def _add(self, spec: Spec) -> SupervisedProcess:
        self.said.append(f"add {spec.name}")
        if self.add_fault is not None:
            raise self.add_fault
        self._running.append(cast(SupervisedProcess, FakeProcess(spec, self.said)))
        return self._running[-1]

    async def _drop(self, process: SupervisedProcess) -> None:
        self.said.append(f"drop {process.spec.name}")
        await asyncio.sleep(self.drop_s)
        self._running.remove(process)
        if self.drop_s:
            self.said.append(f"{process.spec.name} left")

    async def ask(self, part: str) -> dict[str, Any]:
        """Ask as the command does; returns the answer."""
        following = asyncio.create_task(self._restarts.follow())
        await asyncio.sleep(0)  # it forgets what was asked before
        self._state.write_json(RESTART.request, {"request_id": "1", "choice": part})
        async with asyncio.timeout(60):
            while (answer := self._state.read_json(RESTART.answer)) is None:
                await asyncio.sleep(0.01)
        following.cancel()
        return dict(answer)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarts, "_FOUND_S", 0.0)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State.open(tmp_path / "state")


def spec(name: str, is_ready: Callable[[], Awaitable[bool]] = yes, **environment: str) -> Spec:
    return Spec(name, ["true"], is_ready, environment, start_timeout_s=0.3)


async def test_somebody_stands_in_while_a_service_is_started_again(state: State) -> None:
    scene = Scene(state, spec("postgres"), spec("social"), spec("retriever"))
    assert await scene.ask("social") == {"request_id": "1", "granted": "social"}
    assert scene.said == ["add social-stand-in", "restart social", "drop social-stand-in"]


async def test_all_are_started_again_one_after_the_other_and_the_gateway_last(state: State) -> None:
    scene = Scene(state, spec("gateway", GATEWAY_WORKERS="1"), spec("social"), spec("postgres"), spec("embedder"))
    assert (await scene.ask(""))["granted"] == "embedder, social, gateway"
    assert scene.said == [
        "add embedder-stand-in",
        "restart embedder",
        "drop embedder-stand-in",
        "add social-stand-in",
        "restart social",
        "drop social-stand-in",
        "restart gateway",
    ]


async def test_replicas_are_started_again_one_by_one_while_one_stands_in(state: State) -> None:
    scene = Scene(state, spec("social"), spec("retriever"), spec("social.2"), spec("retriever.2"))
    assert (await scene.ask("social"))["granted"] == "social"
    assert scene.said == ["add social-stand-in", "restart social", "restart social.2", "drop social-stand-in"]


async def test_others_are_left_alone_where_a_replica_does_not_come_back(state: State) -> None:
    async def never() -> bool:
        return False

    scene = Scene(state, spec("social", never), spec("social.2"), fault=StartError("its log says why"))
    assert (await scene.ask("social"))["code"] == "RESTART_FAILED"
    assert scene.said == ["add social-stand-in", "restart social"]


@pytest.mark.parametrize("part", ["postgres", "social", "x"])
async def test_what_cannot_be_started_again_is_refused(state: State, part: str) -> None:
    scene = Scene(state, spec("postgres"), spec("gateway", GATEWAY_WORKERS="1"))
    assert (await scene.ask(part))["code"] == "NOTHING_TO_RESTART"
    assert scene.said == []


@pytest.mark.parametrize("fault", [StartError("no room"), OSError("no room")], ids=["start", "system"])
async def test_without_a_stand_in_nothing_is_ended(state: State, fault: Exception) -> None:
    scene = Scene(state, spec("social"))
    scene.add_fault = fault
    answer = await scene.ask("social")
    assert (answer["code"], answer["message"]) == ("RESTART_FAILED", "no room")
    assert scene.said == ["add social-stand-in"]


async def test_the_stand_in_stays_until_a_service_that_failed_at_first_is_back(state: State) -> None:
    looks = []

    async def third_time() -> bool:
        looks.append(list(scene.said))
        return len(looks) == 3

    scene = Scene(state, replace(spec("social", third_time), start_timeout_s=60.0), fault=StartError("not yet"))
    assert (await scene.ask("social"))["granted"] == "social"
    assert looks == [["add social-stand-in", "restart social"]] * 3
    assert scene.said[-1] == "drop social-stand-in"


async def test_a_service_that_does_not_come_back_is_told(state: State) -> None:
    async def never() -> bool:
        return False

    scene = Scene(state, spec("social", never), fault=StartError("its log says why"))
    answer = await scene.ask("social")
    assert (answer["code"], answer["message"]) == ("RESTART_FAILED", "its log says why")


async def test_the_stand_in_of_a_service_that_did_not_come_back_stays_until_it_does(state: State) -> None:
    is_back = asyncio.Event()

    async def back() -> bool:
        return is_back.is_set()

    scene = Scene(state, spec("social", back), fault=StartError("its log says why"))
    assert (await scene.ask("social"))["code"] == "RESTART_FAILED"
    assert scene.said == ["add social-stand-in", "restart social"]
    (state / RESTART.answer).unlink()
    assert (await scene.ask("social"))["code"] == "RESTART_FAILED"  # by the one that is there
    assert scene.said == ["add social-stand-in", "restart social", "restart social"]
    is_back.set()
    async with asyncio.timeout(60):
        while len(scene.said) < 4:
            await asyncio.sleep(0.01)
    assert scene.said[3] == "drop social-stand-in"


async def test_a_stand_in_that_is_leaving_is_none_for_the_next_restart(state: State) -> None:
    is_back = asyncio.Event()

    async def back() -> bool:
        return is_back.is_set()

    scene = Scene(state, spec("social", back), fault=StartError("its log says why"))
    assert (await scene.ask("social"))["code"] == "RESTART_FAILED"
    scene.drop_s = 0.5
    is_back.set()
    async with asyncio.timeout(60):
        while scene.said[-1] != "drop social-stand-in":
            await asyncio.sleep(0.01)
    (state / RESTART.answer).unlink()
    assert "granted" in await scene.ask("social")
    left = "social-stand-in left"
    assert scene.said[3:] == [left, "add social-stand-in", "restart social", "drop social-stand-in", left]


async def test_nothing_is_ended_while_nobody_stands_in(state: State) -> None:
    scene = Scene(state, spec("social"), spec("social.2"))
    scene.looks_of_stand_in = [True, False]
    answer = await scene.ask("social")
    assert (answer["code"], "nothing was ended" in answer["message"]) == ("RESTART_FAILED", True)
    assert scene.said[:2] == ["add social-stand-in", "restart social"]
    assert "restart social.2" not in scene.said


class Keeper:
    """A process whose children are others at each look."""

    def __init__(self, *looks: set[str]) -> None:
        self._looks = list(looks)

    def children(self) -> list[str]:
        return sorted(self._looks.pop(0))

    @property
    def looks_left(self) -> int:
        return len(self._looks)


@pytest.mark.parametrize(
    "looks", [[{"c", "d"}], [{"a", "b"}, {"a", "b", "c"}, {"b", "c"}, {"b", "c", "d"}, {"c", "d"}]]
)
async def test_workers_are_replaced_when_none_of_those_before_is_left(
    looks: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, "_INTERVAL_S", 0.0)
    keeper = Keeper(*looks)
    await restarts._until_replaced(cast(Any, keeper), cast(Any, {"a", "b"}))
    assert keeper.looks_left == 0


async def test_a_worker_that_does_not_stay_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarts, "_INTERVAL_S", 0.0)
    keeper = Keeper({"a", "b"}, {"a", "b", "c"}, {"a", "b"}, {"a", "b"})
    with pytest.raises(TimeoutError):
        await restarts._until_replaced(cast(Any, keeper), cast(Any, {"a", "b"}))
    assert keeper.looks_left == 1
