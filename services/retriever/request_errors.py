"""What is wrong with a request in itself, whatever the index holds.

InvalidArgument
├── OutOfRange          a number beyond its limits
├── CountOutOfRange     a list of too many entries, or too few
├── SizeMismatch        bytes of another size than is expected
├── TextTooLong         a text of too many characters
├── MissingInput        something that is needed was left out, or is blank
├── NoPositiveSeed      seeds of which none is to be sounded like
├── RangeReversed       a range whose smallest is above its largest
├── PageTokenInvalid    no token of ours
├── PageTokenMismatch   a token of another query
├── SameEnds            a path from a track to itself
└── ReferenceUnusable   a reference all of whose windows are silent, or cancel each other out

PermissionDenied
└── ProfileOfAnother    a worker asks for the taste of somebody whom it does not work for
"""

import numpy as np

from services.chassis.errors import InvalidArgument, PermissionDenied

# Beyond them a number is written with an exponent.
_SMALLEST_PLAIN, _LARGEST_PLAIN = 1e-4, 1e16


def shown(value: float) -> str:
    """Return the shortest decimal that is this number and no other: of a float32, as most fields are, or a float64."""
    if isinstance(value, int):
        return str(value)
    with np.errstate(over="ignore"):
        short = np.float32(value)
    number = short if float(short) == value else np.float64(value)
    is_plain = value == 0 or _SMALLEST_PLAIN <= abs(value) < _LARGEST_PLAIN
    return np.format_float_positional(number, trim="-") if is_plain else str(number)


class OutOfRange(InvalidArgument):
    """A number is beyond its limits."""

    default_reason = "OUT_OF_RANGE"

    def __init__(self, field: str, value: float, lowest: float, highest: float) -> None:
        super().__init__(
            f"{field} is {shown(value)}, {shown(lowest)} to {shown(highest)} is allowed",
            field=field,
            value=shown(value),
            limit=shown(lowest if value < lowest else highest),
        )


class CountOutOfRange(InvalidArgument):
    """A list has too many entries, or too few."""

    default_reason = "OUT_OF_RANGE"

    def __init__(self, field: str, count: int, fewest: int, most: int) -> None:
        allowed = f"at most {most}" if not fewest else f"{fewest} to {most}"
        entries = "entry" if count == 1 else "entries"
        super().__init__(
            f"{field} has {count} {entries}, {allowed} are allowed",
            field=field,
            value=count,
            limit=fewest if count < fewest else most,
        )


class SizeMismatch(InvalidArgument):
    """Bytes have another size than is expected."""

    default_reason = "OUT_OF_RANGE"

    def __init__(self, field: str, size: int, wanted: int) -> None:
        super().__init__(f"{field} has {size} bytes, {wanted} are expected", field=field, value=size, limit=wanted)


class TextTooLong(InvalidArgument):
    """A text has too many characters."""

    default_reason = "OUT_OF_RANGE"

    def __init__(self, field: str, length: int, longest: int) -> None:
        super().__init__(
            f"{field} has {length} characters, at most {longest} are allowed", field=field, value=length, limit=longest
        )


class MissingInput(InvalidArgument):
    """Something that is needed was left out, or is a blank text: there are 0 of it, and 1 is the least."""

    default_reason = "MISSING_INPUT"

    def __init__(self, field: str, wanted: str, *, is_blank: bool = False) -> None:
        super().__init__(f"{field} is {'blank' if is_blank else 'missing'}: {wanted}", field=field, value=0, limit=1)


class NoPositiveSeed(InvalidArgument):
    """No seed has a weight above 0, so that there is nothing to sound like."""

    default_reason = "OUT_OF_RANGE"

    def __init__(self, count: int, largest: float) -> None:
        who = "the only seed has the weight" if count == 1 else f"the largest weight of the {count} seeds is"
        super().__init__(
            f"{who} {shown(largest)}, at least one must be above 0", field="seeds", value=shown(largest), limit=0
        )


class RangeReversed(InvalidArgument):
    """The smallest of a range is above its largest."""

    default_reason = "RANGE_REVERSED"

    def __init__(self, field: str, lowest: float, highest: float) -> None:
        super().__init__(
            f"{field}.min is {shown(lowest)}, above {field}.max, which is {shown(highest)}",
            field=f"{field}.min",
            value=shown(lowest),
            limit=shown(highest),
        )


class PageTokenInvalid(InvalidArgument):
    """A page token was not made here."""

    default_reason = "PAGE_TOKEN_INVALID"

    def __init__(self, token: str, longest: int) -> None:
        super().__init__(
            f"page_token {token[:50]!r} is none of ours, which have at most {longest} characters",
            field="page_token",
            value=token,
            limit=longest,
        )


class PageTokenMismatch(InvalidArgument):
    """A page token belongs to another query, or to the encoder that was served before."""

    default_reason = "PAGE_TOKEN_MISMATCH"

    def __init__(self, token: str) -> None:
        super().__init__(
            "page_token belongs to another query: only k and min_read_point may differ, and the encoder must be the "
            "same; begin again without a token",
            field="page_token",
            value=token,
        )


class SameEnds(InvalidArgument):
    """A path is asked for from a track to itself."""

    default_reason = "SAME_ENDS"

    def __init__(self, field: str, track_id: str) -> None:
        super().__init__(f"{field} {track_id!r} is where the path begins, too", field=field, value=track_id)


class ReferenceUnusable(InvalidArgument):
    """A reference says nothing: REFERENCE_SILENT, or REFERENCE_CANCELS where its windows' mean points nowhere."""

    default_reason = "REFERENCE_SILENT"


class ProfileOfAnother(PermissionDenied):
    """A profile belongs to somebody else than the person for whom the caller works; whether it exists is not told."""

    default_reason = "PROFILE_OF_ANOTHER"

    def __init__(self, profile_id: str) -> None:
        super().__init__("profile_id is not the person of this job", field="profile_id", value=profile_id)
