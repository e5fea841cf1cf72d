"""What the retriever refuses and why; what is wrong with a request in itself, stands in `request_errors.py`.

DomainError
├── InvalidArgument
│   ├── DimensionMismatch   a vector of another length than the index has
│   ├── SeedsCancel         the seeds point in opposite directions
│   └── …                   see `request_errors.py`
├── NotFound
│   ├── UnknownTrack        no such track in the index
│   └── UnknownProfile      no such profile on the log
├── FailedPrecondition
│   ├── EncoderMismatch     vectors of another encoder than the one served
│   ├── NoGpu               a kind of index that needs a GPU, where there is none
│   ├── NoCandidates        the rules leave no track
│   ├── ConstraintsUnreachable  the rules leave fewer tracks than are required
│   ├── WindowsUnreadable   the blob of a reference's windows is missing or damaged
│   └── NoTaste             none of a profile's tracks is in the index
├── Unavailable
│   ├── EngineUnavailable   the engine that keeps the vectors does not answer
│   ├── IndexBehind         the wanted point of the log was not applied in time
│   ├── IndexLoading        the log is being read from its beginning
│   └── ProfilesLoading     the log of profiles has not been read to its end
└── Unimplemented
    └── NoBlobStore         windows of tracks cannot be read as this process is set up
"""

from collections.abc import Mapping

from services.chassis.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unimplemented,
)
from services.retriever.request_errors import shown

_RETRY_AFTER_MS = 500


class DimensionMismatch(InvalidArgument):
    """A track's vector has another length than those of the index."""

    default_reason = "DIMENSION_MISMATCH"

    def __init__(self, track_id: str, dimension: int, wanted: int) -> None:
        super().__init__(
            f"the vector of track {track_id} has {dimension} dimensions, the index has {wanted}",
            field="vector",
            value=dimension,
            limit=wanted,
        )


class SeedsCancel(InvalidArgument):
    """The seeds point in opposite directions, so that their mean points nowhere."""

    default_reason = "SEEDS_CANCEL"

    def __init__(self, length: float, limit: float) -> None:
        super().__init__(
            f"the seeds cancel each other out: their mean has length {shown(length)}, at least {limit:g} is needed",
            field="seeds",
            value=shown(length),
            limit=limit,
        )


class UnknownTrack(NotFound):
    """The index holds no such track."""

    default_reason = "UNKNOWN_TRACK"

    def __init__(self, field: str, track_id: str) -> None:
        super().__init__(f"{field} {track_id!r} is not in the index", field=field, value=track_id)


class UnknownProfile(NotFound):
    """The log holds no such profile."""

    default_reason = "UNKNOWN_PROFILE"

    def __init__(self, profile_id: str) -> None:
        super().__init__(f"profile_id {profile_id!r} is not known", field="profile_id", value=profile_id)


class NoTaste(FailedPrecondition):
    """A profile has no place in this encoder's space: no track with a weight is in the index, or they cancel out."""

    default_reason = "NO_TASTE"

    def __init__(self, profile_id: str, track_count: int) -> None:
        super().__init__(
            f"profile {profile_id!r} has no taste: none of its {track_count} tracks is in the index with a weight above"
            " 0, or they cancel each other out",
            field="profile_id",
            value=profile_id,
        )


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


class NoGpu(FailedPrecondition):
    """The kind of index that was asked for needs a GPU."""

    default_reason = "NO_GPU"

    def __init__(self, why: str) -> None:
        super().__init__(f"the kind gpu-flat cannot be used: {why}", field="RETRIEVER_INDEX", value="gpu-flat")


class NoCandidates(FailedPrecondition):
    """The rules leave no track; `value` tells how many candidates each of them removed."""

    default_reason = "NO_CANDIDATES"

    def __init__(self, track_count: int, removed: Mapping[str, int]) -> None:
        counts = ", ".join(f"{rule}={count}" for rule, count in removed.items()) or "none"
        super().__init__(f"no track is left of {track_count}; removed: {counts}", value=counts, limit=track_count)


class EngineUnavailable(Unavailable):
    """The engine that keeps the vectors does not answer, or not in time."""

    default_reason = "ENGINE_UNAVAILABLE"

    def __init__(self, cause: str) -> None:
        super().__init__(f"Milvus does not answer: {cause}", value="Milvus", retry_after_ms=_RETRY_AFTER_MS)


class ConstraintsUnreachable(FailedPrecondition):
    """The rules leave fewer tracks than are required; `value` tells how many there can be, `limit` how many must."""

    default_reason = "CONSTRAINTS_UNREACHABLE"

    def __init__(self, field: str, found: int, asked: int, removed: Mapping[str, int]) -> None:
        counts = ", ".join(f"{rule}={count}" for rule, count in removed.items()) or "none"
        super().__init__(
            f"{found} tracks satisfy the filters and rules, {asked} are asked for; removed: {counts}",
            field=field,
            value=found,
            limit=asked,
        )


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


class ProfilesLoading(Unavailable):
    """The PROFILES log has not been read to its end; answers would leave out profiles."""

    default_reason = "PROFILES_LOADING"

    def __init__(self) -> None:
        super().__init__("the profiles are being loaded", retry_after_ms=_RETRY_AFTER_MS)


class NoBlobStore(Unimplemented):
    """This process is given no blob store, so that it cannot read windows of tracks."""

    default_reason = "NO_BLOB_STORE"

    def __init__(self) -> None:
        super().__init__("references are not matched here: RETRIEVER_BLOB_STORE_URL is not set")


class WindowsUnreadable(FailedPrecondition):
    """The blob of a reference's windows is missing or damaged."""

    default_reason = "WINDOWS_UNREADABLE"

    def __init__(self, digest: bytes) -> None:
        super().__init__("the windows of the reference cannot be read", field="windows_digest", value=digest.hex())
