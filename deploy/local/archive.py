"""A backup as one tar file: what it holds comes first, the checksums of all of it last, so that it is read once.

A file that ends too early has no checksums, and what was changed has others: nothing of it is taken.
"""

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import IO, Any

MANIFEST = "manifest.json"
_FORMAT = 1
# What the list of checksums may say of a file beside its name.
_MANIFEST_BYTES, _MANIFEST_BYTES_A_FILE = 10_000, 100
_CHUNK_BYTES = 1024 * 1024
# What a backup may hold; nothing that leads out of the folder.
_NAME = re.compile(r"database\.dump|encoder\.json|secrets\.json|(blobs|models)(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")


def can_hold(name: str) -> bool:
    """Say whether a backup may hold a file of this name."""
    return _NAME.fullmatch(name) is not None


class BackupError(RuntimeError):
    """A backup cannot be made or taken; the text says why, with the file's name."""


class _Hashing(io.RawIOBase):
    """Reads a file and hashes what was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


@dataclass
class ArchiveWriter:
    """Adds files to a backup; made by `writing`."""

    tar: tarfile.TarFile
    checksums: dict[str, str] = field(default_factory=dict)
    size_bytes: int = 0

    def add(self, name: str, file: IO[bytes], size: int) -> None:
        """Add so many bytes of a file under a name.

        Raises:
            OSError: The file is shorter.
        """
        assert can_hold(name), f"{name} could not be taken from the archive again"
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, 0o600
        source = _Hashing(file)
        self.tar.addfile(entry, source)
        self.checksums[name] = source.digest.hexdigest()
        self.size_bytes += size

    def add_bytes(self, name: str, data: bytes) -> None:
        """Add bytes under a name."""
        self.add(name, io.BytesIO(data), len(data))

    def add_path(self, name: str, path: Path) -> None:
        """Add a file under a name.

        Raises:
            FileNotFoundError: It is gone; nothing was added.
            OSError: It cannot be read.
        """
        with path.open("rb") as file:
            self.add(name, file, os.fstat(file.fileno()).st_size)


@contextmanager
def writing(path: Path) -> Iterator[ArchiveWriter]:
    """Write a backup inside a `with`; the file is there when it is whole, readable by its owner only.

    Raises:
        BackupError: Somebody else has written that file meanwhile; it stays.
        OSError: It cannot be written; nothing is left of it.
    """
    # Of this process alone: who writes to the same place at once must not write into this file.
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                writer = ArchiveWriter(tar)
                yield writer
                said = {
                    "format": _FORMAT,
                    "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
                    "made_by": f"museed {metadata.version('museed')}",
                    "sha256": writer.checksums,
                }
                data = json.dumps(said, indent=1).encode()
                entry = tarfile.TarInfo(MANIFEST)
                entry.size, entry.mode = len(data), 0o600
                tar.addfile(entry, io.BytesIO(data))
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            raise BackupError(f"{path} is there already")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def extract(path: Path, folder: Path) -> None:
    """Write everything that a backup holds below a folder, and check all of it.

    Raises:
        BackupError: It is damaged, or no backup; the text names it. What was written must be thrown away.
        OSError: It cannot be read, or the folder cannot be written.
    """
    found: dict[str, str] = {}
    manifest: dict[str, Any] | None = None  # any JSON
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r|") as tar:
            for entry in tar:
                # A sparse file is as large as it says, whatever the size of the backup.
                content = tar.extractfile(entry) if entry.isreg() and not entry.issparse() else None
                if content is None or manifest is not None:
                    raise BackupError(f"{path} is no backup of museed: {entry.name[:100]!r} does not belong there")
                if entry.name == MANIFEST:
                    longest = _MANIFEST_BYTES + sum(_MANIFEST_BYTES_A_FILE + len(name) for name in found)
                    manifest = json.loads(content.read(longest))
                elif not can_hold(entry.name) or entry.name in found:
                    raise BackupError(f"{path} is no backup of museed: {entry.name[:100]!r} does not belong there")
                else:
                    found[entry.name] = _write(content, folder / entry.name)
    except (tarfile.TarError, ValueError, EOFError, RecursionError) as error:
        raise BackupError(f"{path} is damaged: {error}") from error
    _check(path, manifest, found)


def _write(content: IO[bytes], target: Path) -> str:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with open(target, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _check(path: Path, manifest: dict[str, Any] | None, found: dict[str, str]) -> None:
    if manifest is None:
        raise BackupError(f"{path} is damaged: it ends too early")
    if not isinstance(manifest, dict) or not isinstance(manifest.get("sha256"), dict):
        raise BackupError(f"{path} is damaged: its list of checksums cannot be read")
    if manifest.get("format") != _FORMAT:
        raise BackupError(f"{path} was made by {manifest.get('made_by', 'another version')}, which wrote it otherwise")
    for name, checksum in manifest["sha256"].items():
        if found.get(name) != checksum:
            raise BackupError(f"{path} is damaged: {name} is not what was backed up")
    if more := found.keys() - manifest["sha256"].keys():
        raise BackupError(f"{path} is damaged: {min(more)} was not backed up with it")
