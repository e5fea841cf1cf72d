"""What does a whole mesh do when more is asked of it than it can, and while all of it is replaced?

A mesh as `museed up --replicas N` starts it, with a library, people, and open feeds. They ask for a mix of everything
(`benchmarks/load_/mix.py`) at an open rate: requests are sent when they are due, whatever became of those before, and
latencies count from then. First the generator shows what it can do at all, against a server that answers without
reading. The peak is that of callers who ask in turn, before and after each rate, since other work of the machine moves
it; beside the share of it by the clock stands that of answers for a second that the mesh computed. Served is what was
answered whole while requests were sent. Refused is what was told when to try again, by the gateway (503) or by a
service behind it (a coded error in an answer); all else failed. In the end every playlist that was asked for must be
there. Then every service is replaced at half of the peak, by `museed restart`.

Usage: python -m benchmarks.load [--replicas 2] [--seconds 10] [--people 300] [--tracks 2000] [--times 0.5,1,2,3,5]
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import httpx

from benchmarks.gateway import serving
from benchmarks.load_.followers import Followers, following
from benchmarks.load_.machine import Parts, Used, describe
from benchmarks.load_.rate import Heard, Load, at_rate, each_once, in_turn, percentile_ms
from benchmarks.load_.world import RunningMesh, World, furnish, running_mesh

_CALLERS = 32
_TURNS_OF_HIGHEST = 2
# Meant for each refusal.
_REFUSED_IN_S = 0.05
_ENDED_WITHIN_S = 180.0
_RESTART_S = 600
_JOB = "query($id: ID!) { job(id: $id) { state isFinished } }"


@dataclass(frozen=True, slots=True)
class Bench:
    """What all parts are given."""

    mesh: RunningMesh
    world: World
    parts: Parts
    followers: Followers
    loads: ProcessPoolExecutor
    seconds: float

    def peak(self, seed: int) -> tuple[Load, Used]:
        """Let callers ask in turn for half of the time."""
        return self._measured(in_turn, seed, _CALLERS, self.seconds / 2)

    def offer(self, seed: int, rate: float, seconds: float, until: Path | None = None) -> tuple[Load, Used]:
        """Ask at a rate."""
        return self._measured(at_rate, seed, rate, seconds, until)

    def _measured(self, load: Callable[..., Load], *arguments: object) -> tuple[Load, Used]:
        before = self.parts.look()
        heard = self.loads.submit(load, self.world, *arguments).result()
        return heard, self.parts.since(before)


@dataclass(slots=True)
class Step:
    """What came of one rate."""

    name: str
    load: Load
    used: Used
    peak: Load
    peak_used: Used
    delays_s: Sequence[float]
    memory: Counter[str]
    jobs: Counter[str]


def steps(bench: Bench, times: Sequence[float]) -> Iterator[Step]:
    """Ask at each of these multiples of the peak, between two looks at it."""
    seed = 0
    for multiple in times:
        load, used, at_peak, peak_used = Load(0.0), Used(), Load(0.0), Used()
        turns = _TURNS_OF_HIGHEST if multiple == max(times) else 1
        bench.followers.taken()
        for turn in range(turns + 1):
            seed += 2
            peak, took = bench.peak(seed)
            at_peak += peak
            _add(peak_used, took)
            if turn == turns:
                break
            offered, took = bench.offer(seed + 1, multiple * peak.goodput, bench.seconds)
            load += offered
            _add(used, took)
        at_peak.jobs, load.jobs = [], [*load.jobs, *at_peak.jobs]
        load.done_at_once += at_peak.done_at_once
        jobs = ends_of(bench.world, load)
        yield Step(
            f"{multiple:g} ×", load, used, at_peak, peak_used, bench.followers.taken(), bench.parts.memory_mib(), jobs
        )


def restarted(bench: Bench, peak: float) -> tuple[Step, str]:
    """Ask at half of the peak while every process is replaced; returns what came of it, and what was said."""
    done = bench.mesh.folder.parent / "restarted"
    before = _processes(bench.mesh.folder)
    command = [sys.executable, "-m", "deploy.local.cli", "restart", "--state", str(bench.mesh.folder)]
    bench.followers.taken()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as restart:
        waiting = bench.loads.submit(at_rate, bench.world, 999, peak / 2, _RESTART_S, done)
        began = time.monotonic()
        said = restart.communicate()[0].strip()
        took = time.monotonic() - began
        done.touch()
        load = waiting.result()
    after = _processes(bench.mesh.folder)
    if kept := sorted(name for name, started in before.items() if after.get(name) == started):
        raise SystemExit(f"not everything was started again: {', '.join(kept)} ({said})")
    if restart.returncode or took > _RESTART_S:
        raise SystemExit(f"the restart failed, or took longer than the load: {took:.0f} s ({said})")
    jobs = ends_of(bench.world, load)
    step = Step("restart", load, Used(), Load(1.0), Used(), bench.followers.taken(), bench.parts.memory_mib(), jobs)
    return step, f"{said} ({took:.0f} s)"


def _processes(folder: Path) -> dict[str, object]:
    """Return what runs of the services, each with when it was started; the gateway's keeper stays."""
    found: dict[str, object] = json.loads((folder / "processes.json").read_text())
    return {name: started for name, started in found.items() if name not in ("postgres", "nats", "gateway")}


def ends_of(world: World, load: Load) -> Counter[str]:
    """Wait until all playlists that were asked for are made; returns states, "none" for those without an end."""
    found = Counter({"at once": load.done_at_once})
    deadline = time.monotonic() + _ENDED_WITHIN_S
    with httpx.Client(base_url=world.url, timeout=60) as http:
        for number, (token, job_id) in enumerate(load.jobs):
            state = "none"
            headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": f"10.200.{number // 250 % 250}.1"}
            while time.monotonic() < deadline:
                answer = http.post("/graphql", json={"query": _JOB, "variables": {"id": job_id}}, headers=headers)
                job = (answer.json().get("data") or {}).get("job") if answer.is_success else None
                if job and job["isFinished"]:
                    state = job["state"]
                    break
                time.sleep(0.1)
            found[state] += 1
    return found


def _add(used: Used, more: Used) -> None:
    used.seconds += more.seconds
    used.machine_s += more.machine_s
    used.by_part.update(more.by_part)


def told(step: Step) -> str:
    """Return a step as a row of the table."""
    load, total = step.load, step.load.total
    others_s = step.used.machine_s - step.used.mesh_s - load.cpu_s
    clock = load.goodput / step.peak.goodput
    computed = _each(step.peak, step.peak_used) / _each(load, step.used)
    codes = ", ".join(f"{count} {code}" for code, count in total.codes.most_common(4)) or "none"
    return (
        f"| {step.name} | {total.sent / load.seconds:.0f} | {load.goodput:.0f} | {clock:.0%}, {computed:.0%} |"
        f" {percentile_ms(total.served_s, 50)}, {percentile_ms(total.served_s, 99)} |"
        f" {len(total.refused_s) / load.seconds:.0f}: {percentile_ms(total.refused_s, 50)},"
        f" {percentile_ms(total.refused_s, 99)}, {_in_time(total.refused_s)} | {total.failed} | {codes} |"
        f" {percentile_ms(list(step.delays_s), 50)}, {percentile_ms(list(step.delays_s), 99)} |"
        f" {_jobs(step)} | {sum(step.memory.values())} |"
        f" {step.used.mesh_s / step.used.seconds:.2f}, {load.cpu_s / step.used.seconds:.2f},"
        f" {others_s / step.used.seconds:.2f} | {1e3 * load.latest_s:.0f} |"
    )


def _in_time(refused_s: list[float]) -> str:
    return f"{sum(each < _REFUSED_IN_S for each in refused_s) / len(refused_s):.1%}" if refused_s else "–"


def _jobs(step: Step) -> str:
    return ", ".join(f"{count} {state.lower()}" for state, count in step.jobs.most_common()) or "–"


def _each(load: Load, used: Used) -> float:
    """Return what the mesh computed for one that was served, refusals included."""
    return used.mesh_s / max(1, len(load.total.served_s))


COLUMNS = (
    "rate", "offered/s", "served/s", "of the peak by the clock, as computed", "served: p50, p99 ms",
    "refused/s: p50, p99 ms, in 50 ms", "failed", "codes", "feeds: p50, p99 ms", "playlists", "MiB",
    "cores: mesh, generator, others", "generator late, ms",
)  # fmt: skip


def operations_table(chosen: Sequence[Step]) -> Iterator[str]:
    """Yield latencies by operation."""
    names = sorted({name for step in chosen for name in step.load.heard})
    yield "| operation | " + " | ".join(f"{step.name}: served, p50, p99 ms; refused" for step in chosen) + " |"
    yield "|---" * (len(chosen) + 1) + "|"
    for name in names:
        cells = []
        for step in chosen:
            heard = step.load.heard.get(name, Heard())
            cells.append(
                f"{len(heard.served_s)}, {percentile_ms(heard.served_s, 50)}, {percentile_ms(heard.served_s, 99)};"
                f" {len(heard.refused_s)}" + (f"; {heard.failed} failed" if heard.failed else "")
            )
        yield f"| {name} | " + " | ".join(cells) + " |"


def ceiling(loads: ProcessPoolExecutor, world: World, seconds: float) -> float:
    """Return how many requests of the mix a second the generator sends to a server that answers without reading."""
    alone = replace(world, uploads=[b"x}"])
    with serving("echo") as echo:
        return loads.submit(in_turn, replace(alone, port=echo.port), 1, _CALLERS, seconds).result().total.sent / seconds


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def _natural(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _times(text: str) -> list[float]:
    return [_positive(one) for one in text.split(",")]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=_natural, default=2)
    parser.add_argument("--seconds", type=_positive, default=10, help="of each rate")
    parser.add_argument("--people", type=_natural, default=300)
    parser.add_argument("--tracks", type=_natural, default=2000)
    parser.add_argument("--feeds", type=int, default=40, help="that are open meanwhile")
    parser.add_argument("--uploads", type=_natural, default=100, help="different files")
    parser.add_argument("--times", type=_times, default="0.5,1,2,3,5", help="multiples of the peak")
    parser.add_argument("--no-restart", action="store_true")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="museed-load-") as text,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as loads,
    ):
        Path(text).chmod(0o711)  # PostgreSQL refuses to run as root: another user must come to its own
        with running_mesh(Path(text) / "state", chosen.replicas) as mesh:
            print(f"{describe()}; a mesh of {chosen.replicas} each serves, now comes its library", flush=True)
            world = furnish(mesh, chosen.people, chosen.tracks, chosen.uploads)
            with following(world.url, world.people[: chosen.feeds]) as followers:
                parts = Parts(mesh.folder, mesh.process.pid)
                bench = Bench(mesh, world, parts, followers, loads, chosen.seconds)
                _run(bench, chosen.times, with_restart=not chosen.no_restart)


def _run(bench: Bench, times: Sequence[float], *, with_restart: bool) -> None:
    if faults := bench.loads.submit(each_once, bench.world).result():
        raise SystemExit(f"not everything is served: {faults}")
    print(f"{len(bench.world.people)} people, {len(bench.world.track_ids)} tracks; {describe()}", flush=True)
    most = ceiling(bench.loads, bench.world, bench.seconds / 2)
    bench.peak(1)  # warms caches, plans and pools
    memory = bench.parts.memory_mib()
    print(f"before: {sum(memory.values())} MiB: {_memory(memory)}", flush=True)
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|", flush=True)
    found = []
    for step in steps(bench, times):
        found.append(step)
        print(told(step), flush=True)
    peak = sum(step.peak.goodput for step in found) / len(found)
    highest = found[-1].load.total.sent / found[-1].load.seconds
    print(f"\npeak {peak:.0f}/s; the generator's ceiling {most:.0f}/s, {most / highest:.1f} × the highest rate")
    print(f"after: {sum(found[-1].memory.values())} MiB: {_memory(found[-1].memory)}")
    print(f"computed by part at 1 ×, cores: {_cores(found[min(1, len(found) - 1)].used)}")
    print(f"feeds: closed {bench.followers.closed} times, {bench.followers.doubled} events twice\n")
    print("\n".join(operations_table([found[0], found[-1]])), flush=True)
    if with_restart:
        step, said = restarted(bench, peak)
        total = step.load.total
        print(
            f"\n{said}: {total.sent} requests at {total.sent / step.load.seconds:.0f}/s, {total.failed} failed,"
            f" {len(total.refused_s)} refused {dict(total.codes)}; served p50, p99"
            f" {percentile_ms(total.served_s, 50)}, {percentile_ms(total.served_s, 99)} ms; playlists: {_jobs(step)};"
            f" feeds: closed {bench.followers.closed} times, {bench.followers.doubled} events twice",
            flush=True,
        )


def _memory(memory: Counter[str]) -> str:
    return ", ".join(f"{name} {mib}" for name, mib in memory.most_common())


def _cores(used: Used) -> str:
    return ", ".join(f"{name} {seconds / used.seconds:.2f}" for name, seconds in used.by_part.most_common())


if __name__ == "__main__":
    main()
