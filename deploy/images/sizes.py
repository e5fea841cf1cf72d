"""Writes how large each image is: `python -m deploy.images.sizes` writes SIZES.md, `--check` compares it.

A wheel's size on the disk is what its RECORD lists, without the small scripts that name the environment's folder. Of
wheels that are not installed here it is what `--fetch` once found, kept in unpacked.tsv.
"""

import argparse
import csv
import importlib.metadata
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from deploy.images.dockerfile import copied_files, kept_by_dockerignore
from deploy.images.installed import installed
from deploy.images.requirements import Pin, read
from deploy.images.table import IMAGES, ROOT, Image

TABLE = Path(__file__).with_name("SIZES.md")
UNPACKED = Path(__file__).with_name("unpacked.tsv")
_MB = 1_000_000
_LARGEST = 4
_HEAD = """# How large the images are

Written by `python -m deploy.images.sizes` from the wheels that each image installs (`requirements/images`): MB of 10^6
bytes, without the base image, our own code (some 3 MB) and compiled bytecode.

| image | wheels | to download | on disk | model | largest on disk |
|---|---|---|---|---|---|
"""


def installed_bytes(distribution: importlib.metadata.Distribution) -> int:
    """Add up what a RECORD lists."""
    scripts = {f"bin/{entry.name}" for entry in distribution.entry_points if entry.group == "console_scripts"}
    files = distribution.files or []
    return sum(file.size or 0 for file in files if "/".join(file.parts[-2:]) not in scripts)


def _is_ours(pin: Pin) -> bool:
    try:
        return installed(pin.name).version == pin.version
    except importlib.metadata.PackageNotFoundError:
        return False


def _kept() -> dict[tuple[str, str], int]:
    if not UNPACKED.is_file():
        return {}
    with UNPACKED.open(newline="") as file:
        return {(name, version): int(size) for name, version, size in csv.reader(file, delimiter="\t")}


def on_disk(pins: Iterable[Pin]) -> dict[tuple[str, str], int]:
    """Return each wheel's bytes on the disk, by name and version.

    Raises:
        KeyError: One is neither installed here nor kept.
    """
    kept = _kept()
    found = {}
    for pin in pins:
        key = (pin.name, pin.version)
        found[key] = installed_bytes(installed(pin.name)) if _is_ours(pin) else kept[key]
    return found


def table(images: Iterable[Image] = IMAGES) -> str:
    """Return SIZES.md as it has to be."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    kept = kept_by_dockerignore(listed.stdout.split("\0")[:-1])
    return _HEAD + "".join(f"{_row(image, kept)}\n" for image in images)


def _row(image: Image, kept: frozenset[str]) -> str:
    pins = read(image.requirements)
    sizes = on_disk(pins)
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:_LARGEST]
    copied = copied_files(image, kept)
    model = sum(path.stat().st_size for place, path in copied.items() if place.startswith("/app/models/"))
    cells = [
        f"`{image.name}`",
        str(len(pins)),
        _mb(sum(pin.size for pin in pins)),
        _mb(sum(sizes.values())),
        _mb(model) if model else "–",
        ", ".join(f"{name} {_mb(size)}" for (name, _), size in largest),
    ]
    return f"| {' | '.join(cells)} |"


def _mb(size: int) -> str:
    return f"{size / _MB:,.0f}"


def faults() -> Iterator[str]:
    """Tell what is wrong with SIZES.md."""
    try:
        wanted = table()
    except KeyError as error:
        yield f"{UNPACKED.name} has no size of {' '.join(error.args[0])}: python -m deploy.images.sizes --fetch"
        return
    if not TABLE.is_file() or TABLE.read_text() != wanted:
        yield f"{TABLE.name} is not what the wheels say: python -m deploy.images.sizes"


def fetch() -> None:
    """Download the wheels that are not installed here into a folder that goes again, and keep their sizes."""
    pins = {(pin.name, pin.version): pin for image in IMAGES for pin in read(image.requirements)}
    kept = _kept()
    found = {}
    for key, pin in sorted(pins.items()):
        if not _is_ours(pin):
            found[key] = kept[key] if key in kept else _fetched_bytes(pin)
    with UNPACKED.open("w", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([*key, size] for key, size in found.items())


def _fetched_bytes(pin: Pin) -> int:
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(pin.line())
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        subprocess.run([*command, "--dest", folder, "--requirement", str(wanted)], check=True)
        [wheel] = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return sum(entry.file_size for entry in archive.infolist())


def main() -> None:
    """Write the table, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--fetch", action="store_true")
    asked = parser.parse_args()
    if asked.fetch:
        fetch()
    if asked.check:
        sys.exit("\n".join(faults()) or None)
    TABLE.write_text(table())


if __name__ == "__main__":
    main()
