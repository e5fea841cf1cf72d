"""What is wrong with a request, whatever it is about."""

from services.chassis.errors import InvalidArgument


def _shown(value: object) -> object:
    """Return a number as it was typed: 0.2 comes over the wire in single precision, as 0.20000000298023224."""
    return f"{value:.7g}" if isinstance(value, float) else value


class Missing(InvalidArgument):
    """A field that is needed is empty."""

    default_reason = "REQUIRED"

    def __init__(self, field: str) -> None:
        super().__init__(f"{field} is empty", field=field, value="")


class Malformed(InvalidArgument):
    """A field cannot be read."""

    default_reason = "MALFORMED"

    def __init__(self, field: str, value: object, wanted: str) -> None:
        super().__init__(f"{field} must be {wanted}", field=field, value=_shown(value), limit=wanted)


class OutOfRange(InvalidArgument):
    """A number, a length or a count is beyond its limit."""

    default_reason = "OUT_OF_RANGE"

    def __init__(self, field: str, value: object, limit: object, unit: str = "") -> None:
        spaced = f" {unit}" if unit else ""
        shown, bound = _shown(value), _shown(limit)
        super().__init__(f"{field} is {shown}{spaced}, limit is {bound}{spaced}", field=field, value=shown, limit=bound)


class IdempotencyKeyReused(InvalidArgument):
    """The same key came with another request before."""

    default_reason = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self, key: str) -> None:
        super().__init__(
            "this idempotency key was used for another request in the last 24 hours",
            field="idempotency_key",
            value=key,
        )
