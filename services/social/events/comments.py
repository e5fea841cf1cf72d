"""What happens to comments, keyed by who does it."""

from datetime import datetime

from museed.social.v1 import people_events_pb2
from services.social.domain.ids import CommentId, PlaylistId, UserId, new_id
from services.social.events.event import Event
from services.social.wire import timestamp


def comment_added(
    comment_id: CommentId, playlist_id: PlaylistId, user_id: UserId, now: datetime, activity_id: str | None
) -> Event:
    """Tell that somebody commented a playlist, and with it what feeds tell of that."""
    message = people_events_pb2.CommentAdded(
        comment_id=comment_id,
        playlist_id=playlist_id,
        user_id=user_id,
        added_at=timestamp(now),
        activity_id=activity_id or "",
    )
    return Event(new_id(), user_id, "museed.social.v1.comment_added", message.SerializeToString())


def comment_changed(comment_id: CommentId, playlist_id: PlaylistId, user_id: UserId, now: datetime) -> Event:
    """Tell that the author of a comment changed it."""
    message = people_events_pb2.CommentChanged(
        comment_id=comment_id, playlist_id=playlist_id, user_id=user_id, changed_at=timestamp(now)
    )
    return Event(new_id(), user_id, "museed.social.v1.comment_changed", message.SerializeToString())


def comment_removed(comment_id: CommentId, playlist_id: PlaylistId, user_id: UserId, now: datetime) -> Event:
    """Tell that a comment is gone, by its author or by the owner of the playlist."""
    message = people_events_pb2.CommentRemoved(
        comment_id=comment_id, playlist_id=playlist_id, user_id=user_id, removed_at=timestamp(now)
    )
    return Event(new_id(), user_id, "museed.social.v1.comment_removed", message.SerializeToString())
