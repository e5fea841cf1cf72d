"""What people do with playlists of others: likes and comments, with everything that follows from them."""

from datetime import datetime

from services.social.domain.activities import ActivityKind
from services.social.domain.comments import QUOTA_WINDOW, Comment
from services.social.domain.ids import CommentId, PlaylistId, UserId, new_id
from services.social.domain.signals import SignalKind
from services.social.errors.engagement import CommentNotFound, CommentQuotaReached
from services.social.events.comments import comment_added, comment_changed, comment_removed
from services.social.events.playlists import playlist_liked, playlist_unliked
from services.social.store import activities, comments, engagement, outbox, playlists, signals
from services.social.store.claims import Claim
from services.social.store.database import Connection


async def like(connection: Connection, user_id: UserId, playlist_id: PlaylistId, now: datetime) -> None:
    """Like a playlist, once, in a transaction that has locked the person.

    Raises:
        PlaylistNotFound: It is not for them.
        UserBlocked: They block its owner; who is blocked by the owner is told PlaylistNotFound.
    """
    found = await playlists.hold_open_for(connection, playlist_id, user_id)
    await engagement.must_may_act(connection, found, user_id)
    if not await engagement.insert_like(connection, user_id, playlist_id, now):
        return
    await signals.add(
        connection, SignalKind.LIKE, now, actor_id=user_id, playlist_id=playlist_id, user_id=found.owner_id
    )
    activity_id = await activities.record(connection, ActivityKind.LIKED, user_id, now, playlist_id=playlist_id)
    await outbox.add(connection, playlist_liked(playlist_id, user_id, now, activity_id))
    await activities.notify(connection, found.owner_id, "LIKED", now, actor_id=user_id, playlist_id=playlist_id)


async def unlike(connection: Connection, user_id: UserId, playlist_id: PlaylistId, now: datetime) -> None:
    """Take a like back, in a transaction that has locked the person.

    Raises:
        PlaylistNotFound: It is not for them.
    """
    found = await playlists.hold_open_for(connection, playlist_id, user_id)
    given_at = await engagement.delete_like(connection, user_id, playlist_id)
    if given_at is not None:
        await signals.add(
            connection,
            SignalKind.LIKE,
            given_at,
            actor_id=user_id,
            playlist_id=playlist_id,
            user_id=found.owner_id,
            amount=-1,
        )
        await outbox.add(connection, playlist_unliked(playlist_id, user_id, now))


async def add_comment(
    connection: Connection, claim: Claim, playlist_id: PlaylistId, text: str, quota: int, now: datetime
) -> Comment:
    """Comment a playlist, in a transaction that has locked the person.

    Args:
        connection: In that transaction.
        claim: Of the person's request.
        playlist_id: What about.
        text: As checked.
        quota: How many a person may write within an hour.
        now: Time of day.

    Raises:
        PlaylistNotFound: It is not for them.
        UserBlocked: They block its owner; who is blocked by the owner is told PlaylistNotFound.
        CommentQuotaReached: They have said enough.
        CommentNotFound: The key made a comment that was deleted since.
        IdempotencyKeyReused: The key came with another request.
    """
    user_id, made = claim.user_id, CommentId(new_id())
    comment_id = CommentId(await claim.bind(connection, made, now))
    if comment_id != made:
        return await _own(connection, comment_id, user_id)
    found = await playlists.hold_open_for(connection, playlist_id, user_id)
    await engagement.must_may_act(connection, found, user_id)
    if await comments.count_since(connection, user_id, now - QUOTA_WINDOW, quota) >= quota:
        raise CommentQuotaReached(quota)
    await comments.insert_comment(connection, made, playlist_id, user_id, text, now)
    await signals.add(
        connection, SignalKind.COMMENT, now, actor_id=user_id, playlist_id=playlist_id, user_id=found.owner_id
    )
    activity_id = await activities.record(
        connection, ActivityKind.COMMENTED, user_id, now, playlist_id=playlist_id, comment_id=made
    )
    await outbox.add(connection, comment_added(made, playlist_id, user_id, now, activity_id))
    await activities.notify(
        connection, found.owner_id, "COMMENTED", now, actor_id=user_id, playlist_id=playlist_id, comment_id=made
    )
    return await _own(connection, made, user_id)


async def edit_comment(
    connection: Connection, user_id: UserId, comment_id: CommentId, text: str, now: datetime
) -> Comment:
    """Change a comment of somebody's own, in a transaction that has locked the person.

    Raises:
        CommentNotFound: It is deleted, or not theirs.
        PlaylistNotFound: The playlist is not for them any more.
        UserBlocked: They block the owner of the playlist; who is blocked is told PlaylistNotFound.
    """
    found = await _own(connection, comment_id, user_id)
    playlist = await playlists.hold_open_for(connection, found.playlist_id, user_id)
    await engagement.must_may_act(connection, playlist, user_id)
    locked = await comments.lock_comment(connection, comment_id)
    if locked is None or locked.is_deleted:
        raise CommentNotFound(comment_id)
    if text == locked.text:
        return locked
    await comments.edit_comment(connection, comment_id, text, now)
    await outbox.add(connection, comment_changed(comment_id, found.playlist_id, user_id, now))
    return await _own(connection, comment_id, user_id)


async def delete_comment(connection: Connection, user_id: UserId, comment_id: CommentId, now: datetime) -> PlaylistId:
    """Take a comment away, in a transaction that has locked the person, and return the playlist that it was about.

    Raises:
        CommentNotFound: It is neither theirs nor about a playlist of theirs.
    """
    found = await comments.find_comment(connection, comment_id)
    playlist = None if found is None else await playlists.find_playlist(connection, found.playlist_id)
    if found is None or playlist is None or not found.may_be_deleted_by(user_id, playlist.owner_id):
        raise CommentNotFound(comment_id)
    # Else what is taken back here would be taken back again with the playlist that is being deleted.
    await playlists.hold(connection, found.playlist_id)
    locked = await comments.lock_comment(connection, comment_id)
    if locked is None or locked.is_deleted:
        return found.playlist_id
    await comments.delete_comment(connection, comment_id, now)
    if not locked.is_hidden:  # else moderation has counted it off already
        await signals.add(
            connection,
            SignalKind.COMMENT,
            locked.created_at,
            actor_id=locked.author_id,
            playlist_id=locked.playlist_id,
            user_id=playlist.owner_id,
            amount=-1,
        )
    await outbox.add(connection, comment_removed(comment_id, locked.playlist_id, user_id, now))
    return locked.playlist_id


async def _own(connection: Connection, comment_id: CommentId, user_id: UserId) -> Comment:
    found = await comments.find_comment(connection, comment_id)
    if found is None or found.is_deleted or found.author_id != user_id:
        raise CommentNotFound(comment_id)
    return found
