"""What runs follows social's row: an embedder for each encoder that is kept, in two places, whatever was killed."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.local import encoders
from deploy.local.encoders import Encoders
from deploy.local.ports import Ports
from deploy.local.process import Spec, StartError
from deploy.local.requests import Refused
from deploy.local.state import Pin, State
from museed.social.v1 import encoders_pb2
from services.embedder import artifact

PORTS = Ports(gateway=1, social=2, embedder=3, retriever=4, nats=5, second_embedder=6)
IDS = {"a": "a-1", "b": "b-1", "/models/c": "c-1"}


class Machine:
    """Processes that are only noted, and a social that is only a row."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.running: dict[int, str] = {}
        self.roles = encoders_pb2.EncoderRoles()
        self.asked: list[str] = []
        self.told: list[str] = []
        self.refusal: Refused | None = None

    def spec(self, name: str, port: int, choice: str) -> Spec:
        return Spec(name, [choice, str(port)], self.is_ready)

    async def is_ready(self) -> bool:
        return True

    async def add(self, spec: Spec) -> Spec:
        choice, port = spec.command
        if choice not in IDS:
            raise StartError(f"it ended.\nolder line\nENCODER_UNAVAILABLE: no encoder {choice!r}\nThe whole log: x.log")
        assert int(port) not in self.running
        self.running[int(port)] = choice
        return spec

    async def drop(self, spec: Spec) -> None:
        del self.running[int(spec.command[1])]

    async def describe(self, port: int) -> SimpleNamespace:
        return SimpleNamespace(encoder_id=IDS[self.running[port]])

    async def GetServingEncoder(self, request: object, timeout: float) -> encoders_pb2.GetServingEncoderResponse:
        return encoders_pb2.GetServingEncoderResponse(roles=self.roles)

    def ask_social(self, encoder_id: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.asked.append(encoder_id)
        self.roles.candidate_id = encoder_id


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(State.open(tmp_path / "state"))
    monkeypatch.setattr(encoders, "describe", found.describe)
    return found


async def follower(machine: Machine, choice: str) -> Encoders:
    """The supervisor's side after a start."""
    made = Encoders(machine.state, PORTS, machine.spec, machine.add, machine.drop, machine.told.append)  # type: ignore[arg-type]  # noted, not run
    made._social = machine  # type: ignore[assignment]  # all that is asked of it
    made._ask_social = machine.ask_social  # type: ignore[method-assign]  # no gateway here
    await made.start(choice)
    if Pin.read(machine.state) is None:
        Pin(IDS[choice]).remember(IDS[choice], choice).write(machine.state)
    if not machine.roles.serving_id:
        machine.roles.serving_id = IDS[choice]
    return made


async def test_switch_starts_a_second_embedder_and_tells_social(machine: Machine) -> None:
    made = await follower(machine, "a")
    assert await made._switch("b") == "b-1"
    assert (machine.running, machine.asked) == ({3: "a", 6: "b"}, ["b-1"])
    await made._follow_roles()
    assert machine.running == {3: "a", 6: "b"}
    machine.roles = encoders_pb2.EncoderRoles(serving_id="b-1", previous_id="a-1")
    await made._follow_roles()
    assert machine.running == {3: "a", 6: "b"}
    pin = Pin.read(machine.state)
    assert pin == Pin("b-1", {"a-1": "a", "b-1": "b"})


async def test_next_switch_takes_the_place_of_the_one_before(machine: Machine) -> None:
    made = await follower(machine, "a")
    await made._switch("b")
    machine.roles = encoders_pb2.EncoderRoles(serving_id="b-1", previous_id="a-1")
    await made._switch("/models/c")
    assert machine.running == {3: "/models/c", 6: "b"}
    machine.roles = encoders_pb2.EncoderRoles(serving_id="b-1", previous_id="a-1")  # given up
    await made._follow_roles()
    assert machine.running == {3: "a", 6: "b"}


async def test_killed_supervisor_goes_on_with_the_switch(machine: Machine) -> None:
    await (await follower(machine, "a"))._switch("b")
    machine.running.clear()
    made = await follower(machine, "a")
    await made._follow_roles()
    assert machine.running == {3: "a", 6: "b"}


async def test_row_that_changed_before_the_kill_wins_over_the_pin(machine: Machine) -> None:
    await (await follower(machine, "a"))._switch("b")
    machine.running.clear()
    machine.roles = encoders_pb2.EncoderRoles(serving_id="b-1", previous_id="a-1")
    made = await follower(machine, "a")
    await made._follow_roles()
    assert machine.running == {3: "a", 6: "b"}
    pin = Pin.read(machine.state)
    assert pin is not None
    assert pin.encoder_id == "b-1"


async def test_encoder_of_an_earlier_version_is_started_from_its_copy(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = machine.state / "models" / "b-1"
    monkeypatch.setitem(IDS, str(copy), "b-1")
    made = await follower(machine, "a")
    await made._switch("b")
    machine.roles = encoders_pb2.EncoderRoles(serving_id="a-1", previous_id="b-1")
    copy.mkdir(parents=True)
    monkeypatch.setattr(artifact, "open_artifact", lambda folder: None)  # a sound one
    machine.running.clear()
    again = await follower(machine, "a")
    await again._follow_roles()
    assert machine.running == {3: "a", 6: str(copy)}


@pytest.mark.parametrize(
    ("choice", "code"), [("nobody", "ENCODER_UNAVAILABLE"), ("b", "SWITCH_UNDER_WAY"), ("a", "ENCODER_ALREADY_SERVING")]
)
async def test_refused_switch_leaves_what_ran(machine: Machine, choice: str, code: str) -> None:
    made = await follower(machine, "a")
    await made._switch("/models/c")
    if code != "SWITCH_UNDER_WAY":
        machine.roles = encoders_pb2.EncoderRoles(serving_id="a-1", previous_id="c-1")
    with pytest.raises(Refused) as caught:
        await made._switch(choice)
    assert caught.value.code == code
    await made._follow_roles()
    assert machine.running == {3: "a", 6: "/models/c"}


async def test_what_social_refuses_is_stopped_again(machine: Machine) -> None:
    made = await follower(machine, "a")
    machine.refusal = Refused("PERMISSION_DENIED", "admins only")
    with pytest.raises(Refused, match="admins only"):
        await made._switch("b")
    await made._follow_roles()
    assert machine.running == {3: "a"}


async def test_encoder_that_cannot_be_found_again_is_told_and_tried_later(machine: Machine) -> None:
    made = await follower(machine, "a")
    machine.roles = encoders_pb2.EncoderRoles(serving_id="a-1", candidate_id="lost-1")
    await made._follow_roles()
    await made._follow_roles()
    assert machine.running == {3: "a"}
    assert [text for text in machine.told if "lost-1" in text] == machine.told
    assert len(machine.told) == 1
