"""Comments of playlists: what one may say, and who may take it away."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.social.domain import fields
from services.social.domain.ids import CommentId, PlaylistId, UserId
from services.social.errors import Missing

LONGEST_COMMENT = 2_000
QUOTA_WINDOW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Comment:
    """What somebody said of a playlist; `author_id` is None where they have left."""

    comment_id: CommentId
    playlist_id: PlaylistId
    author_id: UserId | None
    text: str
    created_at: datetime
    edited_at: datetime | None
    is_deleted: bool
    is_hidden: bool

    def may_be_deleted_by(self, user_id: UserId, playlist_owner_id: UserId) -> bool:
        """Say whether somebody may take it away: who wrote it, and who owns the playlist."""
        return user_id in (self.author_id, playlist_owner_id)


def check_text(text: str) -> str:
    """Check what somebody says.

    Raises:
        Missing, OutOfRange: Nothing, or more than 2,000 characters.
    """
    said = fields.text(text, "text", longest=LONGEST_COMMENT)
    if not said:
        raise Missing("text")
    return said
