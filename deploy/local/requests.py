"""How `museed encoder switch` asks the supervisor to start an embedder: by two files of the state folder."""

import os
import time
from collections.abc import Awaitable, Callable

import psutil
from uuid_utils.compat import uuid7

from deploy.local.client import ClientError
from deploy.local.state import State

REQUEST = "encoder-request.json"
ANSWER = "encoder-answer.json"
_POLL_INTERVAL_S = 0.1


class Refused(Exception):
    """A request that was not granted; the code is for programs, the text for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Requests:
    """The supervisor's side.

    Args:
        state: Where the files are.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def clear(self) -> None:
        """Forget what was asked of a supervisor before this one: who asked has been told that it is gone."""
        for name in (REQUEST, ANSWER):
            (self._state / name).unlink(missing_ok=True)

    async def serve(self, grant: Callable[[str], Awaitable[str]]) -> None:
        """Answer the request that waits, where there is one.

        Args:
            grant: Takes the choice of an encoder and returns its id, or raises Refused.
        """
        request = self._state.read_json(REQUEST)
        if request is None:
            return
        answer: dict[str, str] = {"request_id": request["request_id"]}
        try:
            answer["encoder_id"] = await grant(request["choice"])
        except Refused as refusal:
            answer |= {"code": refusal.code, "message": str(refusal)}
        self._state.write_json(ANSWER, answer)
        (self._state / REQUEST).unlink(missing_ok=True)


def ask(state: State, choice: str) -> str:
    """Ask the supervisor of a state folder to switch to an encoder; blocks until its embedder has started, or has not.

    Returns:
        The encoder's id: from now on social switches, whoever waits for it.

    Raises:
        ClientError: Refused, with the reason; or the supervisor is gone.
    """
    request_id = str(uuid7())
    draft = f"{REQUEST}.{request_id}"
    state.write_json(draft, {"request_id": request_id, "choice": choice})
    try:
        os.link(state / draft, state / REQUEST)
    except FileExistsError:
        raise ClientError("another `museed encoder switch` waits for its answer", "SWITCH_UNDER_WAY") from None
    finally:
        (state / draft).unlink()
    try:
        return _answer(state, request_id)
    except KeyboardInterrupt:
        (state / REQUEST).unlink(missing_ok=True)  # the supervisor may have begun: then it goes on
        raise


def _answer(state: State, request_id: str) -> str:
    while True:
        answer = state.read_json(ANSWER)
        if answer is not None and answer["request_id"] == request_id:
            break
        mesh = state.read_json("mesh.json")
        if mesh is None or not psutil.pid_exists(mesh["pid"]):
            (state / REQUEST).unlink(missing_ok=True)
            raise ClientError(f"the mesh in {state.folder} does not run any more: start it with museed up")
        time.sleep(_POLL_INTERVAL_S)
    if "code" in answer:
        raise ClientError(answer["message"], answer["code"])
    encoder_id: str = answer["encoder_id"]
    return encoder_id
