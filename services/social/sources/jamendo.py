"""Jamendo's music: the TSV files of the MTG-Jamendo set, and the JSON that Jamendo's API answers.

The TSV is ragged: after TRACK_ID, ARTIST_ID, ALBUM_ID, PATH and DURATION come as many tags as a track has, each in a
column of its own, like `genre---punkrock` (Bogdanov et al., "The MTG-Jamendo Dataset", ML4MD 2019). Names stand in
`raw.meta.tsv`. A JSON file holds one answer of `/v3.0/tracks`, a list of its results, or one of either a line.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

from services.social.sources.genre_maps import jamendo_genre
from services.social.sources.rows import (
    LONGEST_LINE_BYTES,
    LeftOut,
    Line,
    Reason,
    SourceError,
    SourceTrack,
    checked,
    cleaned,
    lines,
    short_tags,
    shown,
    year_of,
)

LARGEST_JSON_BYTES = 64 << 20
_TRACK_COLUMNS = ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION"]
_META_COLUMNS = ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "TRACK_NAME", "ARTIST_NAME", "ALBUM_NAME", "RELEASEDATE"]
_MTG_ID = re.compile(r"track_(\d{1,12})")
_MOST_META = 1_000_000


@dataclass(frozen=True, slots=True)
class Names:
    """What `raw.meta.tsv` says of a track."""

    title: str
    artist: str
    album: str
    year: int


def read_meta(stream: BinaryIO) -> dict[str, Names]:
    """Read `raw.meta.tsv`: names by track id; lines that cannot be read are passed over.

    Raises:
        SourceError: JAMENDO_INVALID, where it is another file.
    """
    rows = _tsv_rows(stream)
    _check_head(next(rows, None), _META_COLUMNS, "raw.meta.tsv")
    found: dict[str, Names] = {}
    for _, cells in rows:
        if isinstance(cells, list) and len(cells) >= len(_META_COLUMNS) and len(found) < _MOST_META:
            found[cells[0]] = Names(cleaned(cells[3]), cleaned(cells[4]), cleaned(cells[5]), year_of(cells[6]))
    return found


def read_tsv(
    stream: BinaryIO, meta: dict[str, Names] | None = None, *, is_low: bool = False
) -> Iterator[SourceTrack | LeftOut]:
    """Read a TSV of tracks; one answer a line.

    Args:
        stream: For example `autotagging.tsv`.
        meta: Of `read_meta`; without it names are read from the files.
        is_low: Whether the audio is the set's low-quality one, `NN/ID.low.mp3`.

    Raises:
        SourceError: JAMENDO_INVALID, at the first line that is asked for, where it is another file.
    """
    rows = _tsv_rows(stream)
    _check_head(next(rows, None), _TRACK_COLUMNS, "the TSV file")
    for place, cells in rows:
        if isinstance(cells, Reason):
            yield LeftOut(place, cells, _WORDS[cells])
        elif len(cells) < len(_TRACK_COLUMNS) or not _MTG_ID.fullmatch(cells[0]):
            yield LeftOut(
                place, Reason.ROW_INVALID, f"{len(cells)} columns; an id like track_0000214 and 4 are expected"
            )
        else:
            yield _tsv_track(cells, (meta or {}).get(cells[0]), is_low, place)


def read_json(stream: BinaryIO) -> Iterator[SourceTrack | LeftOut]:
    """Read answers of the API, or their results; one answer a track. Audio is where the downloader puts it.

    What is no JSON as a whole, or larger than 64 MiB, is read line by line.
    """
    rest = lines(stream)
    first = next((line for line in rest if line.data is None or line.data.strip()), None)
    if first is None:
        return
    if not isinstance(_parsed(first), dict | list):
        stream.seek(0)
        data = stream.read(LARGEST_JSON_BYTES + 1)
        whole = _loaded(data) if len(data) <= LARGEST_JSON_BYTES else Reason.LINE_TOO_LONG
        if isinstance(whole, dict | list):
            yield from _results(whole, "result")
            return
        stream.seek(0)
        first, rest = Line(0, b""), lines(stream)
    for line in chain([first], rest):
        if line.data is None or line.data.strip():
            found, place = _parsed(line), f"line {line.number}"
            if isinstance(found, Reason):
                yield LeftOut(place, found, _WORDS[found])
            else:
                yield from _results(found, place)


def path_of(track_id: int) -> str:
    """Return where a track's audio lies, as in the MTG set: 1214 is at 14/1214.mp3."""
    return f"{track_id % 100:02d}/{track_id}.mp3"


def _tsv_track(cells: list[str], names: Names | None, is_low: bool, place: str) -> SourceTrack | LeftOut:
    split = [cell.partition("---") for cell in cells[len(_TRACK_COLUMNS) :] if cell.strip()]
    genres = [cleaned(value) for kind, _, value in split if kind == "genre" and value.strip()]
    tags = [value for kind, _, value in split if kind != "genre" and value]
    path = cells[3].removesuffix(".mp3") + ".low.mp3" if is_low and cells[3].endswith(".mp3") else cells[3]
    return checked(
        SourceTrack(
            path=path,
            source="jamendo",
            title=names.title if names else "",
            artist=names.artist if names else "",
            album=names.album if names else "",
            year=names.year if names else 0,
            raw_genre="; ".join(genres)[:500],
            genre=jamendo_genre(genres),
            sub_genres=short_tags(genres, 20),
            tags=short_tags(tags),
        ),
        place,
    )


def _results(found: object, place: str) -> Iterator[SourceTrack | LeftOut]:
    """Walk an answer, a list of results, or one result."""
    if isinstance(found, dict) and "results" in found:
        found = found["results"]
    if isinstance(found, list):
        for number, one in enumerate(found, start=1):
            yield _json_track(one, f"{place}, number {number}")
    else:
        yield _json_track(found, place)


def _json_track(given: object, place: str) -> SourceTrack | LeftOut:
    if not isinstance(given, dict):
        return LeftOut(place, Reason.ROW_INVALID, "not a JSON object")
    track_id = str(given.get("id", ""))[:20]
    if not track_id.isascii() or not track_id.isdigit() or len(track_id) > 12 or int(track_id) == 0:
        return LeftOut(place, Reason.ROW_INVALID, f"id is {shown(track_id)!r}: a number is expected")
    genres = [cleaned(tag) for tag in _tags(given, "genres") if tag.strip()]
    others = [tag for kind in ("instruments", "vartags") for tag in _tags(given, kind)]
    return checked(
        SourceTrack(
            path=path_of(int(track_id)),
            source="jamendo",
            title=_text(given, "name"),
            artist=_text(given, "artist_name"),
            album=_text(given, "album_name"),
            year=year_of(_text(given, "releasedate")),
            raw_genre="; ".join(genres)[:500],
            genre=jamendo_genre(genres),
            sub_genres=short_tags(genres, 20),
            tags=short_tags(others),
            licence=_text(given, "license_ccurl")[:500],
        ),
        place,
    )


def _tags(given: dict[str, Any], kind: str) -> list[str]:
    info = given.get("musicinfo")
    tags = info.get("tags") if isinstance(info, dict) else None
    found = tags.get(kind) if isinstance(tags, dict) else None
    return [tag for tag in found if isinstance(tag, str)] if isinstance(found, list) else []


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    return cleaned(value) if isinstance(value, str) else ""


def _parsed(line: Line) -> object:
    return Reason.LINE_TOO_LONG if line.data is None else _loaded(line.data)


def _loaded(data: bytes) -> object:
    """Return what JSON says, or a Reason."""
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Reason.NOT_UTF8
    except (ValueError, RecursionError):
        return Reason.NOT_JSON


_WORDS = {
    Reason.LINE_TOO_LONG: f"longer than {LONGEST_LINE_BYTES} bytes",
    Reason.NOT_UTF8: "not UTF-8",
    Reason.NOT_JSON: "not JSON",
}


def _tsv_rows(stream: BinaryIO) -> Iterator[tuple[str, list[str] | Reason]]:
    for line in lines(stream):
        place = f"line {line.number}"
        if line.data is None:
            yield place, Reason.LINE_TOO_LONG
        elif line.data.strip():
            try:
                yield place, line.data.decode("utf-8").split("\t")
            except UnicodeDecodeError:
                yield place, Reason.NOT_UTF8


def _check_head(row: tuple[str, list[str] | Reason] | None, wanted: list[str], name: str) -> None:
    if row is None or not isinstance(row[1], list) or row[1][: len(wanted)] != wanted:
        raise SourceError(f"{name} does not begin with the columns {', '.join(wanted)}", reason="JAMENDO_INVALID")
