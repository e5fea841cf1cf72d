"""What the retriever refuses and why.

DomainError
├── InvalidArgument
│   ├── OutOfRange          a number or a count beyond its limit
│   ├── MissingInput        something that is needed was left out
│   └── SeedsCancel         the seeds point in opposite directions
├── NotFound
│   └── UnknownTrack        no such track in the index
├── FailedPrecondition
│   ├── EncoderMismatch     vectors of another encoder than the one served
│   └── NoCandidates        the rules leave no track
└── Unavailable
    ├── IndexBehind         the wanted point of the log was not applied in time
    └── IndexLoading        the log is being read from its beginning
"""

from collections.abc import Mapping

from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable

_RETRY_AFTER_MS = 500


class OutOfRange(InvalidArgument):
    """A number or a count is beyond its limit."""

    default_reason = "OUT_OF_RANGE"

    def __init__(self, field: str, value: float, lowest: int, highest: int) -> None:
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        limit = lowest if value < lowest else highest
        super().__init__(f"{field} is {shown}, {lowest} to {highest} is allowed", field=field, value=shown, limit=limit)


class MissingInput(InvalidArgument):
    """Something that is needed was left out."""

    default_reason = "MISSING_INPUT"

    def __init__(self, field: str, wanted: str) -> None:
        super().__init__(f"{field} is missing: {wanted}", field=field)


class SeedsCancel(InvalidArgument):
    """The seeds point in opposite directions, so that their mean points nowhere."""

    default_reason = "SEEDS_CANCEL"

    def __init__(self, length: float, limit: float) -> None:
        super().__init__(
            f"the seeds cancel each other out: their mean has length {length:.2g}, at least {limit:g} is needed",
            field="seeds",
            value=f"{length:.2g}",
            limit=limit,
        )


class UnknownTrack(NotFound):
    """The index holds no such track."""

    default_reason = "UNKNOWN_TRACK"

    def __init__(self, field: str, track_id: str) -> None:
        super().__init__(f"{field} {track_id!r} is not in the index", field=field, value=track_id)


class EncoderMismatch(FailedPrecondition):
    """The vectors come from another encoder than the one whose vectors are served."""

    default_reason = "ENCODER_MISMATCH"

    def __init__(self, encoder_id: str, serving: str) -> None:
        super().__init__(
            f"encoder_id is {encoder_id!r}, this index serves {serving!r}",
            field="encoder_id",
            value=encoder_id,
            limit=serving,
        )


class NoCandidates(FailedPrecondition):
    """The rules leave no track; `value` tells how many candidates each of them removed."""

    default_reason = "NO_CANDIDATES"

    def __init__(self, track_count: int, removed: Mapping[str, int]) -> None:
        counts = ", ".join(f"{rule}={count}" for rule, count in removed.items()) or "none"
        super().__init__(f"no track is left of {track_count}; removed: {counts}", value=counts, limit=track_count)


class IndexBehind(Unavailable):
    """The wanted point of the log was not applied within the caller's deadline."""

    default_reason = "INDEX_BEHIND"

    def __init__(self, wanted: str, applied: str) -> None:
        super().__init__(
            f"the index has applied {applied}, {wanted} is wanted",
            field="min_read_point",
            value=wanted,
            limit=applied,
            retry_after_ms=_RETRY_AFTER_MS,
        )


class IndexLoading(Unavailable):
    """The log is being read from its beginning; answers would leave out tracks."""

    default_reason = "INDEX_LOADING"

    def __init__(self) -> None:
        super().__init__("the index is being loaded", retry_after_ms=_RETRY_AFTER_MS)
