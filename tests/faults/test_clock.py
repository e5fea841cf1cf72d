"""A clock can jump, in the process that is meant and nowhere else: without this, plans have no such faults."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults import mesh
from tests.faults.plan import Kind
from tests.faults.run import kinds_here

_TELL = "import sys, time\nfor _ in sys.stdin: print(time.time(), time.monotonic(), flush=True)"


@pytest.mark.skipif(sys.platform != "linux", reason="the wheel libfaketime is of Linux")
def test_clock_of_a_process_jumps_and_returns_and_the_monotonic_one_goes_on(tmp_path: Path) -> None:
    assert mesh.clock_library() is not None, 'pip install -e ".[dev]" brings the wheel libfaketime'
    assert Kind.CLOCK in kinds_here()
    file = tmp_path / "clock"
    mesh.write_clock(file, 0)
    command = [sys.executable, "-c", _TELL]
    environment = mesh.clock_environment(file)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:

        def off_by_hours() -> tuple[int, int]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            told, monotonic = (float(text) for text in process.stdout.readline().split())
            return round((told - time.time()) / 3600), round((monotonic - time.monotonic()) / 3600)

        def wait_for(hours: int) -> None:
            deadline = time.monotonic() + 60
            while off_by_hours() != (hours, 0) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert off_by_hours() == (hours, 0)

        wait_for(0)
        mesh.write_clock(file, 5 * 3600)
        wait_for(5)
        mesh.write_clock(file, -7 * 3600)
        wait_for(-7)
        mesh.write_clock(file, 0)
        wait_for(0)
        process.stdin.close()  # type: ignore[union-attr]  # it is a pipe
