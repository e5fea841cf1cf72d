"""Turns what happened into messages for the outbox: subject, bytes, and the key whose order matters."""

from dataclasses import dataclass
from datetime import datetime

from museed.social.v1 import events_pb2, jobs_pb2
from services.social.ids import PlaylistId, SessionId, UserId, new_id
from services.social.jobs import Job
from services.social.wire import timestamp


@dataclass(frozen=True, slots=True)
class Event:
    """A message that must be published if, and only if, the transaction commits.

    Attributes:
        event_id: The same on every attempt to publish.
        key: Events of one key are published in the order of their transactions.
        subject: Where to.
        payload: Serialised protobuf message.
    """

    event_id: str
    key: str
    subject: str
    payload: bytes


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


def playlist_created(playlist_id: PlaylistId, user_id: UserId, now: datetime) -> Event:
    """Tell that somebody has a new playlist."""
    message = events_pb2.PlaylistCreated(playlist_id=playlist_id, user_id=user_id, created_at=timestamp(now))
    return Event(new_id(), playlist_id, "museed.social.v1.playlist_created", message.SerializeToString())


def session_revoked(session_id: SessionId, now: datetime) -> Event:
    """Tell that every token of a session is void."""
    message = events_pb2.SessionRevoked(session_id=session_id, revoked_at=timestamp(now))
    return Event(new_id(), session_id, "museed.social.v1.session_revoked", message.SerializeToString())
