"""Artists and albums as the names in files tell them: which tracks are by one, and which are of one album."""

from dataclasses import dataclass
from datetime import datetime

from services.social.domain.catalog import folder_of
from services.social.domain.ids import AlbumId, ArtistId, TrackId
from services.social.domain.search_names import key_of


@dataclass(frozen=True, slots=True)
class Artist:
    """An artist of the library: everybody of one name is one."""

    artist_id: ArtistId
    name: str
    musicbrainz_id: str | None
    tracks: int


@dataclass(frozen=True, slots=True)
class Album:
    """An album of the library. `artist_id` is None where its files name nobody, `has_cover` where it is not known."""

    album_id: AlbumId
    title: str
    artist_id: ArtistId | None
    year: int
    musicbrainz_id: str | None
    has_cover: bool | None


@dataclass(frozen=True, slots=True)
class Details:
    """What is known of a track beside its sound; None is not known, artist and album also where not looked up yet."""

    track_id: TrackId
    artist_id: ArtistId | None
    album_id: AlbumId | None
    is_genre_known: bool
    sub_genres: list[str]
    source_tags: list[str]
    isrc: str | None
    musicbrainz_recording_id: str | None
    licence: str
    source: str
    missing_since: datetime | None


@dataclass(frozen=True, slots=True)
class Named:
    """What a track's file calls it."""

    track_id: TrackId
    title: str
    artist: str
    album: str
    relative_path: bytes
    year: int
    musicbrainz_artist_id: str | None
    musicbrainz_release_id: str | None


def folder_key(named: Named) -> str:
    """Return what keeps albums of one title apart where nobody is named: the folder; empty where somebody is."""
    return "" if key_of(named.artist) else key_of(folder_of(named.relative_path))
