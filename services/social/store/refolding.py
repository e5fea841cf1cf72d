"""Keeps artists and albums themselves where names are folded otherwise than by the release that wrote their keys.

Their rows get the keys of today before tracks look for them, so nobody's id changes. Where two become one, the older
one stays, with those who block either; the other is left without tracks, and so shown to nobody.
"""

from collections.abc import Mapping, Sequence

from services.social.domain.artists import Named, folder_key
from services.social.domain.search_names import key_of, search_name
from services.social.store.database import Connection

SELECT_ARTISTS = "SELECT artist_id, name, name_key FROM artists WHERE artist_id = ANY ($1::uuid[]) ORDER BY artist_id"
SELECT_HOLDERS = "SELECT name_key, artist_id FROM artists WHERE name_key = ANY ($1::text[])"
# Whoever adds artists waits: two processes find and move the same rows one after the other.
LOCK = "LOCK TABLE artists, albums IN SHARE ROW EXCLUSIVE MODE"
REFOLD_ARTISTS = """
UPDATE artists SET name_key = given.name_key, search_name = given.search_name, search_jamo = given.search_jamo,
    search_initials = given.search_initials
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])
    AS given (artist_id, name_key, search_name, search_jamo, search_initials)
WHERE artists.artist_id = given.artist_id
"""
BLOCK_TOO = """
INSERT INTO blocked_artists (user_id, artist_id, at)
SELECT DISTINCT ON (user_id, given.kept_id) user_id, given.kept_id, at
FROM unnest($1::uuid[], $2::uuid[]) AS given (artist_id, kept_id) JOIN blocked_artists USING (artist_id)
ORDER BY user_id, given.kept_id, at
ON CONFLICT DO NOTHING
"""
SELECT_ALBUMS = """
SELECT album_id, title, title_key, artist_id, folder_key FROM albums
WHERE album_id = ANY ($1::uuid[]) ORDER BY album_id
"""
REFOLD_ALBUMS = """
UPDATE albums SET title_key = given.title_key, artist_id = given.artist_id, folder_key = given.folder_key,
    search_title = given.search_title, search_jamo = given.search_jamo, search_initials = given.search_initials
FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[])
    AS given (album_id, title_key, artist_id, folder_key, search_title, search_jamo, search_initials)
WHERE albums.album_id = given.album_id AND NOT EXISTS (
    SELECT FROM albums AS other
    WHERE other.title_key = given.title_key AND other.folder_key = given.folder_key
        AND other.artist_id IS NOT DISTINCT FROM given.artist_id
)
"""


async def refold_artists(connection: Connection, artist_ids: Sequence[str]) -> dict[str, str]:
    """Bring the keys of artists up to date.

    Args:
        connection: In a transaction that has added no artist yet.
        artist_ids: Whose.

    Returns:
        Artists that are one with another now, with that other.
    """
    if not any(key_of(row["name"]) != row["name_key"] for row in await connection.fetch(SELECT_ARTISTS, artist_ids)):
        return {}
    await connection.execute(LOCK)
    stale = [
        row for row in await connection.fetch(SELECT_ARTISTS, artist_ids) if key_of(row["name"]) != row["name_key"]
    ]
    keys = [key_of(row["name"]) for row in stale]
    holders = {row["name_key"]: row["artist_id"] for row in await connection.fetch(SELECT_HOLDERS, keys)}
    written, merged = [], {}
    for row, key in zip(stale, keys, strict=True):
        artist_id, name = row["artist_id"], search_name(row["name"])
        if holders.setdefault(key, artist_id) != artist_id:
            merged[artist_id] = holders[key]
            continue
        written.append((artist_id, key, name.search_name, name.search_jamo, name.search_initials))
    if written:
        await connection.execute(REFOLD_ARTISTS, *_columns(written))
    if merged:
        await connection.execute(BLOCK_TOO, list(merged), list(merged.values()))
    return merged


async def refold_albums(
    connection: Connection, tracks: Mapping[str, Sequence[Named]], artists: Mapping[str, str], merged: Mapping[str, str]
) -> None:
    """Bring the keys of albums up to date.

    Args:
        connection: In the transaction of `refold_artists`.
        tracks: Some of each album, by its id.
        artists: Theirs, by key.
        merged: Artists that are one with another now.
    """
    written: dict[tuple[str, str | None, str], tuple[str | None, ...]] = {}
    for row in await connection.fetch(SELECT_ALBUMS, list(tracks)):
        key = key_of(row["title"])
        for track in tracks[row["album_id"]]:
            folder = folder_key(track)
            is_stale = key != row["title_key"] or folder != row["folder_key"] or row["artist_id"] in merged
            if key_of(track.album) == key and is_stale:
                name, artist_id = search_name(row["title"]), artists.get(key_of(track.artist))
                words = (name.search_name, name.search_jamo, name.search_initials)
                written.setdefault((key, artist_id, folder), (row["album_id"], key, artist_id, folder, *words))
                break
    if written:
        await connection.execute(LOCK)
        await connection.execute(REFOLD_ALBUMS, *_columns(list(written.values())))


def _columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
