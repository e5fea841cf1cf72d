"""Writes what follows from the names of tracks: their artists, their albums, and the letters they are found by.

`tracks.refined` is the revision of it: 0 is to be made, 1 was folded with an apostrophe between two words.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple

from services.social.domain.artists import Named, folder_key
from services.social.domain.ids import TrackId, new_id
from services.social.domain.search_names import key_of, search_name, track_names
from services.social.store import refolding
from services.social.store.database import Connection

# New ones come first. Whoever registers a track meanwhile is passed over: its turn comes again.
TAKE_UNREFINED = """
SELECT track_id, title, artist, album, relative_path, year, musicbrainz_artist_id, musicbrainz_release_id,
    refined, artist_id, album_id
FROM tracks WHERE refined < 2 ORDER BY refined, track_id LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
"""
# In the order of keys: two who add the same names wait for each other, and never both.
INSERT_ARTISTS = """
INSERT INTO artists (artist_id, name, name_key, search_name, search_jamo, search_initials)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
ON CONFLICT (name_key) DO NOTHING
"""
# What an artist is called, and known by, changes once no track says it any more.
RENAME_ARTISTS = """
UPDATE artists SET name = given.name FROM unnest($1::text[], $2::text[]) AS given (name_key, name)
WHERE artists.name_key = given.name_key AND artists.name <> given.name
    AND NOT EXISTS (SELECT FROM tracks WHERE tracks.artist_id = artists.artist_id AND tracks.artist = artists.name)
"""
IDENTIFY_ARTISTS = """
UPDATE artists SET musicbrainz_id = given.musicbrainz_id
FROM unnest($1::text[], $2::uuid[]) AS given (name_key, musicbrainz_id)
WHERE artists.name_key = given.name_key AND artists.musicbrainz_id IS DISTINCT FROM given.musicbrainz_id
    AND NOT EXISTS (
        SELECT FROM tracks
        WHERE tracks.artist_id = artists.artist_id AND tracks.musicbrainz_artist_id = artists.musicbrainz_id)
"""
SELECT_ARTISTS = "SELECT name_key, artist_id FROM artists WHERE name_key = ANY ($1::text[])"
# The first year that any of its files names.
INSERT_ALBUMS = """
INSERT INTO albums (album_id, title, title_key, artist_id, folder_key, year, search_title, search_jamo, search_initials)
SELECT * FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::integer[], $7::text[], $8::text[], $9::text[]
)
ON CONFLICT (title_key, artist_id, folder_key) DO UPDATE SET year = excluded.year
WHERE albums.year = 0 AND excluded.year <> 0
"""
SELECT_ALBUMS = """
SELECT title_key, wanted.artist_id, folder_key, album_id
FROM unnest($1::text[], $2::uuid[], $3::text[]) AS wanted (title_key, artist_id, folder_key)
JOIN albums USING (title_key, folder_key)
WHERE albums.artist_id IS NOT DISTINCT FROM wanted.artist_id
"""
# As artists.
RENAME_ALBUMS = """
UPDATE albums SET title = given.title FROM unnest($1::uuid[], $2::text[]) AS given (album_id, title)
WHERE albums.album_id = given.album_id AND albums.title <> given.title
    AND NOT EXISTS (SELECT FROM tracks WHERE tracks.album_id = albums.album_id AND tracks.album = albums.title)
"""
DATE_ALBUMS = """
UPDATE albums SET year = given.year FROM unnest($1::uuid[], $2::integer[]) AS given (album_id, year)
WHERE albums.album_id = given.album_id AND given.year NOT IN (0, albums.year)
    AND NOT EXISTS (SELECT FROM tracks WHERE tracks.album_id = albums.album_id AND tracks.year = albums.year)
"""
IDENTIFY_ALBUMS = """
UPDATE albums SET musicbrainz_id = given.musicbrainz_id
FROM unnest($1::uuid[], $2::uuid[]) AS given (album_id, musicbrainz_id)
WHERE albums.album_id = given.album_id AND albums.musicbrainz_id IS DISTINCT FROM given.musicbrainz_id
    AND NOT EXISTS (
        SELECT FROM tracks
        WHERE tracks.album_id = albums.album_id AND tracks.musicbrainz_release_id = albums.musicbrainz_id)
"""
# All that follows from names: what another release made of them may be otherwise.
REFINE = """
UPDATE tracks
SET artist_id = found.artist_id, album_id = found.album_id, artist_key = found.artist_key,
    search_title = found.search_title, search_text = found.search_text,
    search_jamo = found.search_jamo, search_initials = found.search_initials, refined = 2
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
    AS found (track_id, artist_id, album_id, artist_key, search_title, search_text, search_jamo, search_initials)
WHERE tracks.track_id = found.track_id
"""

_AlbumKey = tuple[str, str | None, str]


async def refine(connection: Connection, limit: int) -> int:
    """Refine some tracks; return how many.

    Args:
        connection: In a transaction.
        limit: Most tracks.
    """
    rows = await connection.fetch(TAKE_UNREFINED, limit)
    if not rows:
        return 0
    tracks = [Named(TrackId(row["track_id"]), *tuple(row)[1:-3]) for row in rows]
    pairs = zip(rows, tracks, strict=True)
    before = [(row["artist_id"], row["album_id"], track) for row, track in pairs if row["refined"]]
    merged = await refolding.refold_artists(connection, sorted({one for one, _, _ in before if one}))
    artists = await _artists(connection, tracks)
    of_albums: defaultdict[str, list[Named]] = defaultdict(list)
    for _, album_id, track in before:
        if album_id:
            of_albums[album_id].append(track)
    await refolding.refold_albums(connection, of_albums, artists, merged)
    keys = {track.track_id: _album_key(track, artists) for track in tracks if key_of(track.album)}
    albums = await _albums(connection, tracks, keys)
    written = []
    for track in tracks:
        key, names = keys.get(track.track_id), track_names(track.title, track.artist, track.album)
        album_id = None if key is None else albums[key]
        written.append((track.track_id, artists.get(names.artist_key), album_id, *astuple(names)))
    await connection.execute(REFINE, *_columns(written))
    return len(tracks)


async def _artists(connection: Connection, tracks: Sequence[Named]) -> dict[str, str]:
    """Return the artists of tracks by key, adding those that are new."""
    names: dict[str, str] = {}
    ids: dict[str, str] = {}
    for track in tracks:
        if key := key_of(track.artist):
            names.setdefault(key, track.artist)
            if track.musicbrainz_artist_id is not None:
                ids.setdefault(key, track.musicbrainz_artist_id)
    rows = []
    for key in sorted(names):
        name = search_name(names[key])
        rows.append((new_id(), name.name, key, name.search_name, name.search_jamo, name.search_initials))
    if rows:
        await connection.execute(INSERT_ARTISTS, *_columns(rows))
        await connection.execute(RENAME_ARTISTS, list(names), list(names.values()))
        await connection.execute(IDENTIFY_ARTISTS, list(ids), list(ids.values()))
    return {row["name_key"]: row["artist_id"] for row in await connection.fetch(SELECT_ARTISTS, sorted(names))}


def _album_key(track: Named, artists: dict[str, str]) -> _AlbumKey:
    return key_of(track.album), artists.get(key_of(track.artist)), folder_key(track)


async def _albums(
    connection: Connection, tracks: Sequence[Named], keys: dict[TrackId, _AlbumKey]
) -> dict[_AlbumKey, str]:
    """Return the albums of tracks by key, adding those that are new."""
    titles: dict[_AlbumKey, tuple[str, int]] = {}
    ids: dict[_AlbumKey, str] = {}
    for track in tracks:
        if key := keys.get(track.track_id):
            title, year = titles.get(key, (track.album, 0))
            titles[key] = (title, year or track.year)
            if track.musicbrainz_release_id is not None:
                ids.setdefault(key, track.musicbrainz_release_id)
    if not titles:
        return {}
    rows = []
    ordered = sorted(titles, key=lambda key: (key[0], key[1] or "", key[2]))
    for key in ordered:
        title, year = titles[key]
        name = search_name(title)
        rows.append((new_id(), title, *key, year, name.search_name, name.search_jamo, name.search_initials))
    await connection.execute(INSERT_ALBUMS, *_columns(rows))
    rows_found = await connection.fetch(SELECT_ALBUMS, *_columns(ordered))
    found = {(row["title_key"], row["artist_id"], row["folder_key"]): row["album_id"] for row in rows_found}
    album_ids = list(found.values())
    await connection.execute(RENAME_ALBUMS, album_ids, [titles[key][0] for key in found])
    await connection.execute(DATE_ALBUMS, album_ids, [titles[key][1] for key in found])
    await connection.execute(IDENTIFY_ALBUMS, [found[key] for key in ids], list(ids.values()))
    return found


def _columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
