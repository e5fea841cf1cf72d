"""What came of all seeds that were run, as tables that stand in a README as they are printed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.faults.findings import Kind
from tests.faults.history import Outcome
from tests.faults.plan import Fault


def render_plans(plans: Mapping[int, Sequence[Fault]]) -> str:
    """Return which faults the plans of some seeds hold, and where."""
    places = Counter((str(fault.kind), fault.target) for faults in plans.values() for fault in faults)
    return f"{len(plans)} seeds, {places.total()} faults\n\n{_by_kind(places)}"


def render_summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of rows as `python -m tests.faults` keeps them."""
    places: Counter[tuple[str, str]] = Counter()
    operations, kinds, broken, jobs = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        for place, count in row["places"].items():
            kind, _, target = place.rpartition(" ")
            places[kind, target] += count
        operations.update(row["operations"])
        kinds.update(row["kinds"])
        broken.update(row["broken"])
        jobs.update(row["jobs"])
    took_s, longest_s = sum(row["took_s"] for row in rows), max((row["longest_s"] for row in rows), default=0)
    events, overlapping, missed = (sum(row[name] for row in rows) for name in ("events", "overlapping", "missed"))
    reads = sum(count for kind, count in kinds.items() if is_read(kind))
    lines = [
        f"{len(rows)} seeds, {places.total()} faults in {took_s / 60:.0f} minutes, "
        f"{overlapping} of which began while another lasted for the same process or a link of it "
        f"({missed} more found nothing to be done to): "
        f"{operations[Outcome.DONE] - reads:,} changes acknowledged, {reads:,} reads judged, "
        f"{operations['repeated']:,} questions asked again, {operations[Outcome.GIVEN_UP]:,} given up, "
        f"{jobs.total():,} jobs, {events:,} events; nobody waited longer than {longest_s:.0f} s.",
        "",
        _row(str(kind) for kind in Kind),
        _row("---" for _ in Kind),
        _row(str(broken[kind]) for kind in Kind),
        "",
        _by_kind(places),
        "",
        "| answered | times |",
        "|---|---|",
        *(f"| {kind.replace('_', ' ')} | {count:,} |" for kind, count in sorted(kinds.items())),
        "",
        "| jobs in the end | number |",
        "|---|---|",
        *(f"| {state} | {count:,} |" for state, count in sorted(jobs.items())),
    ]
    return "\n".join(lines)


def is_read(kind: str) -> bool:
    """Whether this kind of operation changes nothing."""
    return kind.startswith("read_") or kind in ("browse", "peek", "similar", "who_am_i")


def _by_kind(places: Mapping[tuple[str, str], int]) -> str:
    kinds = Counter[str]()
    for (kind, _), count in places.items():
        kinds[kind] += count
    lines = ["| fault | times | where |", "|---|---|---|"]
    for kind, count in sorted(kinds.items()):
        where = sorted((target, times) for (of, target), times in places.items() if of == kind)
        lines.append(f"| {kind} | {count} | {', '.join(f'{target} {times}' for target, times in where)} |")
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
