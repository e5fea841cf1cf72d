"""Names what people are told of."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

# What is counted of the unread ones; as many mean that or more.
MOST_UNREAD = 1_000


class NotificationKind(StrEnum):
    """What a notification tells."""

    FOLLOWED = "FOLLOWED"
    LIKED = "LIKED"
    SAVED = "SAVED"
    COMMENTED = "COMMENTED"
    BADGE = "BADGE"
    JOB_ENDED = "JOB_ENDED"
    REPORT_DECIDED = "REPORT_DECIDED"
    CONTENT_HIDDEN = "CONTENT_HIDDEN"


@dataclass(frozen=True, slots=True)
class Notification:
    """Something to tell. `subject_id` is the job that ended, or the report that was decided, or hid something."""

    notification_id: str
    kind: NotificationKind
    actor_id: str | None
    playlist_id: str | None
    comment_id: str | None
    subject_id: str | None
    badge: str | None
    at: datetime
    read_at: datetime | None
