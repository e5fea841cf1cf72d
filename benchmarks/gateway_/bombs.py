"""What a gateway computes for requests that are made to be dear, until each is refused: the corpus of the tests."""

import json
from collections.abc import Callable
from functools import partial
from itertools import count

import httpx

from benchmarks.retrieval.run import Row
from tests.integration.gateway.test_bombs import BODIES, DEAREST, DOCUMENTS, VARIABLES

BOUND_S = 0.4
_TIMES = 3


async def measure(port: int, cpu_s: Callable[[], float]) -> list[Row]:
    """Send each of them a few times, as documents that are not known.

    Args:
        port: Of the gateway.
        cpu_s: What its process has computed.
    """
    numbers = count()

    def body(document: str, variables: object = None) -> bytes:
        return json.dumps({"query": f"{document} # {next(numbers)}", "variables": variables or {}}).encode()

    bombs: dict[str, Callable[[], bytes]] = {
        **{f"document: {name}": partial(body, text) for name, text in DOCUMENTS.items()},
        **{f"variables: {name}": partial(body, *pair) for name, pair in VARIABLES.items()},
        **{f"body: {name}": partial(bytes, text) for name, text in BODIES.items()},
    }
    spent: dict[str, float] = {}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:

        async def each_s(make: Callable[[], bytes], *, is_refused: bool = True) -> float:
            before = cpu_s()
            for _ in range(_TIMES):
                answer = await http.post("/graphql", content=make(), headers={"content-type": "application/json"})
                if is_refused and answer.json().get("data") is not None:
                    raise SystemExit(f"this was not refused: {answer.text[:500]}")
            return (cpu_s() - before) / _TIMES

        for name, make in bombs.items():
            spent[name] = await each_s(make)
        let_in_s = await each_s(partial(body, DEAREST), is_refused=False)
    worst = max(spent, key=lambda name: spent[name])
    return [
        Row(f"dearest of {len(spent)} bombs until it is refused", f"{spent[worst]:.2f} s ({worst})", f"< {BOUND_S} s"),
        Row("all of them; the dearest document that is let in", f"{sum(spent.values()):.2f} s; {let_in_s:.2f} s"),
    ]
