"""What does the gateway cost by itself?

The generator first shows what it can do at all, against a server that answers without reading. Then a playlist page of
25 tracks with its owner is asked for by one signed-in user: from one gateway worker whose upstreams are functions in
its own process, and from a bare Strawberry worker under the same server that has the same JSON in memory.

Usage: python -m benchmarks.gateway [--only PART] [--seconds 5] [--callers 8]
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from benchmarks.gateway_.bare import DOCUMENT
from benchmarks.gateway_.generator import Heard, post_in_turn, request_bytes
from benchmarks.gateway_.inside import furnished
from benchmarks.retrieval.run import Row
from tests.conftest import free_port


@dataclass(frozen=True, slots=True)
class Bench:
    """What all parts are given."""

    seconds: float
    callers: int
    loads: ProcessPoolExecutor

    def post(self, port: int, body: bytes, token: str = "", callers: int | None = None) -> Heard:
        """Let callers in another process post for some time."""
        heard = self.loads.submit(
            post_in_turn, port, request_bytes(port, body, token), callers or self.callers, self.seconds
        ).result()
        if heard.refused:
            raise SystemExit(f"{heard.refused} requests were refused: {heard.body[:500]!r}")
        return heard


@contextlib.contextmanager
def serving(kind: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Run a server until the context ends; yields its port and what it told."""
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.gateway_.serve", kind, str(port)], stdout=subprocess.PIPE, env=os.environ
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"the {kind} server did not start")
            yield port, json.loads(line)
        finally:
            process.terminate()


def page(bench: Bench) -> Sequence[Row]:
    """A playlist page of 25 tracks: calls upstream, time of its own, and the rate beside a bare Strawberry's."""
    body = json.dumps({"query": DOCUMENT, "variables": {"id": furnished()[1]}}).encode()
    with serving("echo") as (port, _):
        echo, echo_alone = bench.post(port, body), bench.post(port, body, callers=1)
    with serving("gateway") as (port, told):
        alone = bench.post(port, body, told["token"], callers=1)
        many = bench.post(port, body, told["token"])
        _calls(port)
        once = urllib.request.Request(
            f"http://127.0.0.1:{port}/graphql",
            body,
            {"content-type": "application/json", "authorization": f"Bearer {told['token']}"},
        )
        with urllib.request.urlopen(once) as answer:
            data = json.load(answer)["data"]
        calls = _calls(port)
    with serving("bare") as (port, _):
        bare = bench.post(port, body)
    if data != json.loads(bare.body)["data"]:
        raise SystemExit("the gateway and the bare server do not answer the same")
    own_ms = alone.percentile_ms(50) - echo_alone.percentile_ms(50)
    return [
        Row(
            "the generator's ceiling against an echo server",
            f"{echo.rate:.0f}/s, {echo.rate / many.rate:.0f} ×",
            "≥ 10 ×",
        ),
        Row("calls upstream", " + ".join(sorted(calls)), f"{sum(calls.values())} ≤ 3"),
        Row("time of its own, one caller: p50, p95", f"{own_ms:.1f}, {alone.percentile_ms(95):.1f} ms", "≤ 5 ms"),
        Row(f"{bench.callers} callers: gateway; bare Strawberry", f"{many.rate:.0f}/s; {bare.rate:.0f}/s"),
        Row("of the bare one's rate", f"{many.rate / bare.rate:.2f} ×", "≥ 0.5 ×"),
    ]


def _calls(port: int) -> dict[str, int]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/calls") as answer:
        found: dict[str, int] = json.load(answer)
    return found


PARTS: dict[str, Callable[[Bench], Sequence[Row]]] = {"page": page}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--seconds", type=float, default=5, help="of each load")
    parser.add_argument("--callers", type=int, default=8)
    chosen = parser.parse_args()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as loads:
        bench = Bench(chosen.seconds, chosen.callers, loads)
        for name, part in PARTS.items():
            if chosen.only in (None, name):
                for row in part(bench):
                    print(f"{row.what:<56} {row.figure:>56} {row.goal:>9}", flush=True)


if __name__ == "__main__":
    main()
