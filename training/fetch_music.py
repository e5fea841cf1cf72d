"""Fetches the soundtracks of the catalogue from Debian's packages into a folder. Needs `apt-get` and `dpkg-deb`.

    python -m training.fetch_music DIR [--more] [PACKAGE …]

Without names it fetches what the catalogue labels, and with --more also what is only learnt from. Each package becomes
DIR/PACKAGE with its audio and its licence; one that is there already is left alone. The recordings keep their own
licences, which is why they are fetched and never committed.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from training.catalogue import more_packages, read_catalogue

_AUDIO = frozenset({".flac", ".mp3", ".oga", ".ogg", ".opus"})
_ARCHIVES = frozenset({".pk3", ".zip"})  # which hold the music of some games
_COMPLETE = ".complete"
_TIMEOUT_S = 1_800


class CannotFetch(Exception):
    """A package is not to be had; the text says why."""


def packages() -> list[str]:
    """Name the packages whose music is labelled."""
    return sorted({track.package for track in read_catalogue()})


def fetch(package: str, folder: Path) -> int:
    """Fetch one package; blocks for as long as the network takes, at most half an hour.

    Args:
        package: Its name.
        folder: Where PACKAGE is made.

    Returns:
        How many audio files it has; 0 when it is there already.

    Raises:
        CannotFetch: There is no such package, or no tool for it.
    """
    if (folder / package / _COMPLETE).is_file():
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        _run(["apt-get", "-q", "download", package], Path(scratch))
        found = sorted(Path(scratch).glob("*.deb"))
        if not found:
            raise CannotFetch(f"apt-get fetched nothing for {package}")
        return unpack(found[0], folder / package)


def unpack(deb: Path, destination: Path) -> int:
    """Take a package's audio and licence out of it, archives of games included; returns how many audio files."""
    shutil.rmtree(destination, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        _run(["dpkg-deb", "-x", str(deb), scratch], deb.parent)
        root = Path(scratch)
        for path in sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink()):
            kept = destination / path.relative_to(root)
            if path.suffix.lower() in _AUDIO or path.name == "copyright":
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, kept)
            elif path.suffix.lower() in _ARCHIVES:
                _unpack_archive(path, kept.with_name(kept.name + ".d"))
    destination.mkdir(parents=True, exist_ok=True)
    (destination / _COMPLETE).touch()
    return sum(path.suffix.lower() in _AUDIO for path in destination.rglob("*"))


def _unpack_archive(path: Path, destination: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if PurePosixPath(name).suffix.lower() in _AUDIO:
                archive.extract(name, destination)  # which keeps names below the destination


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except FileNotFoundError as error:
        raise CannotFetch(f"{command[0]} is missing: the music comes from Debian's packages") from error
    except subprocess.TimeoutExpired as error:
        raise CannotFetch(f"{command[0]} took more than {_TIMEOUT_S} s") from error
    if done.returncode:
        raise CannotFetch(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")


def main() -> int:
    """Fetch what is named, or all; returns 1 when something could not be fetched."""
    parser = argparse.ArgumentParser(prog="python -m training.fetch_music", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="where to; about 1.3 GB")
    parser.add_argument("package", nargs="*", help=f"some of: {', '.join([*packages(), *more_packages()])}")
    parser.add_argument("--more", action="store_true", help=f"{len(more_packages())} packages more, 6 GB to fetch")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for package in options.package or [*packages(), *(more_packages() if options.more else ())]:
        try:
            count = fetch(package, options.folder)
        except CannotFetch as error:
            failed += 1
            print(f"{package:<30} {error}", file=sys.stderr)
        else:
            print(f"{package:<30} {f'{count} audio files' if count else 'is there'}")
    if failed:
        print(f"{failed} packages are missing; run `apt-get update` as root, then call this again.", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
