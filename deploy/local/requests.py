"""How `museed encoder switch` and `museed restart` ask the supervisor: by two files of the state folder each."""

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import psutil
from uuid_utils.compat import uuid7

from deploy.local.client import ClientError
from deploy.local.state import State

_POLL_INTERVAL_S = 0.1


class Refused(Exception):
    """A request that was not granted; the code is for programs, the text for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Kind:
    """What is asked for.

    Attributes:
        name: Of its files.
        command: What asks.
        busy: Code of a request while another one waits.
    """

    name: str
    command: str
    busy: str

    @property
    def request(self) -> str:
        """File of the request."""
        return f"{self.name}-request.json"

    @property
    def answer(self) -> str:
        """File of the answer."""
        return f"{self.name}-answer.json"


SWITCH = Kind("encoder", "museed encoder switch", "SWITCH_UNDER_WAY")
RESTART = Kind("restart", "museed restart", "RESTART_UNDER_WAY")


class Requests:
    """The supervisor's side.

    Args:
        state: Where the files are.
        kind: Which ones.
    """

    def __init__(self, state: State, kind: Kind = SWITCH) -> None:
        self._state = state
        self._kind = kind

    def clear(self) -> None:
        """Forget what was asked of a supervisor before this one: who asked has been told that it is gone."""
        for name in (self._kind.request, self._kind.answer):
            (self._state / name).unlink(missing_ok=True)

    async def serve(self, grant: Callable[[str], Awaitable[str]]) -> None:
        """Answer the request that waits, where there is one.

        Args:
            grant: Takes what was chosen and returns what came of it, or raises Refused.
        """
        request = self._state.read_json(self._kind.request)
        if request is None:
            return
        answer: dict[str, str] = {"request_id": request["request_id"]}
        try:
            answer["granted"] = await grant(request["choice"])
        except Refused as refusal:
            answer |= {"code": refusal.code, "message": str(refusal)}
        self._state.write_json(self._kind.answer, answer)
        # Whoever asked may have given up meanwhile, and somebody else have asked.
        if (self._state.read_json(self._kind.request) or {}).get("request_id") == answer["request_id"]:
            (self._state / self._kind.request).unlink(missing_ok=True)


def ask(state: State, choice: str, kind: Kind = SWITCH) -> str:
    """Ask the supervisor of a state folder for something; blocks until it is done, or is not.

    Returns:
        Of a switch the encoder's id, whose embedder has started: from now on social switches, whoever waits for it.
        Of a restart what was started again.

    Raises:
        ClientError: Refused, with the reason; or the supervisor is gone.
    """
    request_id = str(uuid7())
    draft = f"{kind.request}.{request_id}"
    state.write_json(draft, {"request_id": request_id, "choice": choice})
    try:
        os.link(state / draft, state / kind.request)
    except FileExistsError:
        raise ClientError(f"another `{kind.command}` waits for its answer", kind.busy) from None
    finally:
        (state / draft).unlink()
    try:
        return _answer(state, request_id, kind)
    except KeyboardInterrupt:
        (state / kind.request).unlink(missing_ok=True)  # the supervisor may have begun: then it goes on
        raise


def _answer(state: State, request_id: str, kind: Kind) -> str:
    while True:
        answer = state.read_json(kind.answer)
        if answer is not None and answer["request_id"] == request_id:
            break
        mesh = state.read_json("mesh.json")
        if mesh is None or not psutil.pid_exists(mesh["pid"]):
            (state / kind.request).unlink(missing_ok=True)
            raise ClientError(f"the mesh in {state.folder} does not run any more: start it with museed up")
        time.sleep(_POLL_INTERVAL_S)
    if "code" in answer:
        raise ClientError(answer["message"], answer["code"])
    granted: str = answer["granted"]
    return granted
