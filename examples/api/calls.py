"""The requests that examples stand for, with `$NAMES` in place of what is known only when they run."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from examples.api.guide import Example

_NAME = re.compile(r"\$([A-Z][A-Z_]+)")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Call:
    """A request over HTTP.

    Attributes:
        method: Of HTTP.
        url: Address; `$MUSEED` is where the mesh is.
        headers: By name.
        body: Text; None where a file is sent, or nothing.
        file: Variable that names the file.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: str | None = None
    file: str = ""


def call_of(example: Example) -> Call:
    """Return the request of an example that goes over no socket."""
    if not example.is_graphql:
        url = f"$MUSEED{example.path}" if example.path.startswith("/") else example.path
        return Call(example.method, url, example.headers, file=example.file)
    headers = {"Content-Type": "application/json"}
    if example.caller:
        headers = {"Authorization": f"Bearer ${example.caller}", **headers}
    body = f'{{"query": {json.dumps(example.one_line)}, "variables": {example.variables}}}'
    return Call("POST", "$MUSEED/graphql", headers, body)


def frames_of(example: Example) -> tuple[str, str]:
    """Return what is sent over a socket: who one is, and what is subscribed to."""
    init = f'{{"type": "connection_init", "payload": {{"authorization": "Bearer ${example.caller}"}}}}'
    payload = f'{{"query": {json.dumps(example.one_line)}, "variables": {example.variables}}}'
    return init, f'{{"id": "1", "type": "subscribe", "payload": {payload}}}'


def filled(text: str, values: Mapping[str, str]) -> str:
    """Put values in the place of `$NAMES`.

    Raises:
        KeyError: Nothing was kept under a name.
    """
    return _NAME.sub(lambda found: values[found[1]], text)


def names_in(text: str) -> list[str]:
    """Return the `$NAMES` of a text in order, without the `$`."""
    return _NAME.findall(text)


def looked_up(answer: object, path: str) -> object:
    """Follow a path of jq, made of `.name` and `[0]` only; None where it leads nowhere."""
    found = answer
    for name, index in _STEP.findall(path):
        if name and isinstance(found, dict):
            found = found.get(name)
        elif index and isinstance(found, list) and int(index) < len(found):
            found = found[int(index)]
        else:
            return None
    return found
