"""Translates schedules, suggestions and kinds of jobs between messages and the domain."""

from museed.social.v1 import jobs_pb2, jobwork_pb2
from services.social.domain.jobs import JobState, Kind
from services.social.domain.schedules import Period, Schedule
from services.social.domain.suggestions import Suggestion, SuggestionState
from services.social.errors import Malformed, Missing
from services.social.wire import timestamp


def to_suggestion_state(value: jobwork_pb2.SuggestionState.ValueType) -> SuggestionState:
    """Return the state that a request names; PROPOSED where it names none."""
    if value == jobwork_pb2.SUGGESTION_STATE_UNSPECIFIED:
        return SuggestionState.PROPOSED
    if value not in jobwork_pb2.SuggestionState.values():
        raise Malformed("state", value, "PROPOSED, ACCEPTED or REJECTED")
    return SuggestionState(jobwork_pb2.SuggestionState.Name(value).removeprefix("SUGGESTION_STATE_"))


def to_period(value: jobwork_pb2.SchedulePeriod.ValueType) -> Period:
    """Return the period that a request names."""
    if value == jobwork_pb2.SCHEDULE_PERIOD_UNSPECIFIED:
        raise Missing("every")
    if value not in jobwork_pb2.SchedulePeriod.values():
        raise Malformed("every", value, "DAILY, WEEKLY or MONTHLY")
    return Period(jobwork_pb2.SchedulePeriod.Name(value).removeprefix("SCHEDULE_PERIOD_"))


def to_kind(value: jobs_pb2.JobKind.ValueType) -> Kind | None:
    """Return the kind of job that a request names, if any."""
    if value == jobs_pb2.JOB_KIND_UNSPECIFIED:
        return None
    if value not in jobs_pb2.JobKind.values():
        raise Malformed("kind", value, "a kind of job")
    return Kind(jobs_pb2.JobKind.Name(value).removeprefix("JOB_KIND_"))


def to_job_state(value: jobs_pb2.JobState.ValueType) -> JobState | None:
    """Return the state of jobs that a request names, if any."""
    if value == jobs_pb2.JOB_STATE_UNSPECIFIED:
        return None
    if value not in jobs_pb2.JobState.values():
        raise Malformed("state", value, "a state of jobs")
    return JobState(jobs_pb2.JobState.Name(value).removeprefix("JOB_STATE_"))


def suggestion_message(found: Suggestion) -> jobwork_pb2.Suggestion:
    """Return the message of a suggestion."""
    return jobwork_pb2.Suggestion(
        track_id=found.track_id,
        state=jobwork_pb2.SuggestionState.Value(f"SUGGESTION_STATE_{found.state}"),
        similarity=found.similarity,
        suggested_at=timestamp(found.at),
    )


def schedule_message(found: Schedule) -> jobwork_pb2.Schedule:
    """Return the message of a schedule."""
    return jobwork_pb2.Schedule(
        playlist_id=found.playlist_id,
        every=jobwork_pb2.SchedulePeriod.Value(f"SCHEDULE_PERIOD_{found.every}"),
        next_at=timestamp(found.next_at),
        last_job_id=found.last_job_id or "",
    )
