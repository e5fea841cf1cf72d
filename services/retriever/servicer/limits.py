"""Checks numbers, lists, texts and ids of a request against bounds; what the bounds are, says who asks."""

from collections.abc import Sequence
from typing import TypeVar

from services.retriever.request_errors import CountOutOfRange, MissingInput, OutOfRange, TextTooLong

# Characters of the id of a track or a profile; social's are UUIDs.
MAX_ID = 100

N = TypeVar("N", int, float)


def within(field: str, value: N, lowest: float, highest: float) -> N:
    """Return a value that lies within its bounds, both included.

    Raises:
        OutOfRange: It does not; NaN never does.
    """
    if not lowest <= value <= highest:
        raise OutOfRange(field, value, lowest, highest)
    return value


def counted(field: str, count: int, most: int, fewest: int = 0) -> int:
    """Return the number of a list's entries, which lies within its bounds.

    Raises:
        CountOutOfRange: It does not.
    """
    if not fewest <= count <= most:
        raise CountOutOfRange(field, count, fewest, most)
    return count


def text(field: str, value: str, longest: int) -> str:
    """Return a text that is needed, as it came.

    Raises:
        MissingInput: It is empty or blank.
        TextTooLong: It is longer than allowed.
    """
    if not value or value.isspace():
        raise MissingInput(field, f"give 1 to {longest} characters", is_blank=True)
    if len(value) > longest:
        raise TextTooLong(field, len(value), longest)
    return value


def an_id(field: str, value: str) -> str:
    """Return an id, as it came.

    Raises:
        MissingInput: It is empty or blank.
        TextTooLong: It is longer than 100 characters.
    """
    return text(field, value, MAX_ID)


def ids(field: str, values: Sequence[str], most: int, fewest: int = 0) -> Sequence[str]:
    """Return a list of ids, as it came.

    Raises:
        CountOutOfRange: They are too many or too few.
        MissingInput, TextTooLong: See `an_id`; the field names the place of the first bad one.
    """
    return texts(field, values, MAX_ID, most, fewest)


def texts(field: str, values: Sequence[str], longest: int, most: int, fewest: int = 0) -> Sequence[str]:
    """Return a list of texts, as it came.

    Raises:
        CountOutOfRange: They are too many or too few.
        MissingInput, TextTooLong: See `text`; the field names the place of the first bad one.
    """
    counted(field, len(values), most, fewest)
    for number, value in enumerate(values):
        if not value or len(value) > longest or value.isspace():
            text(f"{field}[{number}]", value, longest)
    return values
