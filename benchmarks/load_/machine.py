"""What the parts of a mesh compute and hold, and who else uses the machine meanwhile."""

import contextlib
import json
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_MIB = 2**20


@dataclass(slots=True)
class Used:
    """What a stretch of time took.

    Attributes:
        seconds: Of the clock.
        by_part: Core-seconds of each part of the mesh, all its processes together.
        machine_s: Core-seconds of everything on the machine.
    """

    seconds: float = 0.0
    by_part: Counter[str] = field(default_factory=Counter)
    machine_s: float = 0.0

    @property
    def mesh_s(self) -> float:
        """Core-seconds of the mesh."""
        return sum(self.by_part.values())


class Parts:
    """The processes of a mesh.

    Args:
        folder: Its state.
        supervisor: Its process id.
    """

    def __init__(self, folder: Path, supervisor: int) -> None:
        self._folder = folder
        self._supervisor = supervisor

    def _processes(self) -> list[tuple[str, psutil.Process]]:
        found = [("supervisor", psutil.Process(self._supervisor))]
        for name, row in json.loads((self._folder / "processes.json").read_text()).items():
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(row["pid"])
                service = name.partition(".")[0].removesuffix("-stand-in")
                found += [(service, each) for each in (process, *process.children(recursive=True))]
        return found

    def memory_mib(self) -> Counter[str]:
        """Return the memory of each part: of all its processes, shared pages counted once."""
        found: Counter[str] = Counter()
        for name, process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                found[name] += process.memory_full_info().pss // _MIB
        return found

    def look(self) -> Used:
        """Return what was used so far."""
        used = Used(time.monotonic(), Counter(), _busy_s())
        for name, process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                used.by_part[name] += times.user + times.system  # type: ignore[assignment]  # a Counter of floats
        return used

    def since(self, before: Used) -> Used:
        """Return what was used since then; processes that ended in between take theirs along."""
        now = self.look()
        now.seconds -= before.seconds
        now.machine_s -= before.machine_s
        now.by_part.subtract(before.by_part)
        return now


def _busy_s() -> float:
    times = psutil.cpu_times()
    return sum(times) - times.idle - times.iowait - getattr(times, "guest", 0) - getattr(times, "guest_nice", 0)


def describe() -> str:
    """Return what the machine is."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(": ")[2]
            break
    return f"{os.cpu_count()} cores of {model}, load average {os.getloadavg()[0]:.1f}"
