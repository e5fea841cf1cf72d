"""Judges pages that people were shown of others' public playlists, by what the owners had been told before."""

from collections import defaultdict
from collections.abc import Iterable

from tests.faults.findings import Finding, Kind
from tests.faults.history import Operation, Outcome
from tests.faults.ledger import Ledger

# What a page shows: title, version, tracks.
Shown = tuple[str, int, list[str]]
_CHANGES = ("create", "add", "rename", "remove")


def check_browsing(operations: list[Operation]) -> list[Finding]:
    """Return every page that was older than acknowledged when it was asked for, or was never so."""
    acknowledged = _acknowledged(operations)
    pages: defaultdict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        if operation.kind == "browse" and operation.outcome == Outcome.DONE:
            pages[operation.arguments["playlist_id"]].append(operation)
    found = []
    for playlist_id, shown in pages.items():
        for operation in shown:
            found += _judge(operation, acknowledged[playlist_id]) or _judge_by_others(operation, shown)
    return found


def _acknowledged(operations: list[Operation]) -> defaultdict[str, list[tuple[float, Shown]]]:
    """Return how each playlist was, and since when its owner knew."""
    ledgers: dict[str, Ledger] = {}
    found: defaultdict[str, list[tuple[float, Shown]]] = defaultdict(list)
    for operation in operations:
        ledger = ledgers.setdefault(operation.actor, Ledger(operation.actor))
        ledger.apply(operation)
        if operation.kind in _CHANGES and operation.outcome == Outcome.DONE:
            playlist_id = operation.arguments.get("playlist_id") or operation.result["playlist_id"]
            one = ledger.lists[playlist_id]
            found[playlist_id].append((operation.ended_s, (one.title, one.version, one.tracks)))
    return found


def _judge(operation: Operation, states: Iterable[tuple[float, Shown]]) -> list[Finding]:
    asked, result = operation.arguments, operation.result
    before = [state for since_s, state in states if since_s < operation.began_s]
    text = f"{operation.actor}: {asked['playlist_id']} of {asked['of']}"
    if not result["found"]:
        return [Finding(Kind.STALE, f"{text} was not found")] if before else []
    if result["playlist_id"] != asked["playlist_id"]:
        return [Finding(Kind.FOREIGN, f"{text} was asked for, {result['playlist_id']} was shown")]
    now: Shown = (result["title"], result["version"], result["track_ids"])
    if before and now[1] < before[-1][1]:
        return [Finding(Kind.STALE, f"{text} was read as {now}, was {before[-1]} before")]
    if any(state != now for _, state in states if state[1] == now[1]):
        return [Finding(Kind.STALE, f"{text} was read as {now}, which its version never was")]
    return []


def _judge_by_others(operation: Operation, pages: Iterable[Operation]) -> list[Finding]:
    """What anybody was shown before stays, acknowledged or not."""
    seen = [
        (page.result["version"], page.actor)
        for page in pages
        if page.result["found"] and page.ended_s < operation.began_s
    ]
    version, reader = max(seen, default=(0, ""))
    text = f"{operation.actor}: {operation.arguments['playlist_id']} of {operation.arguments['of']}"
    if not operation.result["found"]:
        return [Finding(Kind.STALE, f"{text} was not found after {reader} read it")] if seen else []
    if operation.result["version"] < version:
        now = operation.result["version"]
        return [Finding(Kind.STALE, f"{text} was read in version {now} after {reader} read version {version}")]
    return []
