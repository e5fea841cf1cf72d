"""Playlists that people keep: who may open one, and how it may be edited."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from services.social.domain import fields
from services.social.domain.ids import EncoderId, EntryId, PlaylistId, TrackId, UserId
from services.social.errors import VersionConflict
from services.social.errors.playlists import PlaylistHidden

LONGEST_TITLE = 200
LONGEST_DESCRIPTION = 2_000


class Visibility(StrEnum):
    """Who may open a playlist."""

    PRIVATE = "PRIVATE"
    UNLISTED = "UNLISTED"
    PUBLIC = "PUBLIC"


@dataclass(frozen=True, slots=True)
class Playlist:
    """A list of tracks with an owner. `encoder_id` is empty where a person chose the tracks.

    Attributes:
        is_source_public: Whether others may know what it was copied from: an unlisted one is open to who knows its id.
        listed_at: When it last became public, whether or not it is now.
        has_recipe: Whether it can be made again.
        is_hidden: Whether moderation took it out of sight.
        is_owner_active: Not where its owner is suspended or has left.
        likes: Who likes it; in lists a moment old, like the counts of copies and comments.
    """

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
    share_slug: str = ""
    copied_from: PlaylistId | None = None
    is_source_public: bool = False
    listed_at: datetime | None = None
    has_recipe: bool = False
    is_hidden: bool = False
    is_owner_active: bool = True
    likes: int = 0
    saves: int = 0
    comments: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A place in a playlist.

    Attributes:
        similarity: Cosine to the seeds.
        added_by: Who put it there; None where a generation did.
        nearest_seed: Place of the nearest positive seed in the recipe, from 0.
        quantile: Share of random pairs of tracks that are less similar than this one and what is nearest to it.
        seed_similarities: Cosines to the seeds in the recipe's order; empty where they are not known.
    """

    entry_id: EntryId
    track_id: TrackId
    position: int
    is_seed: bool
    similarity: float | None
    shared_tags: list[str]
    added_by: UserId | None = None
    nearest_seed: int | None = None
    quantile: float | None = None
    seed_similarities: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class ChosenTrack:
    """A track that was chosen for a playlist. Similarities are cosines, those to seeds in the recipe's order."""

    track_id: TrackId
    similarity: float
    is_seed: bool
    seed_similarities: list[float]
    shared_tags: list[str]
    nearest_seed: int | None = None
    quantile: float | None = None


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
    """Return a playlist after an edit; where it is so already, as when a request comes again, the playlist itself.

    Raises:
        VersionConflict: Somebody edited in between.
        PlaylistHidden: Moderation hid it, and the owner wants to show it.
    """
    wanted = replace(
        playlist,
        title=playlist.title if edit.title is None else edit.title,
        description=playlist.description if edit.description is None else edit.description,
        visibility=edit.visibility or playlist.visibility,
    )
    if wanted == playlist:
        return playlist
    if edit.version != playlist.version:
        raise VersionConflict(edit.version, playlist.version)
    if playlist.is_hidden and wanted.visibility is not Visibility.PRIVATE:
        raise PlaylistHidden(playlist.playlist_id)
    return replace(wanted, version=playlist.version + 1, updated_at=now)
