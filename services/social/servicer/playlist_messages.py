"""Reads what requests say of playlists, and turns playlists into messages."""

from museed.social.v1 import playlists_pb2
from services.chassis.auth import viewer
from services.social.domain.accounts import Role
from services.social.domain.ids import PlaylistId, UserId, is_id
from services.social.domain.playlists import Entry, Playlist, Visibility
from services.social.errors import Malformed, PlaylistNotFound
from services.social.store import engagement, playlists
from services.social.store.database import Connection
from services.social.wire import timestamp


def person() -> UserId | None:
    """Return the person who calls, None for a guest; a job token speaks for one job, and not for its owner."""
    who = viewer()
    return UserId(who.user_id) if who is not None and who.is_person else None


def is_admin() -> bool:
    """Say whether an admin calls, and not a program with less than their rights."""
    who = viewer()
    return who is not None and who.is_person and who.role == Role.ADMIN


def playlist_id_of(given: str) -> PlaylistId:
    """Return the id of a playlist.

    Raises:
        PlaylistNotFound: There can be no such playlist.
    """
    if not is_id(given):
        raise PlaylistNotFound(given)
    return PlaylistId(given)


def to_visibility(value: playlists_pb2.Visibility.ValueType) -> Visibility | None:
    """Read who may open a playlist; None where it is left open.

    Raises:
        Malformed: A number that means nothing.
    """
    if value == playlists_pb2.VISIBILITY_UNSPECIFIED:
        return None
    if value not in playlists_pb2.Visibility.values():
        raise Malformed("visibility", value, "PRIVATE, UNLISTED or PUBLIC")
    return Visibility(playlists_pb2.Visibility.Name(value).removeprefix("VISIBILITY_"))


def to_playlist(found: Playlist, viewer_id: UserId | None, is_liked: bool | None = None) -> playlists_pb2.Playlist:
    """Return a playlist as somebody who may open it sees it.

    Args:
        found: The playlist.
        viewer_id: None for a guest.
        is_liked: Whether the viewer likes it; None where that is not said.
    """
    is_public = found.visibility is Visibility.PUBLIC
    is_source_told = found.owner_id == viewer_id or found.is_source_public
    has_link = found.owner_id == viewer_id or found.visibility is not Visibility.PRIVATE
    return playlists_pb2.Playlist(
        playlist_id=found.playlist_id,
        owner_id=found.owner_id,
        title=found.title,
        description=found.description,
        visibility=playlists_pb2.Visibility.Value(f"VISIBILITY_{found.visibility.value}"),
        entry_count=found.entry_count,
        duration_seconds=found.duration_seconds,
        encoder_id=found.encoder_id,
        version=found.version,
        created_at=timestamp(found.created_at),
        updated_at=timestamp(found.updated_at),
        share_slug=found.share_slug if has_link else "",
        copied_from=(found.copied_from or "") if is_source_told else "",
        like_count=found.likes,
        save_count=found.saves,
        comment_count=found.comments,
        listed_at=timestamp(found.listed_at) if is_public and found.listed_at is not None else None,
        is_hidden=found.is_hidden,
        is_liked=is_liked if viewer_id is not None else None,
        has_recipe=found.has_recipe,
    )


async def shown(connection: Connection, playlist_id: PlaylistId, user_id: UserId) -> playlists_pb2.Playlist:
    """Return a playlist as it is now, to somebody who may open it.

    Raises:
        PlaylistNotFound: They may not.
    """
    found = await playlists.open_for(connection, playlist_id, user_id)
    liked = await engagement.liked_among(connection, user_id, [playlist_id])
    return to_playlist(found, user_id, playlist_id in liked)


def to_entry(found: Entry) -> playlists_pb2.PlaylistEntry:
    """Return a place in a playlist."""
    return playlists_pb2.PlaylistEntry(
        entry_id=found.entry_id,
        track_id=found.track_id,
        position=found.position,
        is_seed=found.is_seed,
        similarity=found.similarity,
        shared_tags=found.shared_tags,
        added_by=found.added_by or "",
        nearest_seed=found.nearest_seed,
        quantile=found.quantile,
        seed_similarities=found.seed_similarities,
    )
