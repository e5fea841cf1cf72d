"""Takes playlists and comments out of sight or away, and shows them again: with their counts, events and notes."""

from dataclasses import dataclass
from datetime import datetime

from services.social.domain.ids import CommentId, PlaylistId, UserId
from services.social.domain.moderation import Action, Subject
from services.social.domain.notifications import NotificationKind
from services.social.domain.signals import SignalKind
from services.social.errors.moderation import SubjectNotFound
from services.social.events.comments import comment_added, comment_removed
from services.social.events.playlists import playlist_changed, playlist_deleted
from services.social.store import activities, audit, custody, moderated, outbox, playlists, signals
from services.social.store.database import Connection


@dataclass(frozen=True, slots=True)
class Order:
    """What an admin orders about a playlist or a comment: who, which, why, when, and by which report, if by one."""

    admin_id: UserId
    kind: Subject
    subject_id: str
    because: str
    now: datetime
    report_id: str = ""


async def take_away(connection: Connection, order: Order, action: Action) -> None:
    """Hide or delete something, and note it; what is gone or hidden already stays so.

    Args:
        connection: In a transaction that has locked the admin, and a playlist.
        order: Which.
        action: HIDE or DELETE.
    """
    if order.kind is Subject.PLAYLIST:
        await _take_playlist(connection, order, action)
    else:
        await _take_comment(connection, order, action)
    await _note(connection, order, action.value.lower())


async def show(connection: Connection, order: Order) -> None:
    """Show again what was hidden, and note it; where nothing is hidden, nothing happens.

    Raises:
        SubjectNotFound: It is gone.
    """
    is_there, owner_id = await moderated.find_owner(connection, order.kind, order.subject_id)
    if not is_there:
        raise SubjectNotFound(order.kind, order.subject_id)
    await custody.lock_people(connection, [order.admin_id] + ([] if owner_id is None else [owner_id]))
    show_it = _show_playlist if order.kind is Subject.PLAYLIST else _show_comment
    if await show_it(connection, order):
        await _note(connection, order, "show")


async def _take_playlist(connection: Connection, order: Order, action: Action) -> None:
    playlist_id = PlaylistId(order.subject_id)
    if action is Action.HIDE:
        version = await moderated.hide_playlist(connection, playlist_id, order.now)
        if version is not None:
            await outbox.add(connection, playlist_changed(playlist_id, order.admin_id, version, order.now))
            _, owner_id = await moderated.find_owner(connection, order.kind, order.subject_id)
            await _tell(connection, order, owner_id, playlist_id)
        return
    found = await playlists.find_playlist(connection, playlist_id)
    if found is not None and await playlists.delete_playlist(connection, playlist_id, found.owner_id):
        await outbox.add(connection, playlist_deleted(playlist_id, order.admin_id, order.now))


async def _take_comment(connection: Connection, order: Order, action: Action) -> None:
    comment_id = CommentId(order.subject_id)
    take = moderated.hide_comment if action is Action.HIDE else moderated.delete_comment
    taken = await take(connection, comment_id, order.now)
    if taken is not None:
        await _count(connection, taken, -1)
        await outbox.add(connection, comment_removed(comment_id, taken.playlist_id, order.admin_id, order.now))
        if action is Action.HIDE:
            await _tell(connection, order, taken.author_id, taken.playlist_id, comment_id)


async def _show_playlist(connection: Connection, order: Order) -> bool:
    playlist_id = PlaylistId(order.subject_id)
    version = await moderated.show_playlist(connection, playlist_id, order.now)
    if version is not None:
        await outbox.add(connection, playlist_changed(playlist_id, order.admin_id, version, order.now))
    return version is not None


async def _show_comment(connection: Connection, order: Order) -> bool:
    comment_id = CommentId(order.subject_id)
    shown = await moderated.show_comment(connection, comment_id)
    if shown is None:
        return False
    await _count(connection, shown, 1)
    if shown.author_id is not None:
        await outbox.add(connection, comment_added(comment_id, shown.playlist_id, shown.author_id, order.now, None))
    return True


async def _count(connection: Connection, comment: moderated.Written, amount: int) -> None:
    await signals.add(
        connection,
        SignalKind.COMMENT,
        comment.at,
        actor_id=comment.author_id,
        playlist_id=comment.playlist_id,
        amount=amount,
    )


async def _tell(
    connection: Connection,
    order: Order,
    owner_id: UserId | None,
    playlist_id: PlaylistId,
    comment_id: CommentId | None = None,
) -> None:
    """Tell whose it is that it is hidden; who decided that, and by whose report, they need not know."""
    if owner_id is not None and owner_id != order.admin_id:
        await activities.notify(
            connection,
            owner_id,
            NotificationKind.CONTENT_HIDDEN,
            order.now,
            playlist_id=playlist_id,
            comment_id=comment_id,
            subject_id=order.report_id or None,
        )


async def _note(connection: Connection, order: Order, verb: str) -> None:
    detail: dict[str, object] = {"report_id": order.report_id} if order.report_id else {}
    await audit.add(
        connection,
        order.admin_id,
        f"{verb}_{order.kind.value.lower()}",
        order.kind,
        order.subject_id,
        order.now,
        because=order.because,
        detail=detail,
    )
