"""Writes which wheels each image installs, with their digests: `python -m deploy.images.requirements`.

Asks the package index by uv; versions are those of requirements/lock.txt. `--check` asks nobody: it compares with the
lock, and with what the extras ask for as far as their packages are installed here.
"""

import argparse
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.images.closure import closure
from deploy.images.table import IMAGES, ROOT, Image

PYTHON_VERSION = "3.11"
PLATFORM = "x86_64-manylinux_2_28"
# There is no wheel of it: its source is installed, which is all Python.
SOURCE_ONLY = "muq"
TOOLS = ROOT / "requirements" / "images" / "tools.txt"
_HEAD = f"# Written by `make lock`: CPython {PYTHON_VERSION} on {PLATFORM}. The number is the size of the file.\n"


@dataclass(frozen=True, slots=True)
class Pin:
    """One line: a package, its version, the SHA-256 of its wheel in hexadecimal, and the wheel's bytes."""

    name: str
    version: str
    sha256: str
    size: int

    def line(self) -> str:
        """Write it as pip and uv read it."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}  # {self.size}"


def read(path: Path) -> list[Pin]:
    """Read a file of pins."""
    return [_pin(line) for line in path.read_text().splitlines() if not line.startswith("#")]


def _pin(line: str) -> Pin:
    required, _, size = line.partition("  # ")
    what, _, digest = required.partition(" --hash=sha256:")
    name, _, version = what.partition("==")
    return Pin(name, version, digest, int(size))


def locked() -> dict[str, str]:
    """Return the version of each package that the lock has for the images' Python and platform."""
    environment = {
        "python_full_version": f"{PYTHON_VERSION}.0",
        "python_version": PYTHON_VERSION,
        "sys_platform": "linux",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    found: dict[str, str] = {}
    for name in ("lock.txt", "no-deps.txt"):
        for line in (ROOT / "requirements" / name).read_text().splitlines():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate(environment):
                found[canonicalize_name(requirement.name)] = next(iter(requirement.specifier)).version
    return found


def faults(image: Image) -> Iterator[str]:
    """Tell what is wrong with an image's file, without asking the index."""
    where = image.requirements.relative_to(ROOT)
    if not image.requirements.is_file():
        yield f"{where} is missing: make lock"
        return
    versions = locked()
    pins = {pin.name: pin for pin in read(image.requirements)}
    for pin in pins.values():
        if versions.get(pin.name) != pin.version:
            yield f"{where}: {pin.name} {pin.version}, and the lock has {versions.get(pin.name)}: make lock"
    found = closure(image.extras, image.files_only)
    # What is not installed here may ask for further packages, which cannot be known.
    for name in sorted(found.known - pins.keys()):
        yield f"{where}: {name} is missing: make lock"
    if not found.is_partial:
        for name in sorted(pins.keys() - found.known):
            yield f"{where}: nothing asks for {name}: make lock"


def resolve(arguments: list[str]) -> list[Pin]:
    """Have uv choose wheels for the images' platform.

    Raises:
        subprocess.CalledProcessError: It cannot; it has said why.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pylock.toml"
        command = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "--quiet", "--format", "pylock.toml"]
        platform = ["--python-version", PYTHON_VERSION, "--python-platform", PLATFORM]
        wheels = ["--only-binary", ":all:", "--no-binary", SOURCE_ONLY]
        subprocess.run([*command, *platform, *wheels, *arguments, "-o", str(path)], check=True, cwd=ROOT)
        packages: list[dict[str, Any]] = tomllib.loads(path.read_text())["packages"]
    return sorted((_chosen(package) for package in packages), key=lambda pin: pin.name)


def _chosen(package: dict[str, Any]) -> Pin:
    wheels = package.get("wheels", [])
    # The first is the one that fits best.
    file = wheels[0] if wheels else package["sdist"]
    return Pin(package["name"], package["version"], file["hashes"]["sha256"], file["size"])


def _write(image: Image) -> None:
    pinned = ["--constraint", "requirements/lock.txt", "--override", "requirements/overrides.txt"]
    extras = [part for extra in image.extras for part in ("--extra", extra)]
    pins = resolve([*pinned, *extras, "pyproject.toml"])
    if image.files_only:
        pins += resolve(["--no-deps", "requirements/no-deps.txt"])
    write(image.requirements, pins)


def write(path: Path, pins: list[Pin]) -> None:
    """Write a file of pins, ordered by name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_HEAD + "".join(f"{pin.line()}\n" for pin in sorted(pins, key=lambda pin: pin.name)))


def main() -> None:
    """Write or check all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        found = [fault for image in IMAGES for fault in faults(image)]
        sys.exit("\n".join(found) or None)
    for image in IMAGES:
        _write(image)
    tool = f"uv=={locked()['uv']}"
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(tool)
        file.flush()
        write(TOOLS, resolve(["--no-deps", file.name]))


if __name__ == "__main__":
    main()
