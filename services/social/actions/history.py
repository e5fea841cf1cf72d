"""Takes what people heard into their history and out of it again, with all sums of it, in one transaction."""

from collections.abc import Sequence
from datetime import datetime

from services.social.domain.ids import UserId
from services.social.domain.listening import (
    CLOCK_MARGIN,
    LATEST_REPORT,
    MOST_PLAYS_OF_DAY,
    HeardPlay,
    Play,
    PlayOutcome,
    judge,
    seconds_of,
)
from services.social.events.listening import history_deleted, track_played
from services.social.store import accounts, listened, listening, outbox, tastes
from services.social.store.database import Connection, Database

_BATCH_SIZE = 2_000


async def record_plays(database: Database, user_id: UserId, plays: Sequence[Play], now: datetime) -> list[PlayOutcome]:
    """Take plays of a person's into their history; a play that is known already changes nothing.

    Args:
        database: The truth.
        user_id: Whose.
        plays: Checked, at most 100.
        now: Time of day.

    Returns:
        What became of each, in the order of `plays`.
    """
    async with database.transaction() as connection:
        await accounts.lock_person(connection, user_id)
        tracks = await listening.heard_tracks(connection, [play.track_id for play in plays])
        known = await listening.known_plays(connection, [play.play_id for play in plays])
        recent = [play for play in plays if now - LATEST_REPORT <= play.played_at <= now + CLOCK_MARGIN]
        near = await listening.counted_near(connection, user_id, recent)
        told = await listening.count_on(connection, user_id, sorted({play.day for play in recent}), MOST_PLAYS_OF_DAY)
        outcomes = judge(plays, tracks, known, near, told, now)
        from_lists = [play.playlist_id for play in plays if play.playlist_id is not None]
        lists = await listening.played_playlists(connection, from_lists, user_id)
        kept = [
            HeardPlay(
                play.play_id,
                play.track_id,
                play.playlist_id if play.playlist_id in lists else None,
                tracks[play.track_id].genre,
                tracks[play.track_id].artist_id,
                play.played_at,
                seconds_of(play, tracks[play.track_id]),
                outcome is PlayOutcome.COUNTED,
            )
            for play, outcome in zip(plays, outcomes, strict=True)
            if outcome.is_kept
        ]
        new = [play for play in kept if play.is_counted]
        days = sorted({play.day for play in new})
        before = await listening.counted_on(connection, user_id, days)
        # Whoever else tells a play under the same id at this moment has it.
        mine = await listening.insert_plays(connection, user_id, kept, now)
        new = sorted((play for play in new if play.play_id in mine), key=lambda play: play.played_at)
        if new:
            of_another = {playlist_id for playlist_id, is_of_another in lists.items() if is_of_another}
            await listened.add_plays(connection, user_id, new)
            await listened.count_by_time(connection, user_id, new, 1)
            await tastes.change(connection, user_id, now)
            await listened.tell(connection, user_id, new, before, of_another, 1)
            await outbox.add(connection, *(track_played(user_id, play) for play in new))
    return [
        PlayOutcome.DUPLICATE if outcome.is_kept and play.play_id not in mine else outcome
        for play, outcome in zip(plays, outcomes, strict=True)
    ]


async def forget_plays(database: Database, user_id: UserId, play_ids: Sequence[str], now: datetime) -> None:
    """Forget those of these plays that are the person's, in all sums too; they cannot be told again."""
    async with database.transaction() as connection:
        await accounts.lock_person(connection, user_id)
        await _take_out(connection, user_id, await listening.delete_plays(connection, user_id, play_ids), now)


async def forget_all(database: Database, user_id: UserId, now: datetime) -> None:
    """Forget everything that was told until now, and the mixes that were made of it, some of it at a time.

    Each step leaves all sums right; what is left where this ends early is forgotten by the next call.
    """
    while True:
        async with database.transaction() as connection:
            if await forget(connection, user_id, _BATCH_SIZE, now) < _BATCH_SIZE:
                return


async def forget(connection: Connection, user_id: UserId, limit: int, now: datetime) -> int:
    """Forget a person's plays, and mixes; return how many plays, of at most `limit`."""
    await accounts.lock_person(connection, user_id)
    gone = await listening.delete_some(connection, user_id, now, limit)
    await _take_out(connection, user_id, gone, now)
    await tastes.delete_mixes(connection, user_id)
    return len(gone)


async def _take_out(connection: Connection, user_id: UserId, gone: Sequence[HeardPlay], now: datetime) -> None:
    if not gone:
        return
    await outbox.add(connection, history_deleted(user_id, now))
    young = [play for play in gone if play.played_at >= now - LATEST_REPORT]
    await listening.remember_forgotten(connection, young)
    counted = [play for play in gone if play.is_counted]
    if not counted:
        return
    lists = [play.playlist_id for play in counted if play.playlist_id is not None]
    of_another = await listening.owned_by_others(connection, lists, user_id)
    left = await listening.counted_on(connection, user_id, sorted({play.day for play in counted}))
    await listened.recount(connection, user_id, sorted({play.track_id for play in counted}))
    await listened.count_by_time(connection, user_id, counted, -1)
    await tastes.change(connection, user_id, now)
    await listened.tell(connection, user_id, counted, left, of_another, -1)
