"""What happens to playlists on their own."""

from datetime import datetime

from museed.social.v1 import people_events_pb2
from services.social.domain.ids import JobId, PlaylistId, UserId, new_id
from services.social.events.event import Event
from services.social.wire import timestamp


def schedule_ran(playlist_id: PlaylistId, user_id: UserId, job_id: JobId, now: datetime) -> Event:
    """Tell that a playlist is made again by its schedule."""
    message = people_events_pb2.ScheduleRan(
        playlist_id=playlist_id, user_id=user_id, job_id=job_id, ran_at=timestamp(now)
    )
    return Event(new_id(), user_id, "museed.social.v1.schedule_ran", message.SerializeToString())
