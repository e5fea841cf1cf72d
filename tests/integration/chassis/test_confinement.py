"""What a child that a file has taken over can reach: nothing of its parent, no file of anybody's, no network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.chassis import confinement
from tests.conftest import free_port

_CHILD = """
import json, os, socket, sys
from services.chassis import confinement
parent, kept, port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
already_open = open(kept, encoding="ascii")
def tried(what):
    try:
        return what() and "done"
    except OSError as error:
        return type(error).__name__
def connect():
    with socket.socket() as one:
        one.bind(("127.0.0.1", port))
        return True
confinement.enter(parent, 0, 64)
print(json.dumps({
    "what was open": already_open.read(),
    "the parent's passwords": tried(lambda: open(f"/proc/{parent}/environ", "rb").read()),
    "a file": tried(lambda: open(kept, encoding="ascii").read()),
    "a library": tried(lambda: open(json.__file__, encoding="utf-8").read()),
    "a new file": tried(lambda: open(kept + ".new", "w", encoding="ascii")),
    "a port": tried(connect),
    "a signal": tried(lambda: os.kill(parent, 0) is None),
}))
"""


def reached(folder: Path) -> dict[str, str]:
    kept = folder / "kept"
    kept.write_text("kept", encoding="ascii")
    command = [sys.executable, "-c", _CHILD, str(os.getpid()), str(kept), str(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return dict(json.loads(done.stdout))


def test_a_child_reaches_nothing(tmp_path: Path) -> None:
    if confinement.landlock_version() < 6:
        pytest.skip("this kernel knows no Landlock, or an old one")
    refused = ("the parent's passwords", "a file", "a new file", "a port", "a signal")
    assert reached(tmp_path) == dict.fromkeys(refused, "PermissionError") | {
        "what was open": "kept",
        "a library": "done",
    }


def test_a_library_that_is_linked_to_its_place_goes_on_to_be_read(tmp_path: Path) -> None:
    kept, places = tmp_path / "cache" / "linked", tmp_path / "site-packages"
    for name, text in {"__init__.py": "", "later.py": "FOUND = 'later'"}.items():
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        (kept / name).write_text(text, encoding="ascii")
        (places / "linked" / name).parent.mkdir(parents=True, exist_ok=True)
        (places / "linked" / name).symlink_to(kept / name)
    code = (
        f"import os, sys; sys.path.append({str(places)!r}); import linked; from services.chassis import confinement; "
        "confinement.enter(os.getppid(), 0, 64); from linked import later; print(later.FOUND)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("later\n", "")


def test_a_kernel_without_it_leaves_the_other_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "landlock_version", lambda: 0)
    before = Path(__file__).read_text(encoding="utf-8")
    confinement.reach_nothing()
    assert Path(__file__).read_text(encoding="utf-8") == before
