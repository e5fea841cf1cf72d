"""What is said of every code that clients can meet, in English and Korean, and what to do about it: `codes.json`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PATH = Path(__file__).with_name("codes.json")

# In the order in which people look for them.
GROUPS = {
    "caller": "Who is asking",
    "input": "Input",
    "document": "Requests and documents",
    "busy": "Away or busy",
    "accounts": "Accounts",
    "people": "People",
    "library": "The library and search",
    "playlists": "Playlists",
    "generation": "Generation",
    "uploads": "Uploads",
    "bytes": "Audio, covers and files",
    "live": "Live",
    "admin": "Ingest, encoders and moderation",
    "results": "Reasons in results: `failureReason` of jobs and tracks, `reason` of rows",
    "general": "In general: where nothing more is known",
}


@dataclass(frozen=True, slots=True)
class Code:
    """A code.

    Attributes:
        group: Of GROUPS.
        en: A sentence for people.
        ko: The same in Korean.
        do: What a client does about it.
    """

    group: str
    en: str
    ko: str
    do: str


def _read() -> Mapping[str, Code]:
    rows = json.loads(PATH.read_text("utf-8"), object_pairs_hook=_once)
    return {name: Code(**row) for name, row in rows.items()}


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"{PATH.name} has something twice: {sorted(name for name, _ in pairs)}")
    return found


CODES = _read()
