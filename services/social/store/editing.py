"""Rows of playlists that people make and edit; the transaction has made or locked the playlist."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.social.domain.ids import EntryId, PlaylistId, TrackId, UserId
from services.social.domain.playlists import Entry, Visibility
from services.social.errors import TrackNotFound
from services.social.store import activities, playlists
from services.social.store.database import Connection

INSERT_PLAYLIST = """
INSERT INTO playlists (playlist_id, owner_id, title, description, visibility, made_by, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
"""
UNKNOWN_TRACKS = """
SELECT given.number - 1 FROM unnest($1::uuid[]) WITH ORDINALITY AS given (track_id, number)
WHERE NOT EXISTS (SELECT FROM tracks WHERE tracks.track_id = given.track_id) ORDER BY 1 LIMIT 1
"""
RENUMBER = """
UPDATE playlist_entries AS entry SET position = given.number - 1
FROM unnest($2::uuid[]) WITH ORDINALITY AS given (entry_id, number)
WHERE entry.entry_id = given.entry_id AND entry.playlist_id = $1 AND entry.position <> given.number - 1
"""
DELETE_ENTRIES = """
DELETE FROM playlist_entries WHERE playlist_id = $1 AND entry_id = ANY ($2::uuid[]) RETURNING entry_id
"""
TOUCH = "UPDATE playlists SET version = version + 1, updated_at = $2 WHERE playlist_id = $1 RETURNING version"
NEW_SLUG = "UPDATE playlists SET share_slug = new_share_slug() WHERE playlist_id = $1"

# A copy is the copier's: what a person added counts as added by them. Uploads and words of others are not told, and
# without them the places of seeds mean others; where nothing is left to be like, no recipe is.
COPY_PLAYLIST = """
INSERT INTO playlists (
    playlist_id, owner_id, title, description, visibility, recipe, encoder_id, copied_from, made_by,
    created_at, updated_at
)
SELECT $2, $3, $4, p.description, 'PRIVATE', CASE WHEN p.owner_id = $3 THEN p.recipe ELSE told.recipe END,
    p.encoder_id, p.playlist_id, 'COPY', $5, $5
FROM playlists AS p CROSS JOIN LATERAL (
    SELECT CASE WHEN jsonb_path_exists(seeds, '$[*] ? (@.weight > 0)')
        THEN jsonb_set(p.recipe, '{seeds}', seeds) END AS recipe
    FROM (
        SELECT jsonb_path_query_array(
            p.recipe, '$.seeds[*] ? (!exists(@.upload_id ? (@ != null)) && !exists(@.words))'
        ) AS seeds
    ) AS kept
) AS told
WHERE p.playlist_id = $1
"""
COPY_ENTRIES = """
INSERT INTO playlist_entries (
    entry_id, playlist_id, track_id, position, is_seed, similarity, seed_similarities, shared_tags, added_by,
    nearest_seed, quantile, added_at
)
SELECT uuidv7(), $2, e.track_id, e.position, e.is_seed, e.similarity,
    CASE WHEN same.recipe THEN e.seed_similarities ELSE '{}'::real[] END, e.shared_tags,
    CASE WHEN e.added_by IS NOT NULL THEN $3::uuid END, CASE WHEN same.recipe THEN e.nearest_seed END, e.quantile, $4
FROM playlist_entries AS e CROSS JOIN (
    SELECT a.recipe IS NOT DISTINCT FROM b.recipe AS recipe
    FROM playlists AS a, playlists AS b WHERE a.playlist_id = $1 AND b.playlist_id = $2
) AS same
WHERE e.playlist_id = $1
"""


async def insert_playlist(
    connection: Connection,
    playlist_id: PlaylistId,
    owner_id: UserId,
    title: str,
    description: str,
    visibility: Visibility,
    made_by: str,
    now: datetime,
) -> None:
    """Add an empty playlist.

    Args:
        connection: In a transaction.
        playlist_id: New.
        owner_id: Whose.
        title: As checked.
        description: As checked.
        visibility: Who may open it.
        made_by: "HAND" or "IMPORT".
        now: Time of day.
    """
    await activities.record_shown(connection, owner_id, playlist_id, visibility, now)
    await connection.execute(INSERT_PLAYLIST, playlist_id, owner_id, title, description, visibility.value, made_by, now)


async def add_tracks(
    connection: Connection,
    playlist_id: PlaylistId,
    added_by: UserId,
    batch_id: str,
    track_ids: Sequence[TrackId],
    after: int,
    now: datetime,
    similarities: Sequence[float] | None = None,
) -> list[EntryId]:
    """Add entries behind the last one.

    Args:
        connection: In a transaction.
        playlist_id: Where to.
        added_by: Who adds them.
        batch_id: New; the ids of the entries follow from it, see `entry_ids_of`.
        track_ids: In playing order.
        after: How many entries there are.
        now: Time of day.
        similarities: Of each track to the playlist, where that was asked for.

    Raises:
        TrackNotFound: One is not in the library; names its place.
    """
    unknown = await connection.fetchval(UNKNOWN_TRACKS, track_ids)
    if unknown is not None:
        raise TrackNotFound(track_ids[unknown], f"track_ids[{unknown}]")
    entry_ids = entry_ids_of(batch_id, len(track_ids))
    entries: list[dict[str, Any]] = [
        {
            "entry_id": entry_id,
            "track_id": track_id,
            "position": after + number,
            "is_seed": False,
            "similarity": None if similarities is None else similarities[number],
            "seed_similarities": [],
            "shared_tags": [],
            "added_by": added_by,
            "nearest_seed": None,
            "quantile": None,
        }
        for number, (entry_id, track_id) in enumerate(zip(entry_ids, track_ids, strict=True))
    ]
    await playlists.insert_entries(connection, playlist_id, entries, now)
    return entry_ids


def entry_ids_of(batch_id: str, count: int) -> list[EntryId]:
    """Return the ids of entries that were added at once: who knows the batch finds them again."""
    return [EntryId(str(uuid.uuid5(uuid.UUID(batch_id), str(number)))) for number in range(count)]


async def renumber(connection: Connection, playlist_id: PlaylistId, order: Sequence[EntryId]) -> None:
    """Put all entries of a playlist in this order."""
    await connection.execute(RENUMBER, playlist_id, order)


async def remove(connection: Connection, playlist_id: PlaylistId, entry_ids: Sequence[EntryId]) -> bool:
    """Take entries out and close the gaps; say whether any was there."""
    if not await connection.fetch(DELETE_ENTRIES, playlist_id, entry_ids):
        return False
    left: list[Entry] = await playlists.entries_of(connection, playlist_id)
    await renumber(connection, playlist_id, [entry.entry_id for entry in left])
    return True


async def touch(connection: Connection, playlist_id: PlaylistId, now: datetime) -> int:
    """Note that a playlist changed; return its version now."""
    return int(await connection.fetchval(TOUCH, playlist_id, now))


async def rotate_slug(connection: Connection, playlist_id: PlaylistId) -> None:
    """Give a playlist another link; the one before is void."""
    await connection.execute(NEW_SLUG, playlist_id)


async def copy(
    connection: Connection,
    source_id: PlaylistId,
    copy_id: PlaylistId,
    owner_id: UserId,
    title: str,
    now: datetime,
) -> None:
    """Make a private copy of a playlist that the transaction holds, with its recipe and its entries."""
    await connection.execute(COPY_PLAYLIST, source_id, copy_id, owner_id, title, now)
    await connection.execute(COPY_ENTRIES, source_id, copy_id, owner_id, now)
