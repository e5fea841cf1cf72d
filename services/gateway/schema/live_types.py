"""Stand-ins of the types that the feed's and the notifications' modules define, until those are there."""

from datetime import datetime
from enum import Enum
from typing import Self

import strawberry
from strawberry import field

from museed.social.v1 import feed_pb2, notifications_pb2
from services.gateway.schema.fields import member
from services.gateway.schema.values import to_datetime


@strawberry.enum(description="What somebody did.")
class ActivityKind(Enum):
    """Social's kinds."""

    CREATED = member(feed_pb2.ACTIVITY_KIND_CREATED, "Made a public playlist.")
    LIKED = member(feed_pb2.ACTIVITY_KIND_LIKED, "Liked a playlist.")
    SAVED = member(feed_pb2.ACTIVITY_KIND_SAVED, "Saved a playlist.")
    FOLLOWED = member(feed_pb2.ACTIVITY_KIND_FOLLOWED, "Followed somebody.")
    COMMENTED = member(feed_pb2.ACTIVITY_KIND_COMMENTED, "Commented a playlist.")


@strawberry.type(description="Something that somebody did.")
class Activity:
    """An activity."""

    kind: ActivityKind = field(description="What it was.")
    at: datetime = field(description="When.")

    @classmethod
    def from_message(cls, message: feed_pb2.Activity) -> Self:
        """Translate social's message."""
        return cls(kind=ActivityKind(message.kind), at=to_datetime(message.at))


@strawberry.type(description="Something to tell.")
class Notification:
    """A notification."""

    at: datetime = field(description="When.")

    @classmethod
    def from_message(cls, message: notifications_pb2.Notification) -> Self:
        """Translate social's message."""
        return cls(at=to_datetime(message.at))
