"""One seed: a mesh, people, the seed's faults, and the comparison of what was told with what is there."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import account
from deploy.local.client import GatewayClient
from deploy.local.ingest import ingest_folder
from deploy.local.ingest_calls import register_root
from tests.e2e.conftest import render_library
from tests.faults.asking import PATIENCE_S, World
from tests.faults.calls import Calls
from tests.faults.checker import check
from tests.faults.durable import judge_settings, read_settings
from tests.faults.events import check_events, record_events
from tests.faults.final import come_to_rest, read_audio, read_final, read_neighbours
from tests.faults.findings import Finding, Kind
from tests.faults.history import History, Outcome
from tests.faults.inflict import Inflictor
from tests.faults.librarian import Librarian, Shelf
from tests.faults.mesh import FaultyMesh, clock_library, faulty_mesh
from tests.faults.pages import check_pages, read_pages
from tests.faults.people import Person
from tests.faults.plan import Fault, plan
from tests.faults.plan import Kind as FaultKind

PEOPLE = 8
# Of them these give up after a second, and go on with something else.
IN_HASTE = 2
Announce = Callable[[str], None]


@dataclass(slots=True)
class Report:
    """What came of a seed; counts by name."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    # By state, with the reason of what failed.
    jobs: Counter[str] = field(default_factory=Counter)
    heard: Counter[str] = field(default_factory=Counter)
    # Of what was answered, how often each was asked.
    kinds: Counter[str] = field(default_factory=Counter)
    # Where each fault was inflicted.
    places: Counter[str] = field(default_factory=Counter)
    # How many found nothing to be done to, or were refused.
    missed: int = 0
    # How many began while another lasted for the same process, or for a link of it.
    overlapping: int = 0
    events: int = 0
    findings: list[Finding] = field(default_factory=list)
    took_s: float = 0.0
    # How long somebody was without an answer at the most.
    longest_s: float = 0.0

    def found(self, kind: Kind) -> int:
        """Return how many promises were broken in this way."""
        return sum(finding.kind == kind for finding in self.findings)


class _Silent:
    def reading(self, done: int, total: int) -> None: ...

    def embedding(self, done: int, total: int) -> None: ...


def kinds_here() -> tuple[FaultKind, ...]:
    """Return the kinds of faults that this machine can do: without libfaketime no clock jumps."""
    return tuple(kind for kind in FaultKind if kind != FaultKind.CLOCK or clock_library() is not None)


async def run_seed(seed: int, faults: list[Fault], folder: Path, library: Path, announce: Announce) -> Report:
    """Run one seed.

    Args:
        seed: Decides who does what.
        faults: Its plan.
        folder: Empty; holds the state, the logs and the history afterwards.
        library: Music that the mesh knows.
        announce: Called with sentences for people.
    """
    began = time.monotonic()
    report = Report(seed)
    async with faulty_mesh(folder / "state", announce, random.Random(seed)) as mesh:
        tracks, root_id = await _ingest(mesh, library, shelf := folder / "shelf")
        guest = Calls(mesh.ports.url, "guest")
        neighbours = await read_neighbours(guest, tracks)
        history = History(folder / "history.jsonl")
        report.findings += judge_settings(await read_settings(mesh))
        since = await record_events(mesh)
        world = World(mesh.people_url, [*tracks], [*tracks], history, neighbours)
        operator = mesh.state.secret("operator")
        dice = random.Random(f"{seed} librarian")
        librarian = Librarian(world, account.OPERATOR, operator, Shelf(root_id, shelf), dice)
        await librarian.enter()
        inflictor = Inflictor(mesh, seed)
        people = [
            Person(
                world,
                f"person-{seed}-{number}",
                random.Random(f"{seed} {number}"),
                is_hasty=number >= PEOPLE - IN_HASTE,
            )
            for number in range(PEOPLE)
        ]
        async with asyncio.TaskGroup() as tasks:
            living = [tasks.create_task(life) for life in (librarian.live(), *(person.live() for person in people))]
            while len(world.people) < PEOPLE and not any(task.done() for task in living):
                await asyncio.sleep(0.05)
            await inflictor.run(faults, lambda fault: announce(str(fault)))
            # Whoever is still asking is answered now, if ever.
            world.end()
            await asyncio.wait(living, timeout=2 * PATIENCE_S)
        history.close()
        report.findings += await come_to_rest(mesh)
        # Whoever was started anew may have been started otherwise.
        report.findings += judge_settings(await read_settings(mesh))
        final = await read_final(mesh)
        final.audio = await read_audio(mesh.ports.url, history.operations)
        final.neighbours = await read_neighbours(guest, final.tracks)
        pages = await read_pages(mesh.ports.url, history.operations, final)
        await guest.close()
        found, report.events = await check_events(mesh, since, inflictor.wiped_at)
        report.findings += found
    do_clocks_jump = any(fault.kind == FaultKind.CLOCK for fault in faults)
    report.findings += check_pages(pages, final)
    report.findings += check(history.operations, final, neighbours, do_clocks_jump=do_clocks_jump)
    for operation in world.unanswered:
        text = f"{operation.actor}: {operation.kind} was not answered in {PATIENCE_S:.0f} s: {operation.heard[-5:]}"
        report.findings.append(Finding(Kind.ENDLESS, text))
    for kind in sorted(world.lacking):
        report.findings.append(Finding(Kind.ENDLESS, f"after the last fault nobody was answered: {kind}"))
    report.faults = Counter(fault.kind for fault in inflictor.done)
    report.operations = Counter(operation.outcome for operation in history.operations)
    report.kinds = Counter(one.kind for one in history.operations if one.outcome == Outcome.DONE)
    report.places = Counter(f"{fault.kind} {fault.target}" for fault in inflictor.done)
    report.missed = len(inflictor.missed)
    report.overlapping = inflictor.overlapping
    report.operations["repeated"] = sum(operation.tries - 1 for operation in history.operations)
    report.heard = Counter(code for operation in history.operations for code in operation.heard)
    report.jobs = Counter(
        f"{job.state} {job.failure_reason}".strip() for jobs in final.jobs.values() for job in jobs.values()
    )
    report.longest_s = max(one.ended_s - one.began_s for one in history.operations)
    report.took_s = time.monotonic() - began
    return report


def summary(report: Report) -> str:
    """Return a report in some lines."""
    done = report.operations[Outcome.DONE]
    faults = ", ".join(f"{count} {kind}" for kind, count in sorted(report.faults.items()))
    broken = ", ".join(f"{report.found(kind)} {kind}" for kind in Kind)
    lines = [
        f"seed {report.seed}: {report.faults.total()} faults ({faults}), {report.missed} missed, "
        f"{report.overlapping} overlapping, "
        f"took {report.took_s:.0f} s",
        f"  {done} operations acknowledged, {report.operations['repeated']} repeated, "
        f"{report.operations[Outcome.GIVEN_UP]} given up, {report.operations[Outcome.REFUSED]} refused; "
        f"the longest took {report.longest_s:.0f} s",
        f"  {report.events} events; answered: {dict(sorted(report.kinds.items()))}",
        f"  jobs: {dict(report.jobs)}; heard on the way: {dict(report.heard)}",
        f"  {broken}",
    ]
    return "\n".join([*lines, *(f"  {finding}" for finding in report.findings)])


async def _ingest(mesh: FaultyMesh, library: Path, shelf: Path) -> tuple[list[str], str]:
    """Bring the music in and return its tracks' ids, with the root of an empty folder for what comes later."""

    def ingest() -> tuple[list[str], str]:
        shelf.mkdir()
        with GatewayClient(mesh.ports.url, account.operator(mesh.state)) as client:
            ingest_folder(client, library, _Silent())
            found = client.query("{ searchTracks(first: 50) { nodes { trackId } } }")
            root_id = register_root(client, str(shelf))
        return [node["trackId"] for node in found["searchTracks"]["nodes"]], root_id

    return await asyncio.to_thread(ingest)


def render_music(folder: Path) -> Path:
    """Render what the mesh knows before the first fault: the same in every form, or a seed were two runs."""
    return render_library(folder, artists=2, tracks=3)


def plan_of(seed: int, count: int, pace: float = 1.0) -> list[Fault]:
    """Return the plan of a seed on this machine."""
    return plan(seed, count, kinds_here(), pace)
