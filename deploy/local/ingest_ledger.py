"""Remembers what was read of files, by size and time of change, so that no ingest reads the same bytes twice.

It is a cache: deleting it costs time and nothing else.
"""

import contextlib
import json
import os
import sqlite3
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from deploy.local.files import MIN_DURATION_S, Candidate, Reason, Skipped, TrackFile, read_all

LEDGER = "readings.sqlite3"
# Of what reading finds: a release that finds something else reads everything again.
_REVISION = 3
# Of what a file is, and not of whether it could be opened just now.
_LASTING = frozenset(Reason) - {Reason.UNREADABLE, Reason.BAD_NAME}
_COMMIT_EVERY = 50

# Size, and time of the last change in nanoseconds.
Stamp = tuple[int, int]
_Waiting = tuple[Candidate, Stamp | None, TrackFile | Skipped | None]

_CREATE = """
CREATE TABLE IF NOT EXISTS readings (
    root BLOB, path TEXT, size INTEGER, mtime_ns INTEGER, revision INTEGER, reading TEXT, PRIMARY KEY (root, path)
) WITHOUT ROWID
"""
_FIND = "SELECT reading FROM readings WHERE root = ? AND path = ? AND size = ? AND mtime_ns = ? AND revision = ?"
_STORE = "INSERT OR REPLACE INTO readings VALUES (?, ?, ?, ?, ?, ?)"


class Ledger:
    """What was read before. One that cannot be read or written remembers nothing.

    Args:
        path: Its file; None remembers nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._connection: sqlite3.Connection | None = None
        self._unsaved = 0
        if path is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection = sqlite3.connect(path, timeout=5.0)
                self._connection.execute(_CREATE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.commit()
            self._connection.close()

    def find(self, candidate: Candidate, stamp: Stamp | None) -> TrackFile | Skipped | None:
        """Return what was read of a file of this stamp, None where it must be read."""
        if self._connection is None or stamp is None:
            return None
        with contextlib.suppress(sqlite3.Error, ValueError, TypeError, KeyError):
            row = self._connection.execute(_FIND, _key(candidate, stamp)).fetchone()
            return None if row is None else _reading(json.loads(row[0]))
        return None

    def note(self, candidate: Candidate, stamp: Stamp | None, reading: TrackFile | Skipped) -> None:
        """Remember what was read, unless it may be otherwise the next time.

        Args:
            candidate: The file.
            stamp: Of the file before it was read; one that has another now was read while it was written.
            reading: What was read.
        """
        if self._connection is None or stamp is None or stamp != stamp_of(candidate):
            return
        if isinstance(reading, Skipped) and reading.reason not in _LASTING:
            return
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute(_STORE, (*_key(candidate, stamp), _text(reading)))
            self._unsaved += 1
            if self._unsaved >= _COMMIT_EVERY:
                self._connection.commit()
                self._unsaved = 0


def readings(
    candidates: Iterator[Candidate], ledger: Ledger, min_duration_s: float = MIN_DURATION_S
) -> Generator[tuple[Candidate, TrackFile | Skipped], None, None]:
    """Read files in their order, those of them that are not remembered; closing the generator ends the readers.

    Args:
        candidates: The files.
        ledger: What was read before.
        min_duration_s: Shorter recordings are skipped.
    """
    order: deque[_Waiting] = deque()

    def unknown() -> Iterator[Candidate]:
        for candidate in candidates:
            stamp = stamp_of(candidate)
            known = ledger.find(candidate, stamp)
            if _is_of_other_limit(known, min_duration_s):
                known = None
            order.append((candidate, stamp, known))
            if known is None:
                yield candidate

    with contextlib.closing(read_all(unknown(), min_duration_s=min_duration_s)) as fresh:
        for reading in fresh:
            yield from _remembered(order)
            candidate, stamp, _ = order.popleft()
            ledger.note(candidate, stamp, reading)
            yield candidate, reading
    yield from _remembered(order)


def stamp_of(candidate: Candidate) -> Stamp | None:
    """Return a file's size and the time of its last change; None where they cannot be had, or kept in 64 bits."""
    try:
        found = os.stat(candidate.root / candidate.relative_path)
    except (OSError, ValueError):
        return None
    return (found.st_size, found.st_mtime_ns) if abs(found.st_mtime_ns) < 1 << 63 else None


def _is_of_other_limit(known: TrackFile | Skipped | None, min_duration_s: float) -> bool:
    """Say whether a file was long enough for another limit, or too short for one: it is asked each time."""
    if isinstance(known, TrackFile):
        return known.duration_s < min_duration_s
    return known is not None and known.reason is Reason.AUDIO_TOO_SHORT and known.limit != f"{min_duration_s:g}"


def _remembered(order: deque[_Waiting]) -> Iterator[tuple[Candidate, TrackFile | Skipped]]:
    while order and (known := order[0][2]) is not None:
        yield order.popleft()[0], known


def _key(candidate: Candidate, stamp: Stamp) -> tuple[bytes, str, int, int, int]:
    return os.fsencode(candidate.root), candidate.relative_path, *stamp, _REVISION


def _text(reading: TrackFile | Skipped) -> str:
    values: dict[str, Any] = asdict(reading)
    for name in ("file_hash", "audio_hash"):
        if name in values:
            values[name] = values[name].hex()
    return json.dumps(values)


def _reading(values: dict[str, Any]) -> TrackFile | Skipped:
    if "reason" in values:
        return Skipped(**values | {"reason": Reason(values["reason"])})
    hashes = {name: bytes.fromhex(values[name]) for name in ("file_hash", "audio_hash")}
    return TrackFile(**values | hashes)
