"""Rows of artists and albums, and what is known of tracks beside their sound."""

from collections.abc import Sequence

from services.social.domain.artists import Album, Artist, Details
from services.social.domain.ids import AlbumId, ArtistId, TrackId
from services.social.store.database import Connection

SELECT_ARTISTS = """
SELECT artist_id, name, musicbrainz_id, (SELECT count(*) FROM tracks WHERE tracks.artist_id = artists.artist_id)
FROM artists WHERE artist_id = ANY ($1::uuid[])
"""
# Of the tracks that a gateway looks at for an album's picture; null where none has one, but one may.
_HAS_COVER = """true = ANY (ARRAY(
    SELECT has_cover FROM tracks WHERE tracks.album_id = albums.album_id ORDER BY relative_path, track_id LIMIT 12
))"""
_ALBUM = f"album_id, title, artist_id, year, musicbrainz_id, {_HAS_COVER} AS has_cover"
SELECT_ALBUMS = f"SELECT {_ALBUM} FROM albums WHERE album_id = ANY ($1::uuid[])"
SELECT_DETAILS = """
SELECT track_id, artist_id, album_id, is_genre_known, sub_genres, source_tags, isrc, musicbrainz_recording_id, licence,
    source, missing_since
FROM tracks WHERE track_id = ANY ($1::uuid[])
"""
ARTIST_EXISTS = "SELECT EXISTS (SELECT FROM artists WHERE artist_id = $1)"
ALBUM_EXISTS = "SELECT EXISTS (SELECT FROM albums WHERE album_id = $1)"
LIST_TRACKS_OF_ARTIST = """
SELECT search_title, track_id FROM tracks
WHERE artist_id = $1 AND ($2::text IS NULL OR (search_title, track_id) > ($2, $3::uuid))
ORDER BY search_title, track_id LIMIT $4
"""
# A path may be longer than a token, so the last track stands for its own. An album has no more tracks than can be
# sorted at once.
LIST_TRACKS_OF_ALBUM = """
SELECT track_id FROM tracks
WHERE album_id = $1 AND (
    $2::uuid IS NULL
    OR (relative_path, track_id) > (SELECT last.relative_path, last.track_id FROM tracks AS last WHERE track_id = $2)
)
ORDER BY relative_path, track_id LIMIT $3
"""
# The first of each, by the index of the list of one.
FIRST_TRACKS_OF_ARTISTS = """
SELECT wanted.owner_id, found.search_title, found.track_id
FROM unnest($1::uuid[]) AS wanted (owner_id) CROSS JOIN LATERAL (
    SELECT search_title, track_id FROM tracks WHERE artist_id = wanted.owner_id ORDER BY search_title, track_id LIMIT $2
) AS found ORDER BY wanted.owner_id, found.search_title, found.track_id
"""
FIRST_TRACKS_OF_ALBUMS = """
SELECT wanted.owner_id, found.track_id
FROM unnest($1::uuid[]) AS wanted (owner_id) CROSS JOIN LATERAL (
    SELECT relative_path, track_id FROM tracks WHERE album_id = wanted.owner_id
    ORDER BY relative_path, track_id LIMIT $2
) AS found ORDER BY wanted.owner_id, found.relative_path, found.track_id
"""
FIRST_ALBUMS_OF_ARTISTS = f"""
SELECT wanted.artist_id AS owner_id, found.*
FROM unnest($1::uuid[]) AS wanted (artist_id) CROSS JOIN LATERAL (
    SELECT search_title, {_ALBUM} FROM albums
    WHERE albums.artist_id = wanted.artist_id AND EXISTS (SELECT FROM tracks WHERE tracks.album_id = albums.album_id)
    ORDER BY search_title, album_id LIMIT $2
) AS found ORDER BY owner_id, found.search_title, found.album_id
"""


async def find_artists(connection: Connection, artist_ids: Sequence[ArtistId]) -> list[Artist]:
    """Return the artists among these ids, in no particular order."""
    return [Artist(*row) for row in await connection.fetch(SELECT_ARTISTS, artist_ids)]


async def find_albums(connection: Connection, album_ids: Sequence[AlbumId]) -> list[Album]:
    """Return the albums among these ids, in no particular order."""
    return [Album(*row) for row in await connection.fetch(SELECT_ALBUMS, album_ids)]


async def find_details(connection: Connection, track_ids: Sequence[TrackId]) -> list[Details]:
    """Return what is known of the tracks among these ids, in no particular order."""
    return [Details(*row) for row in await connection.fetch(SELECT_DETAILS, track_ids)]


async def artist_exists(connection: Connection, artist_id: ArtistId) -> bool:
    """Say whether there is such an artist."""
    return bool(await connection.fetchval(ARTIST_EXISTS, artist_id))


async def album_exists(connection: Connection, album_id: AlbumId) -> bool:
    """Say whether there is such an album."""
    return bool(await connection.fetchval(ALBUM_EXISTS, album_id))


async def tracks_of_artist(
    connection: Connection, artist_id: ArtistId, after: tuple[str, TrackId] | None, limit: int
) -> list[tuple[str, TrackId]]:
    """Return folded titles and ids of an artist's tracks, by title, those after `after` in that order."""
    title, track_id = after or (None, None)
    rows = await connection.fetch(LIST_TRACKS_OF_ARTIST, artist_id, title, track_id, limit)
    return [(row["search_title"], TrackId(row["track_id"])) for row in rows]


async def tracks_of_album(
    connection: Connection, album_id: AlbumId, after: TrackId | None, limit: int
) -> list[TrackId]:
    """Return an album's tracks by path, those after `after` in that order."""
    rows = await connection.fetch(LIST_TRACKS_OF_ALBUM, album_id, after, limit)
    return [TrackId(row["track_id"]) for row in rows]


async def first_tracks_of_artists(
    connection: Connection, artist_ids: Sequence[ArtistId], limit: int
) -> dict[ArtistId, list[tuple[str, TrackId]]]:
    """Return the first of `tracks_of_artist` for each artist that has any."""
    found: dict[ArtistId, list[tuple[str, TrackId]]] = {}
    for row in await connection.fetch(FIRST_TRACKS_OF_ARTISTS, list(dict.fromkeys(artist_ids)), limit):
        found.setdefault(ArtistId(row["owner_id"]), []).append((row["search_title"], TrackId(row["track_id"])))
    return found


async def first_tracks_of_albums(
    connection: Connection, album_ids: Sequence[AlbumId], limit: int
) -> dict[AlbumId, list[TrackId]]:
    """Return the first of `tracks_of_album` for each album that has any."""
    found: dict[AlbumId, list[TrackId]] = {}
    for row in await connection.fetch(FIRST_TRACKS_OF_ALBUMS, list(dict.fromkeys(album_ids)), limit):
        found.setdefault(AlbumId(row["owner_id"]), []).append(TrackId(row["track_id"]))
    return found


async def first_albums_of_artists(
    connection: Connection, artist_ids: Sequence[ArtistId], limit: int
) -> dict[ArtistId, list[tuple[str, Album]]]:
    """Return the first albums of each artist that has any, by title, each with the folded title."""
    found: dict[ArtistId, list[tuple[str, Album]]] = {}
    for row in await connection.fetch(FIRST_ALBUMS_OF_ARTISTS, list(dict.fromkeys(artist_ids)), limit):
        owner_id, title, *album = row
        found.setdefault(ArtistId(owner_id), []).append((title, Album(*album)))
    return found
