"""Each image has what its process needs and nothing of the others: its modules are imported with its wheels alone."""

import json
from pathlib import Path

import pytest

from deploy.images.table import BY_NAME
from tests.fixtures.image_trees import make_tree

IMPORT_ALL = """
import importlib, json, pathlib, sys
failed = {}
for path in sorted(pathlib.Path(sys.argv[1]).rglob("*.py")):
    parts = path.relative_to(".").with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed[name] = error.name
json.dump(failed, sys.stdout)
"""
# Chosen by settings that need what the image lacks, and imported then.
LEFT_OUT: dict[str, dict[str, str]] = {
    "embedder": {
        "services.embedder.bulk.workers": "ray",
        **dict.fromkeys(
            [
                "services.embedder.exact_convolutions",
                "services.embedder.mini_network",
                "services.embedder.torch_encoder",
            ],
            "torch",
        ),
    },
    "retriever": {},
    "social": {},
    "gateway": {},
}


@pytest.mark.parametrize("service", ["embedder", "retriever", "social", "gateway"])
def test_service_is_imported_with_its_own_wheels_alone(service: str, tmp_path: Path) -> None:
    tree = make_tree(BY_NAME[service], tmp_path)
    done = tree.run("-c", IMPORT_ALL, "services")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == LEFT_OUT[service]


def test_command_needs_no_service_beside(tmp_path: Path) -> None:
    tree = make_tree(BY_NAME["museed"], tmp_path)
    done = tree.run("-m", "deploy.local.cli", "--help")
    assert done.returncode == 0, done.stderr
    assert "ingest" in done.stdout
    imported = tree.run("-c", IMPORT_ALL, "deploy")
    assert imported.returncode == 0, imported.stderr
    assert json.loads(imported.stdout) == {}
