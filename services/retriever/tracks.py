"""What the rules of a playlist need to know about a track; nothing about its sound."""

import unicodedata
from dataclasses import dataclass, field


def fold(text: str) -> str:
    """Return a text for comparison: composed (NFC), without case, without outer blanks."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold()).strip()


@dataclass(frozen=True, slots=True)
class Track:
    """A track of the library as the VECTORS log describes it.

    Attributes:
        track_id: Never reused.
        version: Rises with every change.
        artist: Empty means nobody; likewise album, folder and title.
        year: 0 when unknown.
        duration_s: Length in seconds.
        audio_hash: SHA-256 of the encoded audio without tags, 32 bytes or empty.
        tags: Best first.
        artist_key: Whom the track counts for: its artist, else its album, else its folder, else itself alone.
        work_key: Artist and title; None unless both are known.
    """

    track_id: str
    version: int = 0
    title: str = ""
    artist: str = ""
    album: str = ""
    folder: str = ""
    genre: str = ""
    year: int = 0
    duration_s: float = 0.0
    audio_hash: bytes = b""
    tags: tuple[str, ...] = ()
    artist_key: tuple[str, str] = field(init=False, repr=False, compare=False)
    work_key: tuple[str, str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Made once a change, because a playlist may walk the whole library.
        artist, title = fold(self.artist), fold(self.title)
        if artist:
            key = ("artist", artist)
        elif album := fold(self.album):
            key = ("album", album)
        elif self.folder:
            key = ("folder", self.folder)
        else:
            key = ("track", self.track_id)
        object.__setattr__(self, "artist_key", key)
        object.__setattr__(self, "work_key", (artist, title) if artist and title else None)
