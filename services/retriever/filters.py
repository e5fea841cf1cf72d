"""Says which tracks may be found: by genre, artist, tags, lists of tracks, year and measures of the sound."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from services.retriever.tracks import Track, fold

_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Interval:
    """Numbers between two ends, both included; an infinite end is open."""

    lowest: float = -math.inf
    highest: float = math.inf

    def holds(self, value: float | None) -> bool:
        """Return whether a known value lies in it; None is what is not known."""
        return value is not None and self.lowest <= value <= self.highest


@dataclass(frozen=True, slots=True)
class TrackFilter:
    """What must be true of a track; everything that is given must be, and of a list one entry.

    What is not known of a track is true of nothing: a track without a year is in no interval of years, not in an open
    one either, and one without an artist is by nobody who is blocked. An empty set and None ask nothing.

    This is a `Wanted` of the rules of playlists. `takes` is the plain form, one track at a time; an index answers the
    same for all its tracks at once from `columns.Columns`.

    Attributes:
        genres: Folded by `tracks.fold`, as are all texts but ids.
        artists: One of these.
        blocked_artists: None of these.
        track_ids: One of these.
        blocked_track_ids: None of these.
        tags: Every one of these.
        blocked_tags: None of these.
        keys: For example "c major".
        duration_s: Length in seconds; 0 is not known.
        year: 0 is not known.
        tempo_bpm: Beats in a minute.
        energy: From calm to intense, 0 to 1.
        loudness_lufs: Integrated loudness.
    """

    genres: frozenset[str] = _NOTHING
    artists: frozenset[str] = _NOTHING
    blocked_artists: frozenset[str] = _NOTHING
    track_ids: frozenset[str] = _NOTHING
    blocked_track_ids: frozenset[str] = _NOTHING
    tags: frozenset[str] = _NOTHING
    blocked_tags: frozenset[str] = _NOTHING
    keys: frozenset[str] = _NOTHING
    duration_s: Interval | None = None
    year: Interval | None = None
    tempo_bpm: Interval | None = None
    energy: Interval | None = None
    loudness_lufs: Interval | None = None

    @property
    def entry_count(self) -> int:
        """Entries of all lists together."""
        lists = (self.genres, self.artists, self.blocked_artists, self.track_ids, self.blocked_track_ids)
        return sum(map(len, (*lists, self.tags, self.blocked_tags, self.keys)))

    def __call__(self, track: Track) -> bool:
        """Return whether a track may be found."""
        return self.takes(track)

    def takes(self, track: Track) -> bool:
        """Return whether a track may be found."""
        return self._takes_id(track.track_id) and self._takes_texts(track) and self._takes_measures(track)

    def without(self, track_ids: Iterable[str]) -> "TrackFilter":
        """Return a filter that also blocks these tracks."""
        return replace(self, blocked_track_ids=self.blocked_track_ids.union(track_ids))

    def _takes_id(self, track_id: str) -> bool:
        return track_id not in self.blocked_track_ids and (not self.track_ids or track_id in self.track_ids)

    def _takes_texts(self, track: Track) -> bool:
        artist = fold(track.artist)
        if artist in self.blocked_artists or (self.artists and artist not in self.artists):
            return False
        if self.genres and fold(track.genre) not in self.genres:
            return False
        if self.keys and fold(track.key) not in self.keys:
            return False
        if not (self.tags or self.blocked_tags):
            return True
        tags = {fold(tag) for tag in track.tags}
        return self.tags <= tags and not tags & self.blocked_tags

    def _takes_measures(self, track: Track) -> bool:
        asked = (
            (self.duration_s, track.duration_s or None),
            (self.year, track.year or None),
            (self.tempo_bpm, track.tempo_bpm),
            (self.energy, track.energy),
            (self.loudness_lufs, track.loudness_lufs),
        )
        return all(interval is None or interval.holds(value) for interval, value in asked)


def filter_of(wanted: object) -> TrackFilter | None:
    """Return the filter behind a `Wanted`, the filter itself or its bound `takes`; None for any other function."""
    owner = getattr(wanted, "__self__", wanted)
    return owner if isinstance(owner, TrackFilter) else None
