"""Generates the Python code of every contract under protos/museed; `--check` only compares.

Usage: python protos/generate.py [--check]
"""

import filecmp
import shutil
import sys
import sysconfig
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).parent
GENERATED = PROTOS / "gen"
SCRIPTS = Path(sysconfig.get_path("scripts"))


def generate(destination: Path) -> None:
    """Write messages, stubs and their type hints below `destination`, which must exist."""
    sources = sorted(str(path) for path in (PROTOS / "museed").rglob("*.proto"))
    plugins = [f"--plugin={name}={SCRIPTS / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    flags = [f"--{kind}_out={destination}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    well_known = str(files("grpc_tools") / "_proto")
    if protoc.main(["protoc", f"-I{PROTOS}", f"-I{well_known}", *plugins, *flags, *sources]) != 0:
        raise SystemExit("protoc failed")


def differing(left: Path, right: Path) -> list[str]:
    """List the files, relative to the roots, that are not the same on both sides."""
    names = {
        path.relative_to(root)
        for root in (left, right)
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return sorted(
        str(name)
        for name in names
        if not (left / name).is_file()
        or not (right / name).is_file()
        or not filecmp.cmp(left / name, right / name, shallow=False)
    )


def main() -> None:
    """Regenerate in place, or say which files are stale and exit 1."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        if "--check" in sys.argv[1:]:
            if stale := differing(fresh, GENERATED):
                raise SystemExit(f"stale generated code, run `make protos`: {', '.join(stale)}")
            return
        shutil.rmtree(GENERATED, ignore_errors=True)
        shutil.copytree(fresh, GENERATED)


if __name__ == "__main__":
    main()
