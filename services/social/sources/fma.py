"""The Free Music Archive's data set: `tracks.csv` with its three header rows, `genres.csv`, audio at `NNN/NNNNNN.mp3`.

Layout after Defferrard et al., "FMA: A Dataset for Music Analysis" (ISMIR 2017): in `tracks.csv` the first row names
groups (album, artist, set, track), the second columns, the third the index; lists stand as Python literals.
"""

import ast
import csv
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from services.social.domain.genres import GENRES
from services.social.sources.rows import (
    MOST_SUB_GENRES,
    LeftOut,
    Reason,
    SourceError,
    SourceTrack,
    checked,
    cleaned,
    lines,
    short_tags,
    year_of,
)

# Each holds all before it.
SUBSETS = ("small", "medium", "large", "full")
LONGEST_FIELD = 1 << 20
_LONGEST_LIST = 20_000
_MOST_GENRES = 10_000
_MOST_COLUMNS = 1_000

_NEEDED = (
    ("track", "title"),
    ("artist", "name"),
    ("album", "title"),
    ("track", "genre_top"),
    ("track", "genres"),
    ("set", "subset"),
)


@dataclass(frozen=True, slots=True)
class Genre:
    """A genre of the tree and its top-level one, both by name."""

    title: str
    top_level: str


def read_genres(stream: BinaryIO) -> dict[int, Genre]:
    """Read `genres.csv`; rows that cannot be read are passed over.

    Raises:
        SourceError: FMA_INVALID, where it is another file.
    """
    rows = _csv_rows(stream)
    head = next(rows, None)
    names = {name: number for number, name in enumerate(head or [])}
    if not {"genre_id", "title", "top_level"} <= names.keys():
        raise SourceError("genres.csv has no columns genre_id, title and top_level", reason="FMA_INVALID")
    titles: dict[int, tuple[str, int]] = {}
    for row in rows:
        if row is None or len(row) <= max(names.values()) or len(titles) >= _MOST_GENRES:
            continue
        genre_id, top = _whole(row[names["genre_id"]]), _whole(row[names["top_level"]])
        if genre_id is not None and top is not None:
            titles[genre_id] = (cleaned(row[names["title"]]), top)
    return {genre_id: Genre(title, titles.get(top, ("", 0))[0]) for genre_id, (title, top) in titles.items()}


def read_tracks(stream: BinaryIO, genres: dict[int, Genre], subset: str = "full") -> Iterator[SourceTrack | LeftOut]:
    """Read `tracks.csv`; one answer a row.

    Args:
        stream: The file.
        genres: Of `read_genres`.
        subset: One of SUBSETS; rows of larger ones are left out.

    Raises:
        SourceError: FMA_INVALID, at the first row that is asked for, where it is another file.
    """
    rows = _csv_rows(stream)
    columns = _columns(next(rows, None), next(rows, None), next(rows, None))
    wanted = SUBSETS[: SUBSETS.index(subset) + 1]
    for number, row in enumerate(rows, start=4):
        place = f"row {number}"
        if row is None:
            yield LeftOut(place, Reason.ROW_INVALID, f"not UTF-8, or a field is longer than {LONGEST_FIELD} characters")
        elif row:
            yield _track(row, columns, genres, wanted, place)


def _columns(groups: list[str] | None, names: list[str] | None, index: list[str] | None) -> dict[tuple[str, str], int]:
    if not groups or not names or not index or index[0] != "track_id":
        raise SourceError("tracks.csv does not begin with its three header rows", reason="FMA_INVALID")
    if len(groups) != len(names) or len(names) > _MOST_COLUMNS:
        raise SourceError(
            f"tracks.csv has {len(groups)} groups for {len(names)} columns", reason="FMA_INVALID", value=len(names)
        )
    columns = {pair: number for number, pair in enumerate(zip(groups, names, strict=True))}
    if missing := [f"{group}.{name}" for group, name in _NEEDED if (group, name) not in columns]:
        raise SourceError(f"tracks.csv has no column {', '.join(missing)}", reason="FMA_INVALID")
    return columns


def _track(
    row: list[str], columns: dict[tuple[str, str], int], genres: dict[int, Genre], wanted: tuple[str, ...], place: str
) -> SourceTrack | LeftOut:
    track_id = _whole(row[0])
    if track_id is None or not 0 < track_id < 10**9 or len(row) != len(columns):
        return LeftOut(place, Reason.ROW_INVALID, f"{len(row)} columns; {len(columns)} and a track id are expected")

    def cell(group: str, name: str) -> str:
        number = columns.get((group, name))
        return "" if number is None else cleaned(row[number])

    path = path_of(track_id)
    if (subset := cell("set", "subset")) not in wanted:
        return LeftOut(path, Reason.OUTSIDE_SUBSET, f"of the subset {subset[:20]!r}")
    own = [genres[number] for number in _numbers(cell("track", "genres")) if number in genres]
    top = _top_level(cell("track", "genre_top"), own)
    needed = {"title": cell("track", "title"), "artist": cell("artist", "name"), "genre": top}
    if missing := [name for name, value in needed.items() if not value]:
        return LeftOut(path, Reason.METADATA_MISSING, f"tracks.csv says no {' and no '.join(missing)}")
    below = [genre.title for genre in own if genre.title != genre.top_level]
    return checked(
        SourceTrack(
            path=path,
            source="fma",
            title=needed["title"],
            artist=needed["artist"],
            album=cell("album", "title"),
            raw_genre="; ".join(genre.title for genre in own)[:500] or top,
            genre=top,
            sub_genres=short_tags(below, MOST_SUB_GENRES),
            tags=short_tags(_texts(cell("track", "tags"))),
            year=year_of(cell("album", "date_released")) or year_of(cell("track", "date_recorded")),
            licence=cell("track", "license")[:500],
        ),
        path,
    )


def path_of(track_id: int) -> str:
    """Return where a track's audio lies: 123456 is at 123/123456.mp3."""
    name = f"{track_id:06d}"
    return f"{name[:3]}/{name}.mp3"


def _top_level(given: str, genres: list[Genre]) -> str:
    """Return the top-level genre: the one that is given, else the one that most of the genres are of, else empty."""
    if given in GENRES:
        return given
    found = Counter(genre.top_level for genre in genres if genre.top_level in GENRES)
    return found.most_common(1)[0][0] if found else ""


def _csv_rows(stream: BinaryIO) -> Iterator[list[str] | None]:
    """Read rows; None for one that cannot be read. A field may have several lines, and has a limit."""
    is_bad = False

    def texts() -> Iterator[str]:
        nonlocal is_bad
        for line in lines(stream):
            try:
                text = (line.data or b"").decode("utf-8")
            except UnicodeDecodeError:
                text, is_bad = "", True
            is_bad = is_bad or line.data is None
            yield text + "\n"

    reader = csv.reader(texts())
    while True:
        is_bad = False
        # The limit is everybody's, so it is ours only while a row is read.
        before = csv.field_size_limit(LONGEST_FIELD)
        try:
            row: list[str] | None = next(reader)
        except StopIteration:
            return
        except csv.Error:
            row = None
        finally:
            csv.field_size_limit(before)
        yield None if is_bad else row


def _numbers(text: str) -> list[int]:
    return [one for one in _literal(text) if isinstance(one, int) and not isinstance(one, bool)]


def _texts(text: str) -> list[str]:
    return [one for one in _literal(text) if isinstance(one, str)]


def _literal(text: str) -> list[object]:
    """Read a list that stands as a Python literal; what is none is empty."""
    if not text.startswith("[") or len(text) > _LONGEST_LIST:
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about backslashes in what people wrote
            found = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return []
    return found if isinstance(found, list) else []


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
