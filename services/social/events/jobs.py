"""What happens to jobs."""

from museed.social.v1 import events_pb2, jobs_pb2
from services.social.domain.ids import new_id
from services.social.domain.jobs import Job
from services.social.events.event import Event


def job_progressed(job: Job) -> Event:
    """Tell that a job is in another state."""
    message = events_pb2.JobProgressed(
        job_id=job.job_id,
        state=jobs_pb2.JobState.Value(f"JOB_STATE_{job.state.value}"),
        progress=job.progress,
        playlist_id=job.playlist_id or "",
        failure_reason=job.failure_reason,
    )
    return Event(new_id(), job.job_id, "museed.social.v1.job_progressed", message.SerializeToString())
