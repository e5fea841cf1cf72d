"""The wheels of an image are installed as its Dockerfile says, from the index, and its service starts with them."""

import os
import re
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from deploy.images.dockerfile import lineage, stages
from deploy.images.requirements import read
from deploy.images.table import BY_NAME, ROOT, Image
from tests.fixtures.image_trees import make_tree

pytestmark = pytest.mark.long

CPU = ["embedder", "retriever", "retriever-milvus", "social", "gateway", "museed"]


def install(image: Image, folder: Path) -> Path:
    """Run the line that installs wheels with these folders for the image's; returns the interpreter."""
    [wheels] = [rest.split()[0] for word, rest in lineage(image) if word == "COPY" and "/opt/museed" in rest]
    stage = stages(ROOT / image.dockerfile)[wheels.removeprefix("--from=")]
    [line] = [rest for word, rest in stage.instructions if word == "RUN"]
    made, build = folder / "installed", folder / "build"
    venv.EnvBuilder(symlinks=True, with_pip=False).create(made)
    build.mkdir()
    (build / image.requirements.name).write_text(image.requirements.read_text())
    scripts = sysconfig.get_path("scripts")
    for theirs, ours in {"/opt/tools/bin": scripts, "/opt/museed": str(made), "/build": str(build)}.items():
        line = line.replace(theirs, ours)
    subprocess.run(["sh", "-euc", line], check=True, capture_output=True, timeout=600)
    return made / "bin" / "python"


@pytest.mark.parametrize("name", CPU)
def test_image_is_installed_and_starts(name: str, tmp_path: Path) -> None:
    image = BY_NAME[name]
    python = install(image, tmp_path)
    listing = (
        "import importlib.metadata as m, re;"
        " print(*(re.sub('[-_.]+', '-', found.name).lower() for found in m.distributions()))"
    )
    told = subprocess.run([python, "-I", "-c", listing], check=True, capture_output=True, text=True)
    assert sorted(told.stdout.split()) == sorted(pin.name for pin in read(image.requirements))
    tree = make_tree(image, tmp_path / "tree")
    module = "deploy.local.cli" if name == "museed" else f"services.{name.partition('-')[0]}.__main__"
    subprocess.run(
        [python, "-c", f"import {module}"],
        check=True,
        cwd=tree.app,
        env={**tree.environment, "PATH": os.environ["PATH"]},
        timeout=300,
    )


def test_changed_digest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = BY_NAME["social"].requirements.read_text()
    changed = tmp_path / "social.txt"
    changed.write_text(re.sub(r"(protobuf==\S+ --hash=sha256:)[0-9a-f]{8}", r"\g<1>00000000", text))
    monkeypatch.setattr(Image, "requirements", property(lambda image: changed))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        install(BY_NAME["social"], tmp_path)
    assert b"Hash mismatch for `protobuf" in refused.value.stderr
