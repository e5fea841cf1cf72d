"""Says which passwords are tried first by whoever guesses: those that leaked most often, and a person's own names.

The list is that of zxcvbn, 30,000 of them. Its estimate of a password's strength is not used: that takes seconds for
some long ones.
"""

from collections.abc import Iterable

from zxcvbn.frequency_lists import FREQUENCY_LISTS  # type: ignore[import-untyped]  # it ships no types

_FREQUENT = frozenset(password.casefold() for password in FREQUENCY_LISTS["passwords"])


def is_frequent(password: str) -> bool:
    """Say whether a password is among the frequent ones, whatever its case."""
    return password.casefold() in _FREQUENT


def is_name(password: str, names: Iterable[str]) -> bool:
    """Say whether a password is one of a person's own names, or an address's part before the @, whatever the case."""
    folded = password.strip().casefold()
    return any(folded in (name.casefold(), name.partition("@")[0].casefold()) for name in names)
