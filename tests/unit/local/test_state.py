import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deploy.local.state import State, StateError


def test_secrets_are_made_once_and_kept_from_others(tmp_path: Path) -> None:
    state = State.open(tmp_path / "state")
    first = state.secret("operator")
    assert State.open(tmp_path / "state").secret("operator") == first
    assert len(first) >= 32
    assert (state / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_second_supervisor_is_refused_by_name(tmp_path: Path) -> None:
    state = State.open(tmp_path)
    with state.lock():
        with pytest.raises(StateError, match=f"process {os.getpid()}"):
            state.lock()
    state.lock().close()


def test_leftovers_are_ended_and_strangers_left_alone(tmp_path: Path) -> None:
    state = State.open(tmp_path)
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    leftover = subprocess.Popen(sleeper)
    stranger = subprocess.Popen(sleeper)
    state.record_processes({"social": leftover.pid})
    rows = json.loads((state / "processes.json").read_text())
    # A process id that was given away again since: same number, another start.
    rows["gateway"] = {"pid": stranger.pid, "created": psutil.Process(stranger.pid).create_time() - 100}
    rows["nats"] = {"pid": 2**22 - 1, "created": 0.0}
    state.write_json("processes.json", rows)
    try:
        assert state.clear_leftovers() == ["social"]
        assert leftover.poll() is not None
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_torn_secrets_are_told_with_what_to_do(tmp_path: Path) -> None:
    state = State.open(tmp_path / "state")
    (state / "secrets.json").write_text("{")
    with pytest.raises(StateError, match=r"secrets\.json is damaged.*museed restore"):
        state.secret("postgres")
