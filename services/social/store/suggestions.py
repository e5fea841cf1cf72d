"""Rows of what extensions propose, and of what their owners thought of it."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from services.social.domain.ids import JobId, PlaylistId, TrackId
from services.social.domain.playlists import ChosenTrack
from services.social.domain.suggestions import Suggestion, SuggestionState
from services.social.store.database import Connection

DELETE_PROPOSED = "DELETE FROM suggestions WHERE playlist_id = $1 AND state = 'PROPOSED'"
# What was judged stays judged.
INSERT_PROPOSED = """
INSERT INTO suggestions (playlist_id, track_id, similarity, job_id, at)
SELECT $1, track_id, similarity, $2, $3 FROM unnest($4::uuid[], $5::real[]) AS found (track_id, similarity)
ON CONFLICT (playlist_id, track_id) DO NOTHING
"""
SELECT_JUDGED = """
SELECT track_id FROM suggestions WHERE playlist_id = $1 AND state = $2 ORDER BY at DESC, track_id LIMIT $3
"""
SELECT_PAGE = """
SELECT track_id, state, similarity, at FROM suggestions
WHERE playlist_id = $1 AND state = $2
    AND ($3::real IS NULL OR similarity < $3 OR (similarity = $3 AND track_id > $4::uuid))
ORDER BY similarity DESC, track_id LIMIT $5
"""
LOCK_SOME = """
SELECT track_id, state, similarity, at FROM suggestions WHERE playlist_id = $1 AND track_id = ANY ($2::uuid[])
FOR UPDATE
"""
JUDGE = """
UPDATE suggestions SET state = $3, at = $4 WHERE playlist_id = $1 AND track_id = ANY ($2::uuid[])
"""


async def propose(
    connection: Connection, playlist_id: PlaylistId, job_id: JobId, tracks: Sequence[ChosenTrack], now: datetime
) -> None:
    """Put proposals in the place of those that nobody judged, in a transaction that has locked the playlist."""
    await connection.execute(DELETE_PROPOSED, playlist_id)
    await connection.execute(
        INSERT_PROPOSED,
        playlist_id,
        job_id,
        now,
        [track.track_id for track in tracks],
        [track.similarity for track in tracks],
    )


async def judged(connection: Connection, playlist_id: PlaylistId, state: SuggestionState, limit: int) -> list[TrackId]:
    """Return what was judged so, newest first."""
    rows = await connection.fetch(SELECT_JUDGED, playlist_id, state.value, limit)
    return [TrackId(row["track_id"]) for row in rows]


async def page(
    connection: Connection,
    playlist_id: PlaylistId,
    state: SuggestionState,
    after: tuple[float, str] | None,
    limit: int,
) -> list[Suggestion]:
    """Return suggestions in a state, best first, those after a similarity and a track."""
    similarity, track_id = after or (None, None)
    rows = await connection.fetch(SELECT_PAGE, playlist_id, state.value, similarity, track_id, limit)
    return [_suggestion(row) for row in rows]


async def lock_some(
    connection: Connection, playlist_id: PlaylistId, track_ids: Sequence[TrackId]
) -> dict[TrackId, Suggestion]:
    """Return the suggestions of these tracks, by track."""
    rows = await connection.fetch(LOCK_SOME, playlist_id, track_ids)
    return {suggestion.track_id: suggestion for suggestion in map(_suggestion, rows)}


async def judge(
    connection: Connection, playlist_id: PlaylistId, track_ids: Sequence[TrackId], state: SuggestionState, now: datetime
) -> None:
    """Say what became of suggestions."""
    await connection.execute(JUDGE, playlist_id, track_ids, state.value, now)


def _suggestion(row: asyncpg.Record) -> Suggestion:
    return Suggestion(row["track_id"], SuggestionState(row["state"]), row["similarity"] or 0.0, row["at"])
