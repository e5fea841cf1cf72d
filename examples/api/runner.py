"""Runs the examples in order against a mesh, and keeps what later ones need. Blocks; knows nothing of pages."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from uuid_utils.compat import uuid4
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from examples.api.calls import call_of, filled, frames_of, looked_up
from examples.api.guide import Example

# Of one request, and of one that is repeated until there is something to see; far more than any takes.
_TIMEOUT_S = 60.0
_PATIENCE_S = 120.0
_PAUSE_S = 0.2
_TEXT_BYTES = 100_000

Answer = dict[str, Any]


class ExampleFailed(Exception):
    """An example did not bring what the page promises; the text says which, and what came."""


@dataclass
class Runner:
    """One run through all examples.

    Args:
        values: Variables: MUSEED (where the mesh is), WORDS (what is searched), FILE (what is uploaded) and OPERATOR
            (their password).
        on_answer: Told each example that was answered.
    """

    values: dict[str, str]
    on_answer: Callable[[Example], None] = lambda _: None
    answers: dict[str, Answer] = field(default_factory=dict)

    def run(self, examples: Iterable[Example]) -> dict[str, Answer]:
        """Run them and return their answers by name.

        Raises:
            ExampleFailed: One of them was not answered as it should be.
        """
        with httpx.Client(timeout=_TIMEOUT_S) as client:
            for example in examples:
                self.values |= {name: self._made(how) for name, how in example.make.items()}
                answer = self._followed(example) if example.live else self._answered(client, example)
                self._keep(example, answer)
                self.answers[example.name] = answer
                self.on_answer(example)
        return self.answers

    def _made(self, how: str) -> str:
        what, _, where = how.partition(" of ")
        if what == "uuid":
            return str(uuid4())
        if what == "now":
            return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return str(Path(self.values[where]).stat().st_size)

    def _answered(self, client: httpx.Client, example: Example) -> Answer:
        give_up_at = time.monotonic() + _PATIENCE_S
        while True:
            answer = self._answer(client, example)
            if not example.until or looked_up(answer["body"], example.until) is not None:
                return answer
            if time.monotonic() > give_up_at:
                raise ExampleFailed(f"{example.name}: {example.until} is still not there: {answer['body']}")
            time.sleep(_PAUSE_S)

    def _answer(self, client: httpx.Client, example: Example) -> Answer:
        call = call_of(example)
        content = None if call.body is None else filled(call.body, self.values).encode()
        if call.file:
            content = Path(self.values[call.file]).read_bytes()
        headers = {name: filled(value, self.values) for name, value in call.headers.items()}
        response = client.request(call.method, filled(call.url, self.values), headers=headers, content=content)
        if example.is_graphql:
            body = response.json()
            if not example.cost:
                _strip(body)
            return {"body": body}
        answer: Answer = {"status": f"{response.status_code} {response.reason_phrase}"}
        missing = [name for name in example.show if name not in response.headers]
        if missing:
            raise ExampleFailed(f"{example.name}: {response.status_code} without {missing}: {response.text[:500]}")
        answer["headers"] = {name: response.headers[name] for name in example.show}
        is_json = response.headers.get("content-type", "").startswith("application/json")
        answer["body"] = response.json() if is_json and len(response.content) < _TEXT_BYTES else None
        return answer

    def _followed(self, example: Example) -> Answer:
        init, subscribe = (filled(frame, self.values) for frame in frames_of(example))
        came: list[Any] = []
        url = "ws" + self.values["MUSEED"].removeprefix("http") + "/graphql"
        with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
            socket.send(init)
            came.append(json.loads(socket.recv(_TIMEOUT_S)))
            socket.send(subscribe)
            while not _is_enough(came[-1], example):
                frame = json.loads(socket.recv(_TIMEOUT_S))
                if frame["type"] != "ping":  # comes by the clock
                    _strip(frame.get("payload"))
                    came.append(frame)
        return {"frames": came}

    def _keep(self, example: Example, answer: Answer) -> None:
        shown = _last_event(answer) if example.live else answer["body"]
        for name, where in example.keep.items():
            found = looked_up(shown, where) if where.startswith(".") else answer["headers"].get(where)
            if found is None:
                raise ExampleFailed(f"{example.name}: {where} is not in the answer: {answer}")
            self.values[name] = str(found)
        if len({self.values[name] for name in example.same}) > 1:
            raise ExampleFailed(f"{example.name}: {' and '.join(example.same)} should be the same")


def _is_enough(frame: Mapping[str, Any], example: Example) -> bool:
    if frame["type"] in ("complete", "error"):
        return True
    return bool(example.until) and looked_up(frame.get("payload"), example.until) is not None


def _strip(payload: object) -> None:
    """Leave out what an event cost, which the page tells once."""
    if isinstance(payload, dict):
        payload.pop("extensions", None)


def _last_event(answer: Answer) -> Mapping[str, Any]:
    events = [frame["payload"] for frame in answer["frames"] if frame["type"] == "next"]
    if not events:
        raise ExampleFailed(f"nothing came over the socket: {answer}")
    found: Mapping[str, Any] = events[-1]
    return found
