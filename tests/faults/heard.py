"""Judges what people were told on the way, before they asked again and were answered."""

from collections.abc import Iterable

from tests.faults.calls import LOG_IN_AGAIN
from tests.faults.findings import Finding, Kind
from tests.faults.history import Operation

# Where a clock has jumped, a log-in may be over, or not have begun.
_WITH_THE_CLOCK = frozenset({"TOKEN_EXPIRED", "TOKEN_INVALID"})


def check_heard(operations: Iterable[Operation], *, do_clocks_jump: bool) -> list[Finding]:
    """Return every internal error and every log-in that was lost; asking again would hide both.

    Args:
        operations: Of which every answer is looked at.
        do_clocks_jump: Whether log-ins may have ended for that.
    """
    found = []
    for one in operations:
        for code in one.heard:
            what = f"{one.actor}: {one.kind} {one.arguments} was answered {code}"
            if code == "INTERNAL":
                found.append(Finding(Kind.REFUSED, what))
            elif code in LOG_IN_AGAIN and not (do_clocks_jump and code in _WITH_THE_CLOCK):
                found.append(Finding(Kind.LOST, f"{what}: nobody logged out"))
    return found
