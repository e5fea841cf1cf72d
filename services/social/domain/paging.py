"""Pages of lists: sizes by AIP-158, and opaque tokens that hold the key of the last item that was shown."""

import base64
import binascii
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from services.social.errors import Malformed, OutOfRange

T = TypeVar("T")
KeyPart = str | float
Check = Callable[[object], bool]

_LONGEST_TOKEN = 8_192


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items of a list; an empty `next_token` means that these were the last."""

    items: list[T]
    next_token: str


def page_size(requested: int, default: int, largest: int) -> int:
    """Return how many items a page gets: 0 takes the default, too many are cut.

    Raises:
        OutOfRange: A negative size.
    """
    if requested < 0:
        raise OutOfRange("page_size", requested, 0)
    return min(requested or default, largest)


def is_text(value: object) -> bool:
    """Say whether a key part is text that the database can take: no NUL, no lone surrogate."""
    return isinstance(value, str) and "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)


def is_number(value: object) -> bool:
    """Say whether a key part is a number that a float can hold: JSON knows longer ones."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_time(value: object) -> bool:
    """Say whether a key part is a point in time, in ISO 8601 with its offset, of the years 1 to 9999 in UTC, too."""
    if not isinstance(value, str):
        return False
    try:
        moment = datetime.fromisoformat(value)
        return moment.tzinfo is not None and moment.astimezone(UTC).tzinfo is UTC
    except (ValueError, OverflowError):
        return False


def encode_token(scope: str, key: Sequence[KeyPart]) -> str:
    """Return a token that continues a list after `key`.

    Args:
        scope: Which list: its name and everything that the caller filters it by.
        key: What the list is ordered by, of the last item shown.
    """
    return base64.urlsafe_b64encode(json.dumps([_mark(scope), *key]).encode()).decode().rstrip("=")


def decode_token(scope: str, token: str, shape: Sequence[Check]) -> list[KeyPart] | None:
    """Return the key that a token holds, None where the list starts.

    Args:
        scope: As in `encode_token`.
        token: What the caller sent; empty starts.
        shape: A check for each part of the key.

    Raises:
        Malformed: Not a token of this very list.
    """
    if not token:
        return None
    refusal = Malformed("page_token", token[:40], "a token of the answer before, to the same question")
    if len(token) > _LONGEST_TOKEN:
        raise refusal
    try:
        parts = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise refusal from error
    if not isinstance(parts, list) or len(parts) != len(shape) + 1 or parts[0] != _mark(scope):
        raise refusal
    key: list[KeyPart] = parts[1:]
    if not all(check(part) for check, part in zip(shape, key, strict=True)):
        raise refusal
    return key


def _mark(scope: str) -> str:
    return hashlib.sha256(scope.encode()).hexdigest()[:12]


def cut(found: list[T], size: int, scope: str, key_of: Callable[[T], Sequence[KeyPart]]) -> Page[T]:
    """Make a page of items that were read with one more than fits, which tells whether there is another page."""
    items = found[:size]
    return Page(items, encode_token(scope, key_of(items[-1])) if len(found) > size else "")
