"""What does the gateway cost by itself?

page: The generator first shows what it can do at all, against a server that answers without reading. Then a playlist
page of 25 tracks with its owner is asked for by one signed-in user: from one gateway worker whose upstreams are
functions in its own process, and from a bare Strawberry worker under the same server that has the same JSON in memory.
Own time of an answer is what the worker does for it and does not wait for: at one caller what the caller waits beyond
what the echo server takes, and at any rate what the process computes, without what the functions behind it compute.
Waiting for other callers is in no own time; what callers at half of the ceiling wait all in all stands beside it.
bombs: what requests compute until they are refused that are made to be dear. worker: a worker from its start to the
first answer, and its memory. overload, subscriptions, ranges: see `benchmarks/gateway_`; narrow: overload over services
behind that refuse what they have no place for.

Usage: python -m benchmarks.gateway [--only PART] [--seconds 5] [--callers 8] [--rounds 5]
"""

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import psutil

from benchmarks.gateway_.bare import DOCUMENT
from benchmarks.gateway_.generator import Heard, post_at_rate, post_in_turn, request_bytes
from benchmarks.gateway_.inside import furnished
from benchmarks.retrieval.run import Row
from tests.conftest import free_port

_TURNS = 3


@dataclass(frozen=True, slots=True)
class Bench:
    """What all parts are given."""

    seconds: float
    callers: int
    rounds: int
    loads: ProcessPoolExecutor

    def post_at_rate(self, port: int, body: bytes, token: str, rate: float) -> Heard:
        """Let them post at a rate, whatever the answers take."""
        request = request_bytes(port, body, token)
        return self.loads.submit(post_at_rate, port, request, 4 * self.callers, self.seconds, rate).result()

    def post(self, port: int, body: bytes, token: str = "", callers: int | None = None) -> Heard:
        """Let callers in another process post for some time."""
        heard = self.loads.submit(
            post_in_turn, port, request_bytes(port, body, token), callers or self.callers, self.seconds
        ).result()
        if heard.refused:
            raise SystemExit(f"{heard.refused} requests were refused: {heard.body[:500]!r}")
        return heard


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: where it listens, and what it told."""

    port: int
    told: dict[str, Any]
    process: psutil.Process

    def cpu_s(self) -> float:
        """Seconds that it has computed."""
        times = self.process.cpu_times()
        return times.user + times.system


@contextlib.contextmanager
def serving(kind: str) -> Iterator[Server]:
    """Run a server until the context ends."""
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.gateway_.serve", kind, str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"the {kind} server did not start")
            yield Server(port, json.loads(line), psutil.Process(process.pid))
        finally:
            process.terminate()


def page(bench: Bench) -> Sequence[Row]:
    """A playlist page of 25 tracks: calls upstream, time of its own, and the rate beside a bare Strawberry's."""
    body = json.dumps({"query": DOCUMENT, "variables": {"id": furnished()[1]}}).encode()
    with serving("echo") as server:
        echo, echo_alone = bench.post(server.port, body), bench.post(server.port, body, callers=1)
    with serving("bare") as bare_server, serving("gateway") as server:
        token = server.told["token"]
        alone = bench.post(server.port, body, token, callers=1)
        # Turn by turn, so that both have the same machine.
        gateway, bare, cpu_s, bare_cpu_s = [], [], 0.0, 0.0
        _told(server.port)
        for _ in range(_TURNS):
            began = server.cpu_s(), bare_server.cpu_s()
            gateway.append(bench.post(server.port, body, token))
            bare.append(bench.post(bare_server.port, body))
            cpu_s += server.cpu_s() - began[0]
            bare_cpu_s += bare_server.cpu_s() - began[1]
        behind_ms = 1e3 * _told(server.port)["computed_s"] / _answers(gateway)
        rate = float(np.median([heard.rate for heard in gateway]))
        half = bench.post_at_rate(server.port, body, token, rate / 2)
        data, calls = _once(server, body)
    if data != json.loads(bare[-1].body)["data"]:
        raise SystemExit("the gateway and the bare server do not answer the same")
    bare_rate = float(np.median([heard.rate for heard in bare]))
    each_ms, bare_ms = 1e3 * cpu_s / _answers(gateway), 1e3 * bare_cpu_s / _answers(bare)
    own_ms = alone.percentile_ms(50) - echo_alone.percentile_ms(50)
    return [
        Row("the generator's ceiling against an echo server", f"{echo.rate:.0f}/s, {echo.rate / rate:.0f} ×", "≥ 10 ×"),
        Row("calls upstream", " + ".join(sorted(calls)), f"{sum(calls.values())} ≤ 3"),
        Row("time of its own, one caller: p50, p95", f"{own_ms:.1f}, {alone.percentile_ms(95):.1f} ms", "≤ 5 ms"),
        Row(
            f"time of its own, {bench.callers} callers: computed for an answer",
            f"{each_ms - behind_ms:.1f} ms, and {behind_ms:.1f} behind it; bare Strawberry {bare_ms:.1f}",
            "≤ 5 ms",
        ),
        Row(
            "at half of the ceiling: p50, p95 with the queue",
            f"{half.rate:.0f}/s: {half.percentile_ms(50):.1f}, {half.percentile_ms(95):.1f} ms",
        ),
        Row(f"{bench.callers} callers: gateway; bare Strawberry", f"{rate:.0f}/s; {bare_rate:.0f}/s"),
        Row("of the bare one's rate", f"{rate / bare_rate:.2f} ×", "≥ 0.5 ×"),
    ]


def _answers(heard: Sequence[Heard]) -> int:
    return sum(each.all_answers for each in heard)


def _once(server: Server, body: bytes) -> tuple[Any, dict[str, int]]:
    """Ask for the page once; return what came, and the calls upstream that it took."""
    _told(server.port)
    headers = {"content-type": "application/json", "authorization": f"Bearer {server.told['token']}"}
    with urllib.request.urlopen(
        urllib.request.Request(f"http://127.0.0.1:{server.port}/graphql", body, headers)
    ) as answer:
        return json.load(answer)["data"], _told(server.port)["calls"]


def _told(port: int) -> dict[str, Any]:
    """Return what the gateway called, and what the functions behind it computed, since this was last asked."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/told") as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def bombs(bench: Bench) -> Sequence[Row]:
    """Requests that are made to be dear, over the same gateway: what each computes until it is refused."""
    from benchmarks.gateway_.bombs import measure as measure_bombs

    with serving("gateway") as server:
        return asyncio.run(measure_bombs(server.port, server.cpu_s))


def overload(bench: Bench) -> Iterator[Row]:
    """A page at half of the peak to five times that, over kept connections and over a new one for each request."""
    from benchmarks.gateway_.overload import measure as measure_overload

    body = json.dumps({"query": DOCUMENT, "variables": {"id": furnished()[1]}}).encode()
    with serving("echo") as echo, serving("gateway") as server:
        yield from measure_overload(bench.loads, echo, server, body, bench.seconds)


def narrow(bench: Bench) -> Iterator[Row]:
    """The same over services that answer 133 calls a second, and refuse more than 64 at once."""
    from benchmarks.gateway_.overload import measure as measure_overload

    body = json.dumps({"query": DOCUMENT, "variables": {"id": furnished()[1]}}).encode()
    with serving("echo") as echo, serving("narrow") as server:
        yield from measure_overload(bench.loads, echo, server, body, bench.seconds)


def worker(bench: Bench) -> Sequence[Row]:
    """One worker as `python -m services.gateway` starts it."""
    from benchmarks.gateway_.worker import measure as measure_worker

    return measure_worker(bench.rounds)


def subscriptions(bench: Bench) -> Sequence[Row]:
    """Memory of 1,000 open subscriptions, and how soon an event is with all."""
    from benchmarks.gateway_.subscriptions import measure as measure_subscriptions

    return measure_subscriptions()


def ranges(bench: Bench) -> Sequence[Row]:
    """20 ranges at once beside a plain file of the same server."""
    from benchmarks.gateway_.ranges import measure as measure_ranges

    return [Row(*row) for row in asyncio.run(measure_ranges(bench.seconds / 2, bench.rounds))]


PARTS: dict[str, Callable[[Bench], Iterable[Row]]] = {
    "page": page, "overload": overload, "bombs": bombs, "worker": worker, "subscriptions": subscriptions,
    "ranges": ranges, "narrow": narrow,
}  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--seconds", type=float, default=5, help="of each load")
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5, help="of ranges, and of starts")
    chosen = parser.parse_args()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as loads:
        bench = Bench(chosen.seconds, chosen.callers, chosen.rounds, loads)
        for name, part in PARTS.items():
            if chosen.only in (None, name):
                for row in part(bench):
                    print(f"{row.what:<56} {row.figure:>56} {row.goal:>9}", flush=True)


if __name__ == "__main__":
    main()
