"""What happens to uploads."""

from datetime import datetime

from museed.social.v1 import people_events_pb2
from services.social.domain.ids import UploadId, UserId, new_id
from services.social.events.event import Event
from services.social.wire import timestamp


def upload_deleted(upload_id: UploadId, user_id: UserId, now: datetime) -> Event:
    """Tell that the audio of an upload is gone: once for each, so that its order among others is nobody's concern."""
    message = people_events_pb2.UploadDeleted(upload_id=upload_id, user_id=user_id, deleted_at=timestamp(now))
    return Event(new_id(), upload_id, "museed.social.v1.upload_deleted", message.SerializeToString())
