"""What somebody is told when something is wrong."""

from dataclasses import dataclass

PAGE, TICKET = "page", "ticket"


@dataclass(frozen=True, slots=True)
class Alert:
    """What is wrong, since when, and how much that matters.

    Attributes:
        name: Heading of its paragraph in the runbook.
        expression: Holds while it is wrong.
        lasting: For how long it must have held.
        severity: "page": now, also at night; "ticket": on the next day.
        says: In one sentence.
    """

    name: str
    expression: str
    lasting: str
    severity: str
    says: str
