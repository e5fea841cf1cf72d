"""Runs an embedder for each encoder that social keeps up to date, and starts another where a switch is asked for.

Social's row says which encoder is for what; this side only knows what to start for an encoder, and where. It follows
that row, so a supervisor that was killed in the midst of a switch goes on where the row stands.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from clients.python import operations
from clients.python.operations import SwitchEncoderInput
from deploy.local import account
from deploy.local.client import ClientError, GatewayClient, accepted
from deploy.local.ports import LOOPBACK, Ports
from deploy.local.process import Spec, StartError, SupervisedProcess
from deploy.local.requests import Refused, Requests
from deploy.local.shipped_model import keep_shipped, startable
from deploy.local.state import Pin, State
from museed.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from museed.social.v1 import encoders_pb2, encoders_pb2_grpc
from services.chassis.channel import connect
from services.chassis.errors import DomainError

_INTERVAL_S = 0.5
_CALL_TIMEOUT_S = 10.0
_RETRY_S = 30.0
# What an embedder that cannot load its encoder says last; below it stands where the log is.
_REASON = re.compile(r"^([A-Z][A-Z_]+): (.+)$")


@dataclass
class _Slot:
    """A place for an embedder: its address never changes, what runs there does."""

    name: str
    port: int
    encoder_id: str = ""
    process: SupervisedProcess | None = None


async def describe(port: int) -> embedder_pb2.DescribeModelResponse:
    """Ask an embedder which encoder it serves.

    Raises:
        DomainError: It does not answer.
    """
    async with connect(f"{LOOPBACK}:{port}") as channel:
        stub = embedder_pb2_grpc.EmbedderServiceStub(channel)
        return await stub.DescribeModel(embedder_pb2.DescribeModelRequest(), timeout=_CALL_TIMEOUT_S)


class Encoders:
    """The embedders of a mesh: two places, of which one serves, and the other hears for what comes next or was before.

    Args:
        state: Holds the pin, and the requests of `museed encoder switch`.
        ports: Where everything listens.
        spec: Describes an embedder by name, port and choice of encoder.
        add: Starts and supervises a process; raises StartError.
        drop: Ends a process.
        announce: Called with sentences for people.
    """

    def __init__(
        self,
        state: State,
        ports: Ports,
        spec: Callable[[str, int, str], Spec],
        add: Callable[[Spec], Awaitable[SupervisedProcess]],
        drop: Callable[[SupervisedProcess], Awaitable[None]],
        announce: Callable[[str], None],
    ) -> None:
        self._state = state
        self._ports = ports
        self._spec = spec
        self._add = add
        self._drop = drop
        self._announce = announce
        self._slots = (_Slot("embedder", ports.embedder), _Slot("embedder-2", ports.second_embedder))
        self._not_before: dict[str, float] = {}
        self._requests = Requests(state)
        self._social: encoders_pb2_grpc.EncoderServiceAsyncStub | None = None  # a name of the type hints only

    async def start(self, choice: str) -> embedder_pb2.DescribeModelResponse:
        """Start the first embedder and return what it serves.

        Raises:
            StartError: It does not start.
        """
        slot = self._slots[0]
        slot.process = await self._add(self._spec(slot.name, slot.port, choice))
        model = await describe(slot.port)
        slot.encoder_id = model.encoder_id
        return model

    async def follow(self) -> None:
        """Follow social and serve requests for ever; whatever fails is tried again."""
        self._requests.clear()
        async with connect(f"{LOOPBACK}:{self._ports.social}") as channel:
            self._social = encoders_pb2_grpc.EncoderServiceStub(channel)
            while True:
                with contextlib.suppress(DomainError, StartError, OSError):  # a part that is away, a full disk
                    await self._requests.serve(self._switch)
                    await self._follow_roles()
                await asyncio.sleep(_INTERVAL_S)

    async def _follow_roles(self) -> None:
        roles = await self._roles()
        if not roles.serving_id:
            return
        pin = Pin.read(self._state)
        if pin is not None and pin.encoder_id != roles.serving_id and roles.serving_id in pin.choices:
            pin.serving(roles.serving_id).write(self._state)
            self._announce(f"encoder {roles.serving_id} is served now")
        wanted = [one for one in (roles.serving_id, roles.candidate_id or roles.previous_id) if one]
        for slot in self._slots:
            if slot.process is not None and slot.encoder_id not in wanted:
                await self._stop(slot)
        for encoder_id in wanted:
            if all(slot.encoder_id != encoder_id for slot in self._slots):
                await self._start_again(encoder_id)

    async def _start_again(self, encoder_id: str) -> None:
        """Start the embedder of an encoder that was served here before; where it fails, try again later."""
        if time.monotonic() < self._not_before.get(encoder_id, 0.0):
            return
        pin = Pin.read(self._state)
        choice = pin.choices.get(encoder_id) if pin is not None else None
        slot = next(slot for slot in self._slots if slot.process is None)
        try:
            if choice is None:
                raise StartError(f"nothing in {self._state.folder} says where encoder {encoder_id} lies")
            found = await self._launch(slot, await asyncio.to_thread(startable, self._state, encoder_id, choice))
            if found != encoder_id:
                await self._stop(slot)
                raise StartError(f"{choice} is encoder {found} now, and was {encoder_id}: put the old one back")
        except (StartError, DomainError) as error:
            self._not_before[encoder_id] = time.monotonic() + _RETRY_S
            self._announce(f"encoder {encoder_id} cannot be started, trying again later: {error}")

    async def _switch(self, choice: str) -> str:
        """Start an encoder beside the one that is served, and have social switch to it; returns its id.

        Raises:
            Refused: With a code and what to do.
        """
        try:
            roles = await self._roles()
            if roles.candidate_id:
                raise Refused(
                    "SWITCH_UNDER_WAY",
                    f"a switch to {roles.candidate_id} is under way. Wait for its end (museed encoder list), "
                    "or give it up: museed encoder rollback",
                )
            slot = next(slot for slot in self._slots if slot.encoder_id != roles.serving_id)
            await self._stop(slot)
            encoder_id = await self._launch(slot, choice)
            await asyncio.to_thread(keep_shipped, self._state, encoder_id)
        except DomainError as error:
            raise Refused(error.reason, error.message) from error
        except StartError as error:
            raise _refusal(error) from error
        if encoder_id == roles.serving_id:
            await self._stop(slot)
            raise Refused("ENCODER_ALREADY_SERVING", f"{choice} is {encoder_id}, which is served already")
        pin = Pin.read(self._state)
        assert pin is not None, "a mesh that runs has a pin"
        pin.remember(encoder_id, choice).write(self._state)
        await asyncio.to_thread(self._ask_social, encoder_id)
        self._announce(f"switching to encoder {encoder_id}: it hears the library while {roles.serving_id} serves")
        return encoder_id

    def _ask_social(self, encoder_id: str) -> None:
        try:
            with GatewayClient(self._ports.url, account.operator(self._state)) as client:
                accepted(operations.switch_encoder(client, SwitchEncoderInput(encoder_id=encoder_id)))
        except ClientError as error:
            raise Refused(error.code, str(error)) from error

    async def _launch(self, slot: _Slot, choice: str) -> str:
        slot.process = await self._add(self._spec(slot.name, slot.port, choice))
        slot.encoder_id = (await describe(slot.port)).encoder_id
        return slot.encoder_id

    async def _stop(self, slot: _Slot) -> None:
        process, slot.process, slot.encoder_id = slot.process, None, ""
        if process is not None:
            await self._drop(process)

    async def _roles(self) -> encoders_pb2.EncoderRoles:
        assert self._social is not None, "asked while it follows"
        request = encoders_pb2.GetServingEncoderRequest()
        return (await self._social.GetServingEncoder(request, timeout=_CALL_TIMEOUT_S)).roles


def _refusal(error: StartError) -> Refused:
    said = _REASON.match(str(error).splitlines()[-2:][0])
    return Refused(said[1], said[2]) if said else Refused("ENCODER_DID_NOT_START", str(error))
