"""What is read and written of playlists that are made again, or extended."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from services.social.domain.ids import EncoderId, PlaylistId, TrackId, UserId, new_id
from services.social.domain.playlists import ChosenTrack
from services.social.domain.recipe import Recipe
from services.social.store import playlists
from services.social.store.database import Connection

SELECT_SOURCE = """
SELECT title, description, coalesce(encoder_id, '') AS encoder_id, version, recipe FROM playlists
WHERE playlist_id = $1 AND owner_id = $2
"""
SELECT_RECIPES = """
SELECT playlist_id, coalesce(encoder_id, '') AS encoder_id, recipe FROM playlists
WHERE playlist_id = ANY($1::uuid[]) AND owner_id = $2 AND recipe IS NOT NULL
"""
LOCK_VERSION = "SELECT version FROM playlists WHERE playlist_id = $1 AND owner_id = $2 FOR NO KEY UPDATE"
SELECT_ADDED = """
SELECT track_id FROM playlist_entries WHERE playlist_id = $1 AND added_by IS NOT NULL ORDER BY position
"""
DELETE_GENERATED = "DELETE FROM playlist_entries WHERE playlist_id = $1 AND added_by IS NULL"
# Places are unique when the transaction ends.
MOVE_ADDED = """
UPDATE playlist_entries AS entry SET position = $2 + kept.place
FROM (
    SELECT entry_id, row_number() OVER (ORDER BY position) - 1 AS place FROM playlist_entries WHERE playlist_id = $1
) AS kept
WHERE entry.entry_id = kept.entry_id
"""
UPDATE_RECIPE = """
UPDATE playlists SET recipe = $2, encoder_id = $3, version = version + 1, updated_at = $4 WHERE playlist_id = $1
RETURNING version
"""
SELECT_TRACKS = "SELECT track_id FROM playlist_entries WHERE playlist_id = $1 ORDER BY position LIMIT $2"
SELECT_END = """
SELECT count(*) AS count, coalesce(max(position) + 1, 0) AS position FROM playlist_entries WHERE playlist_id = $1
"""


@dataclass(frozen=True, slots=True)
class Source:
    """A playlist as it was when it began to be made again; `recipe` is None where a person put it together."""

    title: str
    description: str
    encoder_id: EncoderId
    version: int
    recipe: Recipe | None


async def find_source(connection: Connection, playlist_id: PlaylistId, owner_id: UserId) -> Source | None:
    """Return a playlist of this person's."""
    row = await connection.fetchrow(SELECT_SOURCE, playlist_id, owner_id)
    if row is None:
        return None
    recipe = None if row["recipe"] is None else Recipe.from_json(row["recipe"])
    return Source(row["title"], row["description"], EncoderId(row["encoder_id"]), row["version"], recipe)


async def find_recipes(
    connection: Connection, playlist_ids: Sequence[PlaylistId], owner_id: UserId
) -> list[tuple[PlaylistId, Recipe, EncoderId]]:
    """Return what those of these playlists were made from that are this person's and have a recipe, and whose ear."""
    rows = await connection.fetch(SELECT_RECIPES, playlist_ids, owner_id)
    return [
        (PlaylistId(row["playlist_id"]), Recipe.from_json(row["recipe"]), EncoderId(row["encoder_id"])) for row in rows
    ]


async def lock_version(connection: Connection, playlist_id: PlaylistId, owner_id: UserId) -> int | None:
    """Return the version of a playlist of this person's, and let nobody edit it until the transaction ends."""
    version: int | None = await connection.fetchval(LOCK_VERSION, playlist_id, owner_id)
    return version


async def added_tracks(connection: Connection, playlist_id: PlaylistId) -> list[TrackId]:
    """Return what people added to a playlist, in playing order."""
    return [TrackId(row["track_id"]) for row in await connection.fetch(SELECT_ADDED, playlist_id)]


async def tracks_of(connection: Connection, playlist_id: PlaylistId, limit: int) -> list[TrackId]:
    """Return the first tracks of a playlist."""
    return [TrackId(row["track_id"]) for row in await connection.fetch(SELECT_TRACKS, playlist_id, limit)]


async def replace_generated(
    connection: Connection,
    playlist_id: PlaylistId,
    recipe: Recipe,
    encoder_id: EncoderId,
    tracks: Sequence[ChosenTrack],
    now: datetime,
) -> int:
    """Put other tracks in the place of what was generated; what people added comes after them, in its order.

    Args:
        connection: In a transaction that has locked the playlist.
        playlist_id: Which.
        recipe: As it was followed now.
        encoder_id: Whose ear chose.
        tracks: In playing order.
        now: Time of day.

    Returns:
        The version that the playlist has now.
    """
    await connection.execute(DELETE_GENERATED, playlist_id)
    await connection.execute(MOVE_ADDED, playlist_id, len(tracks))
    entries = [
        {"entry_id": new_id(), "position": position, "added_by": None, **asdict(track)}
        for position, track in enumerate(tracks)
    ]
    await playlists.insert_entries(connection, playlist_id, entries, now)
    return int(await connection.fetchval(UPDATE_RECIPE, playlist_id, recipe.to_json(), encoder_id, now))


async def end_of(connection: Connection, playlist_id: PlaylistId) -> tuple[int, int]:
    """Return how many entries a playlist has, and the place after the last."""
    row = await connection.fetchrow(SELECT_END, playlist_id)
    assert row is not None, "an aggregate returns a row"
    return row["count"], row["position"]
