"""What a worker does when more is asked of it than it can: an open rate, from half of its peak to five times that.

Requests are sent when they are due, whatever became of those before; latencies count from then, so what waits in the
kernel, or in a generator that is late, is in them. Each kind of connection has its own peak: callers that send in turn,
before and after each rate. Only what is answered while requests are sent counts as served. Beside the share of the peak
by the clock, which other work of the machine moves, is that of answers for a second that the worker computed.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np
import uvloop

from benchmarks.gateway_.generator import request_bytes
from benchmarks.gateway_.sender import Answer, Connections
from benchmarks.retrieval.run import Row

if TYPE_CHECKING:
    from benchmarks.gateway import Server

TIMES = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0)
_CALLERS = 16
# Of the highest rate, each between two looks at the peak.
_TURNS = 5
_LONGEST_S = 20.0
_MIB = 2**20


@dataclass
class Offered:
    """What came of requests at a rate.

    Attributes:
        seconds: For which they were sent.
        sent: How many were.
        in_time: Answers of status 200 that came within these seconds.
        served_s: Latencies of all of them.
        refused_s: Of those of 503.
        other: Further answers, and requests without one.
        latest_s: The latest that one was sent after it was due.
    """

    seconds: float
    sent: int = 0
    in_time: int = 0
    served_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    other: int = 0
    latest_s: float = 0.0

    @property
    def goodput(self) -> float:
        """Requests served a second."""
        return self.in_time / self.seconds

    def __iadd__(self, other: "Offered") -> Self:
        """Add what came of others."""
        self.seconds += other.seconds
        self.sent += other.sent
        self.in_time += other.in_time
        self.served_s += other.served_s
        self.refused_s += other.refused_s
        self.other += other.other
        self.latest_s = max(self.latest_s, other.latest_s)
        return self

    def take(self, status: bytes, seconds: float, *, is_in_time: bool) -> None:
        """Note an answer."""
        if status == b"200":
            self.in_time += is_in_time
            self.served_s.append(seconds)
        elif status == b"503":
            self.refused_s.append(seconds)
        else:
            self.other += 1


class _Load:
    def __init__(self, port: int, request: bytes, seconds: float, *, is_new: bool) -> None:
        self.offered = Offered(seconds)
        self._request = request
        self._ends = time.perf_counter() + seconds
        self._connections = Connections(port, is_kept=not is_new)
        self.after: Callable[[], None] = lambda: None

    def send(self, due: float) -> None:
        """Send one."""
        self.offered.sent += 1
        self._connections.send(self._request, due, self._told)

    async def until_answered(self) -> None:
        """Wait for all answers; those that do not come are told as others."""
        await self._connections.until_answered(_LONGEST_S)
        self.offered.other += self._connections.pending

    def _told(self, answer: Answer) -> None:
        # What has errors in it was refused behind the gateway.
        status = b"503" if b'"errors"' in answer.body else answer.status
        self.offered.take(status, answer.seconds, is_in_time=time.perf_counter() < self._ends)
        self.after()


def offer(port: int, request: bytes, rate: float, seconds: float, is_new: bool) -> Offered:
    """Send so many requests a second; blocks."""

    async def run() -> Offered:
        load = _Load(port, request, seconds, is_new=is_new)
        began = time.perf_counter()
        for number in range(int(seconds * rate)):
            due = began + number / rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            load.offered.latest_s = max(load.offered.latest_s, time.perf_counter() - due)
            load.send(due)
        await load.until_answered()
        return load.offered

    return uvloop.run(run())


def in_turn(port: int, request: bytes, callers: int, seconds: float, is_new: bool) -> Offered:
    """Let callers send, each when its answer has come; blocks for about `seconds`."""

    async def run() -> Offered:
        load = _Load(port, request, seconds, is_new=is_new)
        ends = time.perf_counter() + seconds

        def again() -> None:
            if (now := time.perf_counter()) < ends:
                load.send(now)

        load.after = again
        for _ in range(callers):
            again()
        await asyncio.sleep(seconds)
        await load.until_answered()
        return load.offered

    return uvloop.run(run())


def measure(loads: ProcessPoolExecutor, echo: "Server", server: "Server", body: bytes, seconds: float) -> Iterator[Row]:
    """Measure kept connections, then new ones; each rate between two looks at the peak, so that it has its machine."""
    token = server.told["token"]
    for is_new in (False, True):
        name = "a connection each" if is_new else "kept connections"
        request = request_bytes(server.port, body, token)
        if is_new:
            request = request.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)

        def peak(port: int, request: bytes = request, is_new: bool = is_new) -> Offered:
            return loads.submit(in_turn, port, request, _CALLERS, seconds / 2, is_new).result()

        first, ceiling = peak(server.port).goodput, peak(echo.port).goodput
        shown = f"{ceiling:.0f}/s, {ceiling / TIMES[-1] / first:.1f} × the highest rate"
        yield Row(f"{name}: the generator's ceiling", shown)
        yield Row(f"{name}: {_CALLERS} callers in turn", f"{first:.0f}/s")
        for times in TIMES:
            heard, at_peak, cpu_s, peak_cpu_s, took_s = Offered(0.0), Offered(0.0), 0.0, 0.0, 0.0
            turns = _TURNS if times == TIMES[-1] else 1
            for turn in range(turns + 1):
                computed = server.cpu_s()
                before = peak(server.port)
                at_peak += before
                peak_cpu_s += server.cpu_s() - computed
                if turn == turns:
                    break
                began, computed = time.perf_counter(), server.cpu_s()
                heard += loads.submit(offer, server.port, request, times * before.goodput, seconds, is_new).result()
                took_s += time.perf_counter() - began
                cpu_s += server.cpu_s() - computed
            shares = heard.goodput / at_peak.goodput, _each(at_peak, peak_cpu_s) / _each(heard, cpu_s)
            goal = "≥ 90 %" if times == TIMES[-1] else ""
            what = f"{name}: {times} × ({heard.sent / heard.seconds:.0f}/s)"
            yield Row(what, _told(heard, shares, cpu_s / took_s, server), goal)


def _each(heard: Offered, cpu_s: float) -> float:
    """Return what was computed for one that was served, refusals included."""
    return cpu_s / max(1, len(heard.served_s))


def _told(heard: Offered, shares: tuple[float, float], busy: float, server: "Server") -> str:
    served = f"{_ms(heard.served_s, 50)}, {_ms(heard.served_s, 99)}"
    refused = f"{len(heard.refused_s) / heard.seconds:.0f}/s refused in {_ms(heard.refused_s, 50)}, "
    refused += f"{_ms(heard.refused_s, 99)} ms" if heard.refused_s else "-"
    other = f"; {heard.other} without an answer" if heard.other else ""
    memory = server.process.memory_info().rss / _MIB
    return (
        f"{heard.goodput:.0f}/s served ({shares[0]:.0%} of the peak, {shares[1]:.0%} as computed) in {served} ms"
        f"; {refused}{other}; {busy:.0%} of a core, {memory:.0f} MiB; generator {1e3 * heard.latest_s:.0f} ms late"
    )


def _ms(seconds: list[float], which: float) -> str:
    return f"{1e3 * float(np.percentile(seconds, which)):.0f}" if seconds else "-"
