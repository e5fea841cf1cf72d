"""Sends the mix, in a process of its own: at a rate that does not depend on the answers, or by callers in turn."""

import asyncio
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import uvloop

from benchmarks.gateway_.sender import Answer, Connections
from benchmarks.load_.mix import FROM_UPLOAD, MUST, SHARES, Mix, Request
from benchmarks.load_.world import World

_LONGEST_S = 30.0
# A gateway that ends closes what rests for longer than 2.5 s.
_IDLE_S = 2.0
_GOOD = (b"200", b"201", b"206")
# For want of room, told before anything was done, or by a service behind; all else that is not served has failed.
_BUSY = frozenset({"GATEWAY_BUSY", "SERVER_BUSY", "OVERLOADED", "EMBEDDER_BUSY"})
_CODE = re.compile(rb'"code":\s*"([A-Z_]+)"')
# What says more, where a code is only gRPC's.
_REASON = re.compile(rb'"reason":\s*"([A-Z_]+)"')
_TRIES = 5
_HINT = re.compile(rb'"retryAfterMs":\s*[1-9]')
_NO_ANSWER = "NO_ANSWER"


@dataclass(slots=True)
class Heard:
    """What came of some requests.

    Attributes:
        sent: How many there were.
        in_time: Served while requests were sent.
        served_s: Latencies of what was served.
        refused_s: Of what was refused for want of room, with a hint when to try again.
        codes: Of all that was not served.
        failed: What was neither served nor refused so.
    """

    sent: int = 0
    in_time: int = 0
    served_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    failed: int = 0

    def take(self, answer: Answer, must: bytes, *, is_in_time: bool) -> bool:
        """Note an answer; says whether it was served: well, without an error, and with what was asked for in it."""
        codes: set[str] = set()
        if b'"code"' in answer.body:
            codes = {found.decode() for found in _REASON.findall(answer.body) or _CODE.findall(answer.body)}
        if answer.status in _GOOD and not codes and b'"errors":' not in answer.body and must in answer.body:
            self.in_time += is_in_time
            self.served_s.append(answer.seconds)
            return True
        self.codes.update(codes or {answer.status.decode() or _NO_ANSWER})
        if codes and codes <= _BUSY and _HINT.search(answer.body):
            self.refused_s.append(answer.seconds)
        else:
            self.failed += 1
        return False

    def __iadd__(self, other: "Heard") -> Self:
        """Add others."""
        self.sent += other.sent
        self.in_time += other.in_time
        self.served_s += other.served_s
        self.refused_s += other.refused_s
        self.codes += other.codes
        self.failed += other.failed
        return self


@dataclass(slots=True)
class Load:
    """What came of a load.

    Attributes:
        seconds: For which requests were sent.
        heard: By operation.
        jobs: Playlists that were asked for and not made at once: token of who asked, and the job.
        done_at_once: Playlists that were.
        latest_s: The latest that one was sent after it was due.
        cpu_s: What the generator computed.
    """

    seconds: float
    heard: dict[str, Heard] = field(default_factory=dict)
    jobs: list[tuple[str, str]] = field(default_factory=list)
    done_at_once: int = 0
    latest_s: float = 0.0
    cpu_s: float = 0.0

    @property
    def total(self) -> Heard:
        """Of all operations together."""
        found = Heard()
        for heard in self.heard.values():
            found += heard
        return found

    @property
    def goodput(self) -> float:
        """Requests served a second."""
        return sum(heard.in_time for heard in self.heard.values()) / self.seconds

    def __iadd__(self, other: "Load") -> Self:
        """Add another one."""
        self.seconds += other.seconds
        for operation, heard in other.heard.items():
            mine = self.heard.setdefault(operation, Heard())
            mine += heard
        self.jobs += other.jobs
        self.done_at_once += other.done_at_once
        self.latest_s = max(self.latest_s, other.latest_s)
        self.cpu_s += other.cpu_s
        return self


class _Sending:
    def __init__(self, mix: Mix, port: int, seconds: float) -> None:
        self.load = Load(seconds)
        self._mix = mix
        self._connections = Connections(port, idle_s=_IDLE_S)
        self._ends = time.perf_counter() + seconds
        self._began = time.process_time()

    def send(self, request: Request, due: float, after: Callable[[], None] = lambda: None) -> None:
        """Send a request that was due then."""
        heard = self.load.heard.setdefault(request.operation, Heard())
        heard.sent += 1

        def told(answer: Answer) -> None:
            if heard.take(answer, MUST.get(request.operation, b""), is_in_time=time.perf_counter() < self._ends):
                further = request.then(answer.body)
                if further is not None:
                    self.send(further, time.perf_counter())
            after()

        self._connections.send(request.data, due, told)

    def ask(self, operation: str) -> None:
        """Send a request of this operation now."""
        self.send(self._mix.one(operation), time.perf_counter())

    async def ended(self) -> Load:
        """Wait for all answers."""
        await self._connections.until_answered(_LONGEST_S)
        if self._connections.pending:
            lost = self.load.heard.setdefault(_NO_ANSWER, Heard())
            lost.failed += self._connections.pending
            lost.codes[_NO_ANSWER] += self._connections.pending
        self.load.jobs = [(person.token, job_id) for person, job_id in self._mix.jobs]
        self.load.done_at_once = self._mix.done_at_once
        self.load.cpu_s = time.process_time() - self._began
        return self.load


def at_rate(world: World, seed: int, rate: float, seconds: float, until: Path | None = None) -> Load:
    """Send so many requests a second; blocks.

    Args:
        world: What to ask for.
        seed: Of the draws.
        rate: Requests a second.
        seconds: For how long, at most.
        until: A file whose coming ends it.
    """

    async def run() -> Load:
        mix = Mix(world, seed)
        sending = _Sending(mix, world.port, seconds)
        began = time.perf_counter()
        for number in range(int(seconds * rate)):
            request = mix.next()
            due = began + number / rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            elif number % 16 == 0:
                await asyncio.sleep(0)
            sending.load.latest_s = max(sending.load.latest_s, time.perf_counter() - due)
            sending.send(request, due)
            if until is not None and number % 16 == 0 and os.path.lexists(until):  # noqa: ASYNC240  # quick
                sending.load.seconds = time.perf_counter() - began
                break
        return await sending.ended()

    return uvloop.run(run())


def in_turn(world: World, seed: int, callers: int, seconds: float) -> Load:
    """Let callers ask, each when its answer has come; blocks for about `seconds`."""

    async def run() -> Load:
        mix = Mix(world, seed)
        sending = _Sending(mix, world.port, seconds)
        ends = time.perf_counter() + seconds

        def again() -> None:
            if (now := time.perf_counter()) < ends:
                sending.send(mix.next(), now, again)

        for _ in range(callers):
            again()
        await asyncio.sleep(seconds)
        return await sending.ended()

    return uvloop.run(run())


def each_once(world: World) -> dict[str, str]:
    """Ask for everything until it was served once; return the operations that are not, with what came."""

    async def run() -> dict[str, str]:
        missing = {name: "" for name in SHARES}
        for attempt in range(_TRIES):
            sending = _Sending(Mix(world, attempt), world.port, _LONGEST_S)
            for operation in missing:
                sending.ask(operation)
            load = await sending.ended()
            missing = {
                ("upload" if name == FROM_UPLOAD else name): str(dict(heard.codes))
                for name, heard in load.heard.items()
                if not heard.served_s
            }
            if not missing:
                break
        return missing

    return uvloop.run(run())


def percentile_ms(seconds: list[float], which: float) -> str:
    """Return a percentile, or a dash where there is nothing."""
    return f"{1e3 * float(np.percentile(seconds, which)):.0f}" if seconds else "–"
