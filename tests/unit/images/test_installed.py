"""What counts as installed is what is in the environment, and not what lies before it on the path."""

import importlib.metadata
from pathlib import Path

import pytest

from deploy.images.installed import installed


def test_package_of_another_folder_does_not_hide_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = installed("psutil").version
    other = tmp_path / "psutil-0.0.1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: psutil\nVersion: 0.0.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.metadata.version("psutil") == "0.0.1"
    assert installed("psutil").version == ours


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        installed("no-such-package")
