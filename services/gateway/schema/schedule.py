"""When a playlist is made again by itself."""

from datetime import datetime
from enum import Enum
from typing import Self

import strawberry
from strawberry import field

from museed.social.v1 import jobwork_pb2
from services.chassis import auth
from services.gateway.context import RequestContext
from services.gateway.schema.fields import member
from services.gateway.schema.values import to_datetime


@strawberry.enum(description="How often a playlist is made again.")
class SchedulePeriod(Enum):
    """Social's periods."""

    DAILY = member(jobwork_pb2.SCHEDULE_PERIOD_DAILY, "Every 24 hours, whatever clocks are set to in between.")
    WEEKLY = member(jobwork_pb2.SCHEDULE_PERIOD_WEEKLY, "Every 7 days.")
    MONTHLY = member(
        jobwork_pb2.SCHEDULE_PERIOD_MONTHLY,
        "Every month, at the day and time of its beginning in UTC, or the month's last day.",
    )


@strawberry.type(
    description="When a playlist is made again: what was generated is replaced, what a person added stays."
)
class Schedule:
    """A schedule of the caller's own."""

    playlist_id: strawberry.ID = field(description="UUID of the playlist.")
    every: SchedulePeriod = field(description="How often.")
    next_at: datetime = field(description="When next; times that were missed are made up for once.")
    last_job_id: strawberry.ID | None = field(description="UUID of the job of the last time; null before the first.")

    @classmethod
    def from_message(cls, message: jobwork_pb2.Schedule) -> Self:
        """Translate social's message."""
        return cls(
            playlist_id=strawberry.ID(message.playlist_id),
            every=SchedulePeriod(message.every),
            next_at=to_datetime(message.next_at),
            last_job_id=strawberry.ID(message.last_job_id) if message.last_job_id else None,
        )


async def load_schedule(context: RequestContext, playlist_id: str) -> Schedule | None:
    """Return the schedule of a playlist of the caller's, through the loader; None where social tells none."""
    if auth.viewer() is None:
        return None
    message = await context.loaders.schedules.load(playlist_id)
    return None if message is None else Schedule.from_message(message)
