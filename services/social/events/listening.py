"""What people hear, and what they earn."""

from datetime import datetime

from museed.social.v1 import people_events_pb2
from services.social.domain.ids import UserId, new_id
from services.social.domain.listening import HeardPlay
from services.social.events.event import Event
from services.social.wire import timestamp


def track_played(user_id: UserId, play: HeardPlay) -> Event:
    """Tell that a play of a track counts."""
    message = people_events_pb2.TrackPlayed(
        play_id=play.play_id,
        user_id=user_id,
        track_id=play.track_id,
        playlist_id=play.playlist_id or "",
        played_at=timestamp(play.played_at),
    )
    return Event(new_id(), user_id, "museed.social.v1.track_played", message.SerializeToString())


def history_deleted(user_id: UserId, at: datetime) -> Event:
    """Tell that some or all of what a person heard is forgotten."""
    message = people_events_pb2.HistoryDeleted(user_id=user_id, deleted_at=timestamp(at))
    return Event(new_id(), user_id, "museed.social.v1.history_deleted", message.SerializeToString())


def badge_earned(user_id: UserId, badge: str, tier: int, at: datetime) -> Event:
    """Tell that somebody earned a tier of a badge."""
    message = people_events_pb2.BadgeEarned(user_id=user_id, badge=badge, tier=tier, earned_at=timestamp(at))
    return Event(new_id(), user_id, "museed.social.v1.badge_earned", message.SerializeToString())
