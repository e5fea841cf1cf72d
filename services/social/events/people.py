"""What people do to each other."""

from datetime import datetime

from museed.social.v1 import people_events_pb2
from services.social.domain.ids import UserId, new_id
from services.social.events.event import Event
from services.social.wire import timestamp


def user_followed(follower_id: UserId, followee_id: UserId, now: datetime, activity_id: str | None) -> Event:
    """Tell that one person follows another, and with it what feeds tell of that."""
    message = people_events_pb2.UserFollowed(
        follower_id=follower_id,
        followee_id=followee_id,
        followed_at=timestamp(now),
        activity_id=activity_id or "",
    )
    return Event(new_id(), follower_id, "museed.social.v1.user_followed", message.SerializeToString())


def user_unfollowed(follower_id: UserId, followee_id: UserId, now: datetime) -> Event:
    """Tell that one person follows another no more."""
    message = people_events_pb2.UserUnfollowed(
        follower_id=follower_id, followee_id=followee_id, unfollowed_at=timestamp(now)
    )
    return Event(new_id(), follower_id, "museed.social.v1.user_unfollowed", message.SerializeToString())
