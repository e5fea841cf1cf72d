"""compose.yaml, run without an engine: from nothing to a playlist, in containers' roots and under their users."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.images.table import ROOT
from tests.e2e.conftest import render_library

NAMESPACES = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can walk into."""
    folder = Path(tempfile.mkdtemp(prefix="museed-compose-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.long
@pytest.mark.skipif(
    subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode != 0,
    reason="needs root in namespaces",
)
def test_first_playlist_comes_out_of_compose(open_folder: Path) -> None:
    music = render_library(open_folder / "music", artists=2, tracks=3)
    for path in [music, *music.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    command = [sys.executable, "-m", "tests.e2e.composed", str(open_folder / "machine"), str(music)]
    (open_folder / "machine").mkdir()
    done = subprocess.run([*NAMESPACES, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-6000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert '"schema_is_there"' in said["migrate"]
    assert said["operator"] == "operator is admin of this mesh.\n"
    assert "6/6" in said["ingest"]
    assert "similarity" in said["playlist"]
    assert said["ended"] == {"gateway": 0, "retriever": 0, "social": 0, "embedder": 0}
