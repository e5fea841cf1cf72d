"""What an ingest did: counts for people, and a line for every file that it changed or left out."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

# In the order in which people ask for them.
OUTCOMES = {
    "CREATED": "new",
    "MOVED": "moved: the same file elsewhere",
    "RETAGGED": "re-tagged: the same audio",
    "REPLACED": "changed: other audio",
    "UNCHANGED": "unchanged",
    "MISSING": "gone from the disk",
    "REFUSED": "refused",
}


@dataclass(slots=True)
class IngestReport:
    """What an ingest did.

    Attributes:
        root_id: The folder as the library knows it.
        files: Files with a name of audio, or rows of a source.
        other_files: Files that were passed over.
        outcomes: Tracks by what registering did, for example {"CREATED": 26}.
        unread: Of the unchanged, those that were not even opened.
        changes: (path, outcome, path before) of every track that is new, moved, re-tagged, changed or missing.
        left_out: (path, reason, message) of every file that is not in the library.
        warning: What people should know; empty where there is nothing.
        indexed: Tracks of this folder that playlists can use.
        seconds: From the first file to the last track.
    """

    root_id: str
    files: int = 0
    other_files: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    unread: int = 0
    changes: list[tuple[str, str, str]] = field(default_factory=list)
    left_out: list[tuple[str, str, str]] = field(default_factory=list)
    warning: str = ""
    indexed: int = 0
    seconds: float = 0.0

    def count(self, outcome: str, path: str = "", previous: str = "") -> None:
        """Count a track; what changed is noted with its path."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if outcome not in ("UNCHANGED", "REFUSED"):
            self.changes.append((path, outcome, previous))


def write_report(report: IngestReport, path: Path) -> None:
    """Write the report as JSON Lines: what was left out, with its reason, then what changed."""
    with path.open("w", encoding="utf-8") as file:
        for name, reason, message in report.left_out:
            _line(file, {"path": name, "outcome": "LEFT_OUT", "reason": reason, "message": message})
        for name, outcome, previous in report.changes:
            _line(file, {"path": name, "outcome": outcome} | ({"previous_path": previous} if previous else {}))


def _line(file: IO[str], row: dict[str, str]) -> None:
    file.write(json.dumps(row) + "\n")
