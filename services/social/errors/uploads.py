"""Refusals about uploads."""

from services.chassis.errors import AlreadyExists, NotFound, ResourceExhausted, Unavailable


class UploadNotFound(NotFound):
    """There is no such upload, it is somebody else's, or its time is over."""

    default_reason = "UPLOAD_NOT_FOUND"

    def __init__(self, upload_id: str, field: str = "upload_id") -> None:
        super().__init__("there is no such upload of yours", field=field, value=upload_id)


class UploadIdTaken(AlreadyExists):
    """There is an upload of this id already, of other bytes or of somebody else."""

    default_reason = "UPLOAD_ID_TAKEN"

    def __init__(self, upload_id: str) -> None:
        super().__init__("there is another upload of this id", field="upload_id", value=upload_id)


class UploadQuotaReached(ResourceExhausted):
    """A person has uploaded as many files, or as many bytes, in 24 hours as one may."""

    default_reason = "UPLOAD_QUOTA_REACHED"

    def __init__(self, count: int, limit: int, unit: str, field: str | None = None) -> None:
        super().__init__(
            f"{count} {unit} in 24 hours, limit is {limit}",
            field=field,
            value=count,
            limit=limit,
            retry_after_ms=3_600_000,
        )


class UploadBytesGone(Unavailable):
    """The bytes were deleted between their arrival and their upload's: they must be sent again."""

    default_reason = "UPLOAD_BYTES_GONE"

    def __init__(self) -> None:
        super().__init__("the file is not there any more, send it again", field="digest", retry_after_ms=100)
