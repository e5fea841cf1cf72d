"""Playlists as lists of many show them."""

from dataclasses import dataclass
from datetime import datetime

from services.social.domain.ids import PlaylistId, UserId
from services.social.domain.playlists import Visibility


@dataclass(frozen=True, slots=True)
class Card:
    """A playlist without its entries, with the figures that were counted by now.

    Attributes:
        encoder_id: Empty where a person chose the tracks.
        listed_at: When it became public, None where it never was.
        copied_from: None for an original.
        is_liked: By the viewer; False for a guest.
    """

    playlist_id: PlaylistId
    owner_id: UserId
    title: str
    description: str
    visibility: Visibility
    is_hidden: bool
    encoder_id: str
    version: int
    entry_count: int
    duration_seconds: float
    share_slug: str
    copied_from: PlaylistId | None
    like_count: int
    save_count: int
    comment_count: int
    is_liked: bool
    created_at: datetime
    updated_at: datetime
    listed_at: datetime | None
