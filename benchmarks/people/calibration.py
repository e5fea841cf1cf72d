"""What this machine can do, measured in the same run: a disk's fsync, a commit, a publish, a call over the loopback."""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import asyncpg

from benchmarks.retrieval import calls
from services.chassis.bus import Bus

_BLOCK = b"\0" * 4096
_SECONDS = 2.0
# As many as the service publishes at a time.
_PUBLISHERS = 128
_WRITERS = 16


class Calibration(NamedTuple):
    """The floor of everything that is measured here.

    Attributes:
        fsyncs: Of one file after 4 KiB each, a second.
        commits: Of one row, one after another, a second.
        joined_commits: The same by 16 connections, whose fsyncs PostgreSQL joins.
        publishes: To JetStream, each confirmed before the next, a second.
        joined_publishes: The same with 128 on their way.
        echo_s: p50 of an RPC that only answers.
    """

    fsyncs: float
    commits: float
    joined_commits: float
    publishes: float
    joined_publishes: float
    echo_s: float


async def calibrate(database_url: str, folder: Path, bus: Bus, subject: str) -> Calibration:
    """Measure all of it, 12 s."""
    fsyncs = await asyncio.to_thread(_fsyncs, folder)
    commits, joined_commits = await _commits(database_url, 1), await _commits(database_url, _WRITERS)
    number = 0

    async def publish() -> None:
        nonlocal number
        number += 1
        await bus.publish(subject, b"x" * 200, f"calibration-{number}")

    publishes, joined_publishes = await _rate(publish, 1), await _rate(publish, _PUBLISHERS)
    echo_s = await asyncio.to_thread(_echo_s)
    return Calibration(fsyncs, commits, joined_commits, publishes, joined_publishes, echo_s)


def _fsyncs(folder: Path) -> float:
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        ends = time.perf_counter() + _SECONDS
        count = 0
        while time.perf_counter() < ends:
            file.write(_BLOCK)
            file.flush()
            os.fsync(file.fileno())
            count += 1
        return count / _SECONDS


async def _commits(database_url: str, writers: int) -> float:
    pool = await asyncpg.create_pool(database_url, min_size=writers, max_size=writers)
    try:
        await pool.execute("CREATE TABLE IF NOT EXISTS calibration (number bigint)")
        rate = await _rate(lambda: pool.execute("INSERT INTO calibration VALUES (1)"), writers)
        await pool.execute("DROP TABLE calibration")
    finally:
        await pool.close()
    return rate


async def _rate(step: Callable[[], Awaitable[object]], at_a_time: int) -> float:
    count = 0
    ends = time.perf_counter() + _SECONDS

    async def repeat() -> None:
        nonlocal count
        while time.perf_counter() < ends:
            await step()
            count += 1

    began = time.perf_counter()
    await asyncio.gather(*(repeat() for _ in range(at_a_time)))
    return count / (time.perf_counter() - began)


def _echo_s() -> float:
    with calls.echoing(b"x" * 4000) as address:
        heard = calls.call_in_turn(address, calls.ECHO, "", [b"x" * 100], 1, _SECONDS)
    return statistics.median(heard.latencies_s)
