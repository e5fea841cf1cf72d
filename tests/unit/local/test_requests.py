"""A switch is asked of the supervisor by one file and answered by another; whoever asks always gets an answer."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

from deploy.local.client import ClientError
from deploy.local.requests import RESTART, SWITCH, Refused, Requests, ask
from deploy.local.state import Pin, State


@pytest.fixture
def state(tmp_path: Path) -> State:
    """The folder of a mesh whose supervisor is this process."""
    found = State.open(tmp_path / "state")
    found.write_json("mesh.json", {"url": "http://127.0.0.1:1", "pid": os.getpid()})
    return found


def supervise(state: State, answer: str | Refused) -> threading.Thread:
    """Answer one request from another thread, as the supervisor does."""
    asked: list[str] = []

    async def grant(choice: str) -> str:
        asked.append(choice)
        if isinstance(answer, Refused):
            raise answer
        return f"{choice} is {answer}"

    async def serve() -> None:
        while not asked:
            await Requests(state).serve(grant)
            await asyncio.sleep(0.01)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    return thread


def test_granted_request_returns_the_encoder_and_leaves_no_request(state: State) -> None:
    supervisor = supervise(state, "encoder-1")
    assert ask(state, "musicnn-mtt") == "musicnn-mtt is encoder-1"
    supervisor.join()
    assert not (state / SWITCH.request).exists()


def test_refused_request_raises_its_code(state: State) -> None:
    supervisor = supervise(state, Refused("ENCODER_UNAVAILABLE", "no encoder 'x'"))
    with pytest.raises(ClientError, match="no encoder 'x'") as caught:
        ask(state, "x")
    supervisor.join()
    assert caught.value.code == "ENCODER_UNAVAILABLE"


def test_second_request_is_refused_while_one_waits(state: State) -> None:
    state.write_json(SWITCH.request, {"request_id": "somebody else's", "choice": "y"})
    with pytest.raises(ClientError) as caught:
        ask(state, "x")
    assert caught.value.code == "SWITCH_UNDER_WAY"
    assert state.read_json(SWITCH.request)["choice"] == "y"
    assert list(state.folder.glob("encoder-request*")) == [state / SWITCH.request]


def test_request_to_a_supervisor_that_is_gone_is_told(state: State) -> None:
    state.write_json("mesh.json", {"url": "http://127.0.0.1:1", "pid": 2**22 + 1})
    with pytest.raises(ClientError, match="does not run any more"):
        ask(state, "x")
    assert not (state / SWITCH.request).exists()


async def test_next_supervisor_forgets_what_was_asked_of_the_last(state: State) -> None:
    state.write_json(SWITCH.request, {"request_id": "old", "choice": "x"})
    Requests(state).clear()

    async def grant(choice: str) -> str:
        raise AssertionError(choice)

    await Requests(state).serve(grant)


async def test_who_asks_after_somebody_gave_up_is_not_forgotten(state: State) -> None:
    granted = []

    async def grant(choice: str) -> str:
        granted.append(choice)
        if choice == "x":  # its asker leaves, and another comes
            (state / SWITCH.request).unlink()
            state.write_json(SWITCH.request, {"request_id": "second", "choice": "y"})
        return choice

    state.write_json(SWITCH.request, {"request_id": "first", "choice": "x"})
    for _ in range(3):
        await Requests(state).serve(grant)
    assert granted == ["x", "y"]
    assert state.read_json(SWITCH.answer) == {"request_id": "second", "granted": "y"}
    assert not (state / SWITCH.request).exists()


def test_pin_remembers_what_to_start_for_every_encoder(state: State) -> None:
    assert Pin.read(state) is None
    Pin("a-1").remember("a-1", "musicnn-msd").remember("b-2", "/models/b").serving("b-2").write(state)
    pin = Pin.read(state)
    assert pin is not None
    assert (pin.encoder_id, pin.choice, pin.choices["a-1"]) == ("b-2", "/models/b", "musicnn-msd")


def test_pin_of_a_library_from_before_switches_is_read(state: State) -> None:
    state.write_json("encoder.json", {"name": "musicnn-msd", "encoder_id": "musicnn-msd-0d2c9d8c6d1f545b"})
    assert Pin.read(state) == Pin("musicnn-msd-0d2c9d8c6d1f545b", {"musicnn-msd-0d2c9d8c6d1f545b": "musicnn-msd"})


def test_requests_of_two_kinds_do_not_meet(state: State) -> None:
    state.write_json(RESTART.request, {"request_id": "somebody else's", "choice": "social"})
    supervisor = supervise(state, "encoder-1")
    assert ask(state, "musicnn-mtt") == "musicnn-mtt is encoder-1"
    supervisor.join()
    with pytest.raises(ClientError, match="`museed restart`") as caught:
        ask(state, "gateway", RESTART)
    assert caught.value.code == "RESTART_UNDER_WAY"
