"""What a listener says of a playlist, checked, and kept as one JSON line each. Knows no HTTP."""

import json
import os
import threading
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from training.listening.study import StudyInvalid

QUESTIONS = ("relevance", "serendipity", "satisfaction")

Mark = Annotated[int, Field(ge=1, le=5, strict=True)]


class PlaylistUnknown(ValueError):
    """A rating of a playlist that this test does not have."""


class RatedAlready(ValueError):
    """A second rating of a playlist by the same listener."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must hold no control characters")
    return text


class Rating(BaseModel):
    """A listener's marks for a playlist.

    Attributes:
        rater: What the listener calls themselves; any printable text.
        playlist: Its opaque id.
        relevance: From 1, nothing to do with the seed, to 5, just what it asks for.
        serendipity: From 1, nothing new, to 5, happy finds.
        satisfaction: From 1 to 5.
        comment: May be empty.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rater: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40), AfterValidator(_printable)
    ]
    playlist: str
    relevance: Mark
    serendipity: Mark
    satisfaction: Mark
    comment: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = ""


class RatingFile:
    """An append-only file of ratings, one JSON object a line. One process may have it open; threads may share it.

    Args:
        path: Made where it is missing; a last line that a crash cut short is removed.
        playlists: The ids that may be rated.

    Raises:
        StudyInvalid: A line is no rating.
    """

    def __init__(self, path: Path, playlists: Collection[str]) -> None:
        self._path = path
        self._playlists = frozenset(playlists)
        self._lock = threading.Lock()
        _drop_cut_line(path)
        self._rated = {(rating.rater, rating.playlist) for rating in read_ratings(path)}

    def append(self, rating: Rating) -> None:
        """Keep a rating; returns when it is on the disk.

        Raises:
            PlaylistUnknown: The test has no such playlist.
            RatedAlready: This listener has rated it; nothing changes.
            OSError: It cannot be written.
        """
        if rating.playlist not in self._playlists:
            raise PlaylistUnknown(f"no playlist {rating.playlist!r} in this test")
        entry = {"rated_at": datetime.now(UTC).isoformat(timespec="seconds")} | rating.model_dump()
        line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
        with self._lock:
            if (rating.rater, rating.playlist) in self._rated:
                raise RatedAlready(f"{rating.rater} has rated this playlist already")
            with self._path.open("ab", buffering=0) as file:
                file.write(line)
                os.fsync(file.fileno())
            self._rated.add((rating.rater, rating.playlist))

    def rated_by(self, rater: str) -> list[str]:
        """List the ids of the playlists that a listener has rated."""
        with self._lock:
            return sorted(playlist for who, playlist in self._rated if who == rater)


def read_ratings(path: Path) -> list[Rating]:
    """Read every rating of a file; none where there is no file.

    Raises:
        StudyInvalid: A line is no rating; it is named.
    """
    return list(_read(path)) if path.is_file() else []


def _read(path: Path) -> Iterator[Rating]:
    with path.open("rb") as file:
        # As bytes: text is cut at U+2028 and U+0085 as well, which a comment may hold and JSON leaves as they are.
        for number, line in enumerate(file, 1):
            try:
                entry: dict[str, Any] = json.loads(line)
                entry.pop("rated_at", None)
                yield Rating(**entry)
            except (ValueError, TypeError, AttributeError, RecursionError) as error:
                raise StudyInvalid(f"{path}, line {number} is no rating: {error}") from error


def _drop_cut_line(path: Path) -> None:
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
