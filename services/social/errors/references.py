"""Refusals about searching by a recording."""

from services.chassis.errors import FailedPrecondition, ResourceExhausted


class UploadNotHeard(FailedPrecondition):
    """The encoder that is served has not heard the upload yet, or what it heard is gone."""

    default_reason = "UPLOAD_NOT_HEARD"

    def __init__(self, upload_id: str, field: str = "upload_id") -> None:
        super().__init__("this upload was not heard yet, ask for that first", field=field, value=upload_id)


class WindowsNotKept(FailedPrecondition):
    """Of a recording there is a vector, and no windows that could be compared."""

    default_reason = "WINDOWS_NOT_KEPT"

    def __init__(self, recording_id: str, field: str = "track_id") -> None:
        super().__init__("no windows of this recording are kept", field=field, value=recording_id)


class TooManySearches(ResourceExhausted):
    """A person has as many searches by sound under way as one may."""

    default_reason = "TOO_MANY_SEARCHES"

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} searches of yours are under way", value=limit, limit=limit, retry_after_ms=500)
