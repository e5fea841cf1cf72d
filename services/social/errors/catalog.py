"""Refusals about tracks and where they lie."""

from services.chassis.errors import FailedPrecondition, NotFound


class TrackNotFound(NotFound):
    """There is no such track."""

    default_reason = "TRACK_NOT_FOUND"

    def __init__(self, track_id: str, field: str = "track_id") -> None:
        super().__init__("there is no such track", field=field, value=track_id)


class RootNotFound(NotFound):
    """There is no such media root."""

    default_reason = "ROOT_NOT_FOUND"

    def __init__(self, root_id: str) -> None:
        super().__init__("there is no such root", field="root_id", value=root_id)


class TrackNotReady(FailedPrecondition):
    """The track's embedding is under way."""

    default_reason = "TRACK_NOT_READY"

    def __init__(self, track_id: str, field: str) -> None:
        super().__init__("this track has not been embedded yet", field=field, value=track_id, retry_after_ms=5_000)


class TrackFailed(FailedPrecondition):
    """The track's audio cannot be embedded."""

    default_reason = "TRACK_FAILED"

    def __init__(self, track_id: str, field: str, why: str) -> None:
        super().__init__(f"this track cannot be embedded: {why}", field=field, value=track_id)
