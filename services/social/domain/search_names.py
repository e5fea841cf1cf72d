"""What follows from names: the keys by which they are one, and everything in which they are looked for."""

import hashlib
from dataclasses import dataclass

from services.social.domain.folding import folded, sort_name
from services.social.domain.hangul import initials_text, jamo_text

# Fits into an entry of an index, with other columns beside it.
_LONGEST_KEY_BYTES = 800


@dataclass(frozen=True, slots=True)
class TrackNames:
    """By what a track is found: its title as lists are ordered, and all its names folded, by letters, by initials."""

    artist_key: str
    search_title: str
    search_text: str
    search_jamo: str
    search_initials: str


@dataclass(frozen=True, slots=True)
class SearchName:
    """A name with everything in which it is looked for."""

    name: str
    search_name: str
    search_jamo: str
    search_initials: str


def key_of(name: str) -> str:
    """Return what names are one by: folded, and no longer than an index takes; empty for no name."""
    key = folded(name)
    if len(key.encode()) <= _LONGEST_KEY_BYTES:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()
    return key.encode()[: _LONGEST_KEY_BYTES - len(digest)].decode("utf-8", "ignore") + digest


def track_names(title: str, artist: str, album: str) -> TrackNames:
    """Return by what a track is found, and the key of its artist."""
    names = list(filter(None, (folded(title), folded(artist), folded(album))))
    return TrackNames(key_of(artist), sort_name(title), " ".join(names), jamo_text(names), initials_text(names))


def search_name(name: str) -> SearchName:
    """Return a name with everything in which it is looked for."""
    plain = sort_name(name)
    return SearchName(name, plain, jamo_text([plain]), initials_text([plain]))
