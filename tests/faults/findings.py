"""What must not be found, as kinds that are counted."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """In what way a promise was broken."""

    LOST = "lost"
    DOUBLED = "doubled"
    STALE = "stale"
    FOREIGN = "foreign"
    ENDLESS = "endless"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken promise, and of whom and what."""

    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"
