"""Takes what a playlist's owner thinks of suggestions."""

from datetime import datetime

from services.social.domain.editing import check_room
from services.social.domain.ids import EntryId, PlaylistId, UserId, new_id
from services.social.domain.suggestions import Judgement, SuggestionState
from services.social.errors import PlaylistNotFound
from services.social.errors.playlist_jobs import SuggestionNotFound
from services.social.events.playlists import playlist_changed
from services.social.store import accounts, editing, outbox, remaking, suggestions
from services.social.store.database import Database


async def judge(
    database: Database, user_id: UserId, playlist_id: PlaylistId, judgement: Judgement, now: datetime
) -> tuple[int, list[EntryId]]:
    """Add what is accepted at the end, and keep what is refused; what was judged before stays as it is.

    Args:
        database: The truth.
        user_id: Who judges.
        playlist_id: Of which playlist.
        judgement: Checked.
        now: Time of day.

    Returns:
        The version that the playlist has now, and the ids of the entries that were added.

    Raises:
        PlaylistNotFound, SuggestionNotFound, PlaylistFull: Nothing has changed.
    """
    async with database.transaction() as connection:
        await accounts.lock_person(connection, user_id)
        version = await remaking.lock_version(connection, playlist_id, user_id)
        if version is None:
            raise PlaylistNotFound(playlist_id)
        known = await suggestions.lock_some(connection, playlist_id, [*judgement.accepted, *judgement.rejected])
        for field, track_ids in (
            ("accept_track_ids", judgement.accepted),
            ("reject_track_ids", judgement.rejected),
        ):
            for index, track_id in enumerate(track_ids):
                if track_id not in known:
                    raise SuggestionNotFound(track_id, f"{field}[{index}]")
        accepted, rejected = (
            [known[track_id] for track_id in track_ids if known[track_id].state is SuggestionState.PROPOSED]
            for track_ids in (judgement.accepted, judgement.rejected)
        )
        await suggestions.judge(
            connection, playlist_id, [one.track_id for one in rejected], SuggestionState.REJECTED, now
        )
        if not accepted:
            return version, []
        count, position = await remaking.end_of(connection, playlist_id)
        check_room(count + len(accepted), "accept_track_ids")
        await suggestions.judge(
            connection, playlist_id, [one.track_id for one in accepted], SuggestionState.ACCEPTED, now
        )
        added, similarities = [one.track_id for one in accepted], [one.similarity for one in accepted]
        entry_ids = await editing.add_tracks(
            connection, playlist_id, user_id, new_id(), added, position, now, similarities
        )
        version = await editing.touch(connection, playlist_id, now)
        await outbox.add(connection, playlist_changed(playlist_id, user_id, version, now))
    return version, entry_ids
