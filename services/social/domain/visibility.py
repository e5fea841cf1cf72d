"""Decides who may see a playlist and who may do something about it; the same in SQL in `store/visibility.py`."""

from dataclasses import dataclass

from services.social.domain.ids import UserId
from services.social.domain.playlists import Playlist, Visibility


@dataclass(frozen=True, slots=True)
class Thing:
    """A playlist as far as seeing it goes.

    Attributes:
        owner_id: Whose it is.
        visibility: What the owner wants.
        is_hidden: Whether moderation took it out of sight.
        is_owner_active: Not where its owner is suspended or has left.
    """

    owner_id: UserId
    visibility: Visibility
    is_hidden: bool = False
    is_owner_active: bool = True


def thing_of(playlist: Playlist) -> Thing:
    """Return a playlist as far as seeing it goes."""
    return Thing(playlist.owner_id, playlist.visibility, playlist.is_hidden, playlist.is_owner_active)


def may_open(thing: Thing, viewer_id: UserId | None, *, is_admin: bool = False) -> bool:
    """Say whether somebody who knows the id may see it; None for a guest.

    Admins look at what moderation hid, who decide whether it stays so; else they are nobody special. A block does not
    close a public playlist, which the same person could open without logging in.
    """
    if viewer_id == thing.owner_id or (is_admin and thing.is_hidden):
        return True
    return thing.visibility is not Visibility.PRIVATE and not thing.is_hidden and thing.is_owner_active


def may_act(thing: Thing, viewer_id: UserId, *, is_block_between: bool) -> bool:
    """Say whether somebody may like it, comment on it or copy it: who may open it, with no block either way."""
    return may_open(thing, viewer_id) and not is_block_between


def is_listed(thing: Thing, *, is_block_between: bool) -> bool:
    """Say whether it appears in others' lists: feeds, trends, profiles."""
    is_there = not thing.is_hidden and thing.is_owner_active
    return thing.visibility is Visibility.PUBLIC and is_there and not is_block_between
