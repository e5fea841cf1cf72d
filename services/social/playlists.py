"""Playlists that people keep: who may open one, and how it may be edited."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from services.social import fields
from services.social.errors import VersionConflict
from services.social.ids import EncoderId, EntryId, PlaylistId, TrackId, UserId

LONGEST_TITLE = 200
LONGEST_DESCRIPTION = 2_000


class Visibility(StrEnum):
    """Who may open a playlist."""

    PRIVATE = "PRIVATE"
    UNLISTED = "UNLISTED"
    PUBLIC = "PUBLIC"


@dataclass(frozen=True, slots=True)
class Playlist:
    """A list of tracks with an owner. `encoder_id` is empty where a person chose the tracks."""

    playlist_id: PlaylistId
    owner_id: UserId
    title: str
    description: str
    visibility: Visibility
    encoder_id: EncoderId
    version: int
    entry_count: int
    duration_seconds: float
    created_at: datetime
    updated_at: datetime

    def is_open_to(self, user_id: UserId | None) -> bool:
        """Say whether somebody, or a guest, may open this playlist."""
        return self.visibility is not Visibility.PRIVATE or user_id == self.owner_id


@dataclass(frozen=True, slots=True)
class Entry:
    """A place in a playlist; `similarity` is a cosine."""

    entry_id: EntryId
    track_id: TrackId
    position: int
    is_seed: bool
    similarity: float | None
    shared_tags: list[str]


@dataclass(frozen=True, slots=True)
class ChosenTrack:
    """A track that was chosen for a playlist. Similarities are cosines, those to seeds in the recipe's order."""

    track_id: TrackId
    similarity: float
    is_seed: bool
    seed_similarities: list[float]
    shared_tags: list[str]


@dataclass(frozen=True, slots=True)
class Edit:
    """What to change of a playlist; None stays. `version` is what the editor saw."""

    version: int
    title: str | None
    description: str | None
    visibility: Visibility | None


def check_edit(version: int, title: str | None, description: str | None, visibility: Visibility | None) -> Edit:
    """Check an edit.

    Raises:
        Missing, OutOfRange: With the field.
    """
    return Edit(
        fields.integer(version, "version", 1, 2**62),
        None if title is None else fields.line(title, "title", longest=LONGEST_TITLE, is_required=True),
        None if description is None else fields.text(description, "description", longest=LONGEST_DESCRIPTION),
        visibility,
    )


def edited(playlist: Playlist, edit: Edit, now: datetime) -> Playlist:
    """Return a playlist after an edit.

    Raises:
        VersionConflict: Somebody edited in between.
    """
    if edit.version != playlist.version:
        raise VersionConflict(edit.version, playlist.version)
    return replace(
        playlist,
        title=playlist.title if edit.title is None else edit.title,
        description=playlist.description if edit.description is None else edit.description,
        visibility=edit.visibility or playlist.visibility,
        version=playlist.version + 1,
        updated_at=now,
    )
