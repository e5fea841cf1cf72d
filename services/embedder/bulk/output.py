"""The folder of a run: a folder for each part, there whole or not at all, and notes of what was begun.

OUT/run.json                   which manifest, cut how, heard by which encoder
OUT/parts/000012/vectors.npy   float32 of (rows, dimension), unit rows
                 vectors.jsonl whose row is whose; `museed vectors import` takes both
                 left_out.jsonl which rows of the manifest are not among them, and why
OUT/begun/000012               rows that were begun and ended, while the part is at work
"""

import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import numpy as np

from services.embedder.bulk.rows import Row
from services.embedder.embedding import TrackEmbedding

_VERSION = 1
# How often a worker may die at a row, when it does nothing else, until the row is left out.
MOST_DEATHS = 3


class RunError(RuntimeError):
    """A folder is not of this run, or cannot be written; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of a row that was heard."""

    row: Row
    audio_hash: str
    embedding: TrackEmbedding


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row without a vector, and why."""

    row: Row
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PartReport:
    """How many rows of a part were heard, and how many left out by reason."""

    number: int
    heard: int
    left_out: dict[str, int]


class RunFolder:
    """Where a run writes; any number of processes may have it open, on a file system that they share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, manifest_sha256: str, part_rows: int, encoder_id: str) -> None:
        """Begin a run, or go on with the one that is there.

        Raises:
            RunError: Another run is there, or nothing can be written.
        """
        wanted = {
            "version": _VERSION,
            "manifest_sha256": manifest_sha256,
            "part_rows": part_rows,
            "encoder_id": encoder_id,
        }
        path = self._folder / "run.json"
        try:
            for name in ("parts", "begun"):
                (self._folder / name).mkdir(parents=True, exist_ok=True)
            if not path.exists():
                _write_whole(path, (json.dumps(wanted) + "\n").encode())
            found = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: {error}") from error
        if found != wanted:
            names = [name for name, value in wanted.items() if not isinstance(found, dict) or found.get(name) != value]
            raise RunError(f"{self._folder} holds another run ({', '.join(names)} differ): name another folder")

    def is_done(self, number: int) -> bool:
        """Say whether a part is there."""
        return self._part(number).is_dir()

    def report(self, number: int) -> PartReport:
        """Return what became of a part that is there."""
        with (self._part(number) / "vectors.jsonl").open("rb") as heard:
            count = sum(1 for _ in heard)
        with (self._part(number) / "left_out.jsonl").open("rb") as left_out:
            return PartReport(number, count, dict(Counter(json.loads(line)["reason"] for line in left_out)))

    def notes(self, number: int) -> "Notes":
        """Open the notes of a part."""
        return Notes(self._folder / "begun" / f"{number:06}")

    def write(
        self, number: int, encoder_id: str, dimension: int, heard: Sequence[Heard], left_out: Sequence[LeftOut]
    ) -> None:
        """Write a part; of two who write the same one the first wins.

        Args:
            number: Which part.
            encoder_id: Who heard.
            dimension: Of each vector.
            heard: In order of the manifest, as `left_out`.
            left_out: All other rows of the part.
        """
        part, making = self._part(number), self._folder / "parts" / f".{number:06}.{uuid4().hex}"
        making.mkdir()
        try:
            matrix = np.empty((len(heard), dimension), dtype="<f4")
            for place, one in enumerate(heard):
                matrix[place] = one.embedding.vector
            with (making / "vectors.npy").open("wb") as file:
                np.lib.format.write_array(file, matrix, (1, 0), allow_pickle=False)
                os.fsync(file.fileno())
            _write_lines(making / "vectors.jsonl", (_heard_line(one, encoder_id) for one in heard))
            _write_lines(making / "left_out.jsonl", (_left_out_line(one) for one in left_out))
            _sync_folder(making)
            with contextlib.suppress(OSError):  # it is there
                os.rename(making, part)
                _sync_folder(part.parent)
            if not part.is_dir():
                raise RunError(f"{part} cannot be written")
        finally:
            shutil.rmtree(making, ignore_errors=True)
        self.notes(number).remove()

    def tidy(self) -> None:
        """Delete what killed processes left of parts; nobody else may be at work."""
        for left in (self._folder / "parts").glob(".*"):
            shutil.rmtree(left, ignore_errors=True)

    def _part(self, number: int) -> Path:
        return self._folder / "parts" / f"{number:06}"


class Notes:
    """Which rows of a part were begun, and which of them ended, over all tries: a row at which workers die shows.

    They are not synced: a process that is killed loses none of them, a machine that dies only the suspicion.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> Self:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def begin(self, row: Row) -> None:
        """Note that a row is begun."""
        os.write(self._descriptor, f"{row.number} begun\n".encode())

    def end(self, row: Row) -> None:
        """Note that something became of it."""
        os.write(self._descriptor, f"{row.number} ended\n".encode())

    def deaths(self) -> Counter[int]:
        """Return by a row's number how often it was begun and nothing became of it."""
        found: Counter[int] = Counter()
        with contextlib.suppress(FileNotFoundError):
            for line in self._path.read_bytes().splitlines():
                number, _, what = line.partition(b" ")
                if number.isdigit() and what in (b"begun", b"ended"):
                    found[int(number)] += 1 if what == b"begun" else -1
        return +found

    def remove(self) -> None:
        """Delete them."""
        self._path.unlink(missing_ok=True)


def _heard_line(one: Heard, encoder_id: str) -> dict[str, Any]:
    """Return what `museed vectors import` reads, and beside it what it passes over: nothing is heard twice for that."""
    found = one.embedding.descriptors
    return {
        "audio_hash": one.audio_hash,
        "encoder_id": encoder_id,
        "duration_s": one.embedding.duration_seconds,
        "path": one.row.path,
        "tags": [[name, round(score, 4)] for name, score in one.embedding.tags[:10]],
        "descriptors": None if found is None else {name: getattr(found, name) for name in found.__slots__},
    }


def _left_out_line(one: LeftOut) -> dict[str, Any]:
    return {
        "row": one.row.number,
        "path": one.row.path,
        "audio_hash": one.row.audio_hash,
        "reason": one.reason,
        "message": one.message,
    }


def _write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _write_whole(path: Path, data: bytes) -> None:
    making = path.with_name(f".{path.name}.{uuid4().hex}")
    with making.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(making, path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
