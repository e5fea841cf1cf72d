"""Overlays with components added to them, in a copy of the manifests."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import yaml

from deploy.k8s.manifests import FOLDER


def copied_manifests(tree: Path) -> Path:
    """Copy what kubectl reads to a folder that does not exist yet, and return that."""
    shutil.copytree(FOLDER, tree, ignore=shutil.ignore_patterns("*.py", "__pycache__", "*.md", "schemas"))
    return tree


def overlay_with(tree: Path, overlay: str, components: Sequence[str]) -> Path:
    """Lay an overlay with these components beside it; returns its folder."""
    folder = tree / "overlays" / "-".join(("of", overlay, *(Path(name).name for name in components)))
    shutil.copytree(tree / "overlays" / overlay, folder)
    path = folder / "kustomization.yaml"
    wanted = yaml.safe_load(path.read_text())
    # As README.md says: before those of the overlay itself.
    wanted["components"] = [f"../../components/{name}" for name in components] + wanted.get("components", [])
    if not wanted["components"]:
        del wanted["components"]
    path.write_text(yaml.safe_dump(wanted))
    return folder
