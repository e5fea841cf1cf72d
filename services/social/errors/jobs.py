"""Refusals about jobs, and what ends or delays one."""

from services.chassis.errors import FailedPrecondition, NotFound, ResourceExhausted, Unavailable


class JobNotFound(NotFound):
    """There is no such job, or it is somebody else's."""

    default_reason = "JOB_NOT_FOUND"

    def __init__(self, job_id: str) -> None:
        super().__init__("there is no such job of yours", field="job_id", value=job_id)


class NoCandidates(FailedPrecondition):
    """Nothing is left to fill a playlist with."""

    default_reason = "NO_CANDIDATES"

    def __init__(self) -> None:
        super().__init__("the rules leave no track")


class TooManyOpenJobs(ResourceExhausted):
    """A person has as many unfinished jobs as one may have."""

    default_reason = "TOO_MANY_OPEN_JOBS"

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"{count} jobs are open, limit is {limit}", value=count, limit=limit, retry_after_ms=2_000)


class NotIndexedYet(Unavailable):
    """The index is on its way to what a job needs."""

    default_reason = "NOT_INDEXED_YET"

    def __init__(self) -> None:
        super().__init__("the index is not there yet", retry_after_ms=1_000)
