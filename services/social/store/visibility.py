"""The rules of `visibility.py` in SQL, for lists and for many things at a time."""

_OWNER_IS_ACTIVE = "o.suspended_at IS NULL AND o.deleted_at IS NULL"


def openable(viewer: str) -> str:
    """Return a condition: somebody who knows the id may see it.

    Args:
        viewer: The parameter that holds the viewer's id, like "$1::uuid"; NULL for a guest.

    Returns:
        Of a statement in which `p` is playlists and `o` the users row of its owner.
    """
    return f"""(p.owner_id = {viewer} OR (p.visibility <> 'PRIVATE' AND p.hidden_at IS NULL AND {_OWNER_IS_ACTIVE}))"""


def listed(viewer: str) -> str:
    """Return a condition: it appears in others' lists; see `openable`."""
    return f"""(
        p.visibility = 'PUBLIC' AND p.hidden_at IS NULL AND {_OWNER_IS_ACTIVE}
        AND NOT {blocked("p.owner_id", viewer)}
    )"""


def blocked(person: str, viewer: str) -> str:
    """Return a condition: there is a block between two people, either way; false where one of them is NULL."""
    return f"""(
        EXISTS (SELECT FROM user_blocks WHERE blocker_id = {viewer} AND blocked_id = {person})
        OR EXISTS (SELECT FROM user_blocks WHERE blocker_id = {person} AND blocked_id = {viewer})
    )"""
