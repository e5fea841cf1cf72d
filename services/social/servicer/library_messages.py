"""Turns artists, albums and what is known of tracks into messages."""

from museed.social.v1 import library_pb2
from services.social.domain.artists import Album, Artist, Details
from services.social.wire import timestamp


def artist(found: Artist) -> library_pb2.Artist:
    """Return an artist of the library."""
    return library_pb2.Artist(
        artist_id=found.artist_id,
        name=found.name,
        musicbrainz_artist_id=found.musicbrainz_id or "",
        track_count=found.tracks,
    )


def album(found: Album) -> library_pb2.Album:
    """Return an album of the library."""
    return library_pb2.Album(
        album_id=found.album_id,
        title=found.title,
        artist_id=found.artist_id or "",
        year=found.year,
        musicbrainz_release_id=found.musicbrainz_id or "",
        has_cover=found.has_cover,
    )


def details(found: Details) -> library_pb2.TrackDetails:
    """Return what is known of a track beside its sound."""
    return library_pb2.TrackDetails(
        track_id=found.track_id,
        artist_id=found.artist_id or "",
        album_id=found.album_id or "",
        is_genre_known=found.is_genre_known,
        sub_genres=found.sub_genres,
        source_tags=found.source_tags,
        isrc=found.isrc or "",
        musicbrainz_recording_id=found.musicbrainz_recording_id or "",
        licence=found.licence,
        source=found.source,
        missing_since=None if found.missing_since is None else timestamp(found.missing_since),
    )
