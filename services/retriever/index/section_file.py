"""The format of the files that the retriever keeps: named sections under one checksummed header.

    8 bytes     MUSEEDS4
    32 bytes    SHA-256 of the rest of the header
    4,056 bytes JSON, filled up with blanks: what the writer says of the file, and bytes and SHA-256 of each section
    sections    one behind the other, each filled up with zeros to a multiple of 64 bytes, which its SHA-256 covers

No byte can change unnoticed, and nothing is ever executed from it. A section begins where a processor likes an array
to begin, so that it can be used as it lies in the file. What the sections mean is not decided here.
"""

import hashlib
import json
import mmap
import os
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_MAGIC = b"MUSEEDS4"
_DIGEST_BYTES = 32
_HEADER_BYTES = 4096
_TEXT_AT = len(_MAGIC) + _DIGEST_BYTES
_ALIGNMENT = 64
_READ_AT_ONCE = 1 << 20


class CorruptFileError(Exception):
    """A file is not what was once written; the text says in what."""


class SectionWriter:
    """Writes a file section by section; it is a file of this format only after `finish`.

    Args:
        path: Must not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb")
        self._file.write(b"\0" * _HEADER_BYTES)
        self._sections: dict[str, dict[str, int | str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, name: str, parts: Iterable[bytes | memoryview]) -> None:
        """Write a section; blocks."""
        with SectionStream(self, name) as stream:
            for part in parts:
                stream.write(part)

    def mapped(self, name: str) -> memoryview:
        """Return a section that has been written, as it lies in the file; stays usable when the file is renamed."""
        self._file.flush()
        with self._path.open("rb") as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        at, size = int(self._sections[name]["at"]), int(self._sections[name]["bytes"])
        return mapped[at : at + size]

    def finish(self, facts: dict[str, Any]) -> str:
        """Write the header and wait until all is on the disk; return the file's digest.

        Args:
            facts: What is to be said of the file, in JSON at most about 1,000 bytes.
        """
        text = json.dumps({**facts, "sections": self._sections}).encode().ljust(_HEADER_BYTES - _TEXT_AT)
        if len(text) != _HEADER_BYTES - _TEXT_AT:
            raise ValueError(f"the header has {len(text)} bytes, {_HEADER_BYTES - _TEXT_AT} is the limit")
        digest = hashlib.sha256(text)
        self._file.seek(0)
        self._file.write(_MAGIC + digest.digest() + text)
        self._file.flush()
        os.fsync(self._file.fileno())
        return digest.hexdigest()


class SectionStream:
    """Writes one section, in parts, to its end."""

    def __init__(self, writer: SectionWriter, name: str) -> None:
        self._writer = writer
        self._name = name
        self._at = writer._file.tell()
        self._bytes = 0
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        size = self._bytes
        self.write(b"\0" * (-size % _ALIGNMENT))
        self._writer._sections[self._name] = {"at": self._at, "bytes": size, "sha256": self._digest.hexdigest()}

    def write(self, part: bytes | memoryview) -> int:
        """Write some of it; return how much."""
        self._digest.update(part)
        self._bytes += len(part)
        return self._writer._file.write(part)


class SectionFile:
    """A file that was read and checked, as it lies in the page cache; its sections keep it mapped.

    Args:
        path: The file; blocks until all of it has been read once.

    Raises:
        CorruptFileError: A byte is missing, too many, or another than was written.
        OSError: The file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < _HEADER_BYTES:
                raise CorruptFileError("it is shorter than a header")
            self._mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            self._read_header()
            self._check(file)
        self._path = path

    def _read_header(self) -> None:
        text = self._mapped[_TEXT_AT:_HEADER_BYTES]
        if self._mapped[: len(_MAGIC)] != _MAGIC:
            raise CorruptFileError("it does not begin like a file of the retriever")
        digest = hashlib.sha256(text)
        if digest.digest() != self._mapped[len(_MAGIC) : _TEXT_AT]:
            raise CorruptFileError("the header is damaged")
        self.digest = digest.hexdigest()
        self.facts: dict[str, Any] = json.loads(bytes(text))
        self._sections: dict[str, dict[str, Any]] = self.facts.pop("sections")

    def section(self, name: str) -> memoryview:
        """Return the bytes of a section."""
        found = self._sections[name]
        return self._mapped[found["at"] : found["at"] + found["bytes"]]

    def read_into(self, name: str, memory: memoryview) -> None:
        """Copy a section of the same size; quicker than out of the mapping, which is made page by page.

        Raises:
            OSError: The file cannot be read.
        """
        with self._path.open("rb", buffering=0) as file:
            file.seek(self._sections[name]["at"])
            at = 0
            while at < len(memory):
                count = file.readinto(memory[at:])
                if not count:
                    raise OSError(f"{self._path} has become shorter")
                at += count

    def _check(self, file: BufferedReader) -> None:
        expected = _HEADER_BYTES + sum(_filled(each["bytes"]) for each in self._sections.values())
        if len(self._mapped) != expected:
            raise CorruptFileError(f"it has {len(self._mapped)} bytes, {expected} were written")
        buffer = memoryview(bytearray(_READ_AT_ONCE))
        for name, each in self._sections.items():
            digest = hashlib.sha256()
            file.seek(each["at"])
            left = _filled(each["bytes"])
            while left and (count := file.readinto(buffer[: min(left, _READ_AT_ONCE)])):
                digest.update(buffer[:count])
                left -= count
            if digest.hexdigest() != each["sha256"]:
                raise CorruptFileError(f"the section {name} is damaged")


def read_facts(path: Path) -> dict[str, Any]:
    """Return what a file says of itself, without checking the rest; nothing where the header is damaged.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if hashlib.sha256(header[_TEXT_AT:]).digest() != header[len(_MAGIC) : _TEXT_AT]:
        return {}
    facts: dict[str, Any] = json.loads(header[_TEXT_AT:])
    return facts


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on the disk, so that a rename survives a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _filled(size: int) -> int:
    return size + -size % _ALIGNMENT
