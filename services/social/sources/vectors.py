"""The JSON Lines beside a matrix of vectors: line i says whose the matrix's row i is.

    {"audio_hash": "<64 hexadecimal digits>", "encoder_id": "museed-mini-…", "duration_s": 213.4}

Lines are never left out silently: one that cannot be read keeps its row, with a reason.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from services.social.sources.rows import LONGEST_LINE_BYTES, LeftOut, Line, Reason, lines, shown

_HASH = re.compile(r"[0-9a-f]{64}")
_LONGEST_ENCODER_ID = 200
_LONGEST_SECONDS = 30 * 24 * 3_600.0


@dataclass(frozen=True, slots=True)
class VectorRow:
    """Whose a row of the matrix is; `duration_s` 0 is not known."""

    audio_hash: str
    encoder_id: str
    duration_s: float


def read_rows(stream: BinaryIO) -> Iterator[VectorRow | LeftOut]:
    """Read the lines; one answer each, also for an empty one. Never raises."""
    for line in lines(stream):
        yield _row(line)


def write_row(row: VectorRow) -> str:
    """Return the line of a row, with its end."""
    return json.dumps({"audio_hash": row.audio_hash, "encoder_id": row.encoder_id, "duration_s": row.duration_s}) + "\n"


def _row(line: Line) -> VectorRow | LeftOut:
    place = f"line {line.number}"
    if line.data is None:
        return LeftOut(place, Reason.LINE_TOO_LONG, f"longer than {LONGEST_LINE_BYTES} bytes")
    try:
        given = json.loads(line.data.decode("utf-8"))
    except UnicodeDecodeError:
        return LeftOut(place, Reason.NOT_UTF8, "not UTF-8")
    except (ValueError, RecursionError):
        return LeftOut(place, Reason.NOT_JSON, "not JSON")
    if not isinstance(given, dict):
        return LeftOut(place, Reason.ROW_INVALID, "not a JSON object")
    audio_hash, encoder_id, seconds = given.get("audio_hash"), given.get("encoder_id"), given.get("duration_s", 0)
    if not isinstance(audio_hash, str) or not _HASH.fullmatch(audio_hash.lower()):
        return LeftOut(place, Reason.FIELD_INVALID, f"audio_hash is {shown(str(audio_hash))!r}: 64 digits are expected")
    if not isinstance(encoder_id, str) or not 1 <= len(encoder_id) <= _LONGEST_ENCODER_ID:
        return LeftOut(place, Reason.FIELD_INVALID, "encoder_id is not the name of an encoder")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not _is_length(seconds):
        return LeftOut(place, Reason.FIELD_INVALID, f"duration_s is {shown(str(seconds), 20)}")
    return VectorRow(audio_hash.lower(), encoder_id, float(seconds))


def _is_length(seconds: int | float) -> bool:
    # Compared first: a whole number may be too large to be a float.
    return 0 <= seconds <= _LONGEST_SECONDS and math.isfinite(seconds)
