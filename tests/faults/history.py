"""What people did and were told, in order, as lines of a file that outlives whoever wrote it."""

import json
import time
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, Any


class Outcome(StrEnum):
    """What somebody knows of what they asked for."""

    OPEN = "open"
    DONE = "done"
    REFUSED = "refused"
    # Nobody answered, and they asked no more: it may be done, or may not.
    GIVEN_UP = "given up"


@dataclass(slots=True)
class Operation:
    """One thing that one person asked for, however often it took.

    Attributes:
        number: Order in which they were begun.
        actor: Who; nobody has two operations at once.
        kind: A method of `Ledger`.
        arguments: What was asked for.
        outcome: What is known of it.
        result: What the answer said; of a refusal its code.
        tries: How often it was asked.
        heard: Codes of the answers that did not end it.
        began_s: Of the clock that nobody jumps.
        ended_s: The same.
    """

    number: int
    actor: str
    kind: str
    arguments: dict[str, Any]
    outcome: Outcome = Outcome.OPEN
    result: dict[str, Any] = field(default_factory=dict)
    tries: int = 0
    heard: list[str] = field(default_factory=list)
    began_s: float = 0.0
    ended_s: float = 0.0


class History:
    """The operations of one run.

    Args:
        path: Written line by line, at each beginning and each end.
    """

    def __init__(self, path: Path) -> None:
        self.operations: list[Operation] = []
        self._file: IO[str] = path.open("w")

    def begin(self, actor: str, kind: str, arguments: dict[str, Any]) -> Operation:
        """Note that somebody is about to ask for something."""
        made = Operation(len(self.operations), actor, kind, arguments, began_s=time.monotonic())
        self.operations.append(made)
        self._write(made)
        return made

    def end(self, operation: Operation, outcome: Outcome, result: dict[str, Any] | None = None) -> None:
        """Note what came of it."""
        operation.outcome, operation.ended_s = outcome, time.monotonic()
        operation.result = result or {}
        self._write(operation)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, operation: Operation) -> None:
        self._file.write(json.dumps(asdict(operation)) + "\n")
        self._file.flush()


def read_history(path: Path) -> list[Operation]:
    """Read the operations of a file, each as it was noted last; half a line at the end is passed over."""
    found: dict[int, Operation] = {}
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        row["outcome"] = Outcome(row["outcome"])
        found[row["number"]] = Operation(**row)
    return list(found.values())
