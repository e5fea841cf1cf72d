"""Ids of everything that social owns: UUIDv7 as text, never reused."""

import uuid
from typing import NewType

from uuid_utils.compat import uuid7

UserId = NewType("UserId", str)
SessionId = NewType("SessionId", str)
ApiTokenId = NewType("ApiTokenId", str)
MailTokenId = NewType("MailTokenId", str)
MailId = NewType("MailId", str)
RootId = NewType("RootId", str)
TrackId = NewType("TrackId", str)
ArtistId = NewType("ArtistId", str)
AlbumId = NewType("AlbumId", str)
UploadId = NewType("UploadId", str)
PlaylistId = NewType("PlaylistId", str)
EntryId = NewType("EntryId", str)
CommentId = NewType("CommentId", str)
StreamTokenId = NewType("StreamTokenId", str)
JobId = NewType("JobId", str)
EncoderId = NewType("EncoderId", str)


def new_id() -> str:
    """Make an id that sorts by time of making, to the millisecond."""
    return str(uuid7())


def is_new_id(text: str) -> bool:
    """Say whether this can be an id that somebody else chose as `new_id` does."""
    return is_id(text) and uuid.UUID(text).version == 7


def is_id(text: object) -> bool:
    """Say whether this can be an id: a UUID in its canonical form."""
    if not isinstance(text, str) or len(text) != 36:
        return False
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
