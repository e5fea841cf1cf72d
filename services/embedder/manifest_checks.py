"""Refuses values of a manifest that cannot be meant. Knows none of its fields."""

from typing import Any

from services.embedder.errors import ArtifactInvalid


def check_number(field: str, value: Any, low: float, high: float, *, whole: bool = False) -> None:  # a JSON value
    """Refuse what is no number, or none from `low` to `high`.

    Raises:
        ArtifactInvalid: Naming field, value and limits.
    """
    is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    kind = "a whole number" if whole else "a number"
    check(is_number and low <= value <= high, field, value, f"{kind} from {low:g} to {high:g}")


def check(is_so: bool, field: str, value: Any, wanted: str) -> None:  # a JSON value
    """Refuse a value for which something is not so; `wanted` says what it must be.

    Raises:
        ArtifactInvalid: Naming field, value and what is wanted.
    """
    if not is_so:
        raise ArtifactInvalid(f"{field} is {value!r:.60}, it must be {wanted}", field=field, value=value, limit=wanted)
