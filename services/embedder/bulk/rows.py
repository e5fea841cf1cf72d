"""Reads the manifest of a catalogue in parts: which files, and under which hash of their audio each vector goes."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

_HASH = re.compile(r"[0-9a-f]{64}")
_LONGEST_LINE_BYTES = 1 << 20
_PARQUET_ROWS = 10_000

ROW_INVALID = "ROW_INVALID"


class ManifestError(ValueError):
    """The manifest as a whole cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """A file to hear.

    Attributes:
        number: Of the row in the manifest, from 0.
        path: As the manifest has it: `s3://bucket/key`, or a path, which may be relative to the root.
        audio_hash: 64 hexadecimal digits; empty where it is to be computed of the file.
        fault: Why the row is none; empty where it is one.
    """

    number: int
    path: str
    audio_hash: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that are written together."""

    number: int
    rows: tuple[Row, ...]


def parts(manifest: Path, rows: int) -> Iterator[Part]:
    """Cut a manifest into parts of so many rows each; nothing is read before it is asked for.

    Args:
        manifest: JSON Lines, or Parquet by its name's end: `path`, and `audio_hash` where it is known.
        rows: In each part but the last.

    Raises:
        ManifestError: It cannot be read, or a Parquet file has no column `path`.
    """
    found = _parquet_rows(manifest) if manifest.suffix == ".parquet" else _json_rows(manifest)
    number = 0
    while part := tuple(islice(found, rows)):
        yield Part(number, part)
        number += 1


def digest(manifest: Path) -> str:
    """Return the SHA-256 of a manifest in hexadecimal: another one is another run.

    Raises:
        ManifestError: It cannot be read.
    """
    try:
        with manifest.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ManifestError(f"{manifest}: {error.strerror}") from error


def _json_rows(manifest: Path) -> Iterator[Row]:
    try:
        with manifest.open("rb") as file:
            number = 0
            while line := file.readline(_LONGEST_LINE_BYTES + 1):
                is_whole = len(line) <= _LONGEST_LINE_BYTES
                yield _json_row(number, line) if is_whole else Row(number, "", fault="the line is longer than 1 MiB")
                while not line.endswith(b"\n") and (line := file.readline(_LONGEST_LINE_BYTES)):
                    pass
                number += 1
    except OSError as error:
        raise ManifestError(f"{manifest}: {error.strerror}") from error


def _json_row(number: int, line: bytes) -> Row:
    try:
        given = json.loads(line)
    except (ValueError, RecursionError):
        return Row(number, "", fault="no JSON")
    return _row(number, given) if isinstance(given, dict) else Row(number, "", fault="no JSON object")


def _parquet_rows(manifest: Path) -> Iterator[Row]:
    import pyarrow as arrow  # only who has such a manifest needs it
    import pyarrow.parquet as parquet

    try:
        file = parquet.ParquetFile(manifest)
        names = [name for name in ("path", "audio_hash") if name in file.schema_arrow.names]
        if "path" not in names:
            raise ManifestError(f"{manifest} has no column path")
        number = 0
        for batch in file.iter_batches(_PARQUET_ROWS, columns=names):
            for given in batch.to_pylist():
                yield _row(number, given)
                number += 1
    except (OSError, arrow.ArrowInvalid) as error:
        raise ManifestError(f"{manifest}: {error}") from error


def _row(number: int, given: dict[str, Any]) -> Row:
    path, audio_hash = given.get("path"), given.get("audio_hash") or ""
    if not isinstance(path, str) or not path or "\0" in path:
        return Row(number, "", fault="path is no text, or empty")
    if not isinstance(audio_hash, str) or (audio_hash and not _HASH.fullmatch(audio_hash.lower())):
        return Row(number, path, fault="audio_hash is not 64 hexadecimal digits")
    return Row(number, path, audio_hash.lower())
