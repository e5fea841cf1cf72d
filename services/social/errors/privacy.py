"""Refusals about what is kept of a person."""

from services.chassis.errors import FailedPrecondition, NotFound


class ExportNotFound(NotFound):
    """There is no such export, it is somebody else's, or its time is over."""

    default_reason = "EXPORT_NOT_FOUND"

    def __init__(self, export_id: str) -> None:
        super().__init__("there is no such export of yours", field="export_id", value=export_id[:100])


class ExportNotReady(FailedPrecondition):
    """It is not written yet."""

    default_reason = "EXPORT_NOT_READY"

    def __init__(self, export_id: str) -> None:
        super().__init__("the export is not written yet", field="export_id", value=export_id)


class NoBlobStore(FailedPrecondition):
    """There is no place for what an export writes."""

    default_reason = "NO_BLOB_STORE"

    def __init__(self) -> None:
        super().__init__("this mesh has no blob store, where an export would lie")
