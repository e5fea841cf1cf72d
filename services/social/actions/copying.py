"""Saving a playlist as one's own copy."""

from datetime import datetime

from services.social import events
from services.social.domain.activities import ActivityKind
from services.social.domain.ids import PlaylistId, new_id
from services.social.domain.signals import SignalKind
from services.social.events.playlists import playlist_saved
from services.social.store import activities, editing, engagement, outbox, playlists, signals
from services.social.store.claims import Claim
from services.social.store.database import Connection


async def copied(
    connection: Connection, claim: Claim, playlist_id: PlaylistId, title: str, most: int, now: datetime
) -> PlaylistId:
    """Return somebody's copy of a playlist: the one that they have, or a new one.

    Args:
        connection: In a transaction that has locked the person.
        claim: Of the person's request.
        playlist_id: What to copy.
        title: Of a new copy; empty takes that of the playlist.
        most: How many playlists a person may have.
        now: Time of day.

    Raises:
        PlaylistNotFound: There is no such playlist, or it is not for them.
        UserBlocked: They block its owner; who is blocked by the owner is told PlaylistNotFound.
        TooManyPlaylists: They have as many as they may.
        IdempotencyKeyReused: The key came with another request.
    """
    user_id = claim.user_id
    known = await engagement.find_copy(connection, user_id, playlist_id)
    result = known or PlaylistId(new_id())
    copy_id = PlaylistId(await claim.bind(connection, result, now))
    if known is not None or copy_id != result:  # theirs, whatever became of what it was made from
        return copy_id
    source = await playlists.freeze_open_for(connection, playlist_id, user_id)
    await engagement.must_may_act(connection, source, user_id)
    await playlists.must_have_room(connection, user_id, most)
    await editing.copy(connection, playlist_id, copy_id, user_id, title or source.title, now)
    await outbox.add(connection, events.playlist_created(copy_id, user_id, now))
    if source.owner_id == user_id:
        return copy_id
    if await engagement.save(connection, user_id, playlist_id, copy_id, now):
        await signals.add(
            connection, SignalKind.SAVE, now, actor_id=user_id, playlist_id=playlist_id, user_id=source.owner_id
        )
    activity_id = await activities.record(connection, ActivityKind.SAVED, user_id, now, playlist_id=playlist_id)
    await outbox.add(connection, playlist_saved(playlist_id, user_id, copy_id, now, activity_id))
    await activities.notify(connection, source.owner_id, "SAVED", now, actor_id=user_id, playlist_id=playlist_id)
    return copy_id
