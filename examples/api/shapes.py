"""Compares answers by what clients rely on: keys, types, members of unions and codes. Values may differ. Pure."""

from collections.abc import Iterator
from typing import Any

# Texts by which clients decide.
_EXACT = frozenset({"__typename", "code", "reason", "type"})


def differences(known: Any, fresh: Any, where: str = "") -> Iterator[str]:
    """Yield how a fresh answer is of another shape than one that is known; null and empty lists fit everything."""
    if known is None or fresh is None:
        return
    if isinstance(known, dict) and isinstance(fresh, dict):
        for key in sorted(known.keys() ^ fresh.keys()):
            yield f"{where}.{key} is {'gone' if key in known else 'new'}"
        for key in known.keys() & fresh.keys():
            if key in _EXACT and isinstance(known[key], str) and known[key] != fresh[key]:
                yield f"{where}.{key} is {fresh[key]!r}, it was {known[key]!r}"
            elif key == "frames":
                yield from differences(_by_type(known[key]), _by_type(fresh[key]), f"{where}.{key}")
            else:
                yield from differences(known[key], fresh[key], f"{where}.{key}")
    elif isinstance(known, list) and isinstance(fresh, list):
        for place, one in enumerate(fresh if known else ()):
            yield from differences(known[min(place, len(known) - 1)], one, f"{where}[{place}]")
    elif _kind(known) != _kind(fresh):
        yield f"{where} is {_kind(fresh)}, it was {_kind(known)}"


def _by_type(frames: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one frame of each type: how many there are is chance."""
    return {frame["type"]: frame for frame in frames}


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, (int, float)) else type(value).__name__
