"""What the rules of a playlist need to know about a track; nothing about its sound."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self


def fold(text: str) -> str:
    """Return a text for comparison: composed (NFC), without case, without outer blanks."""
    if text.isascii():  # most are, and this takes a tenth of the time
        return text.lower().strip()
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
        tempo_bpm: Beats in a minute; None when unknown, likewise energy and loudness.
        key: For example "C major"; empty when unknown.
        energy: From calm to intense, 0 to 1.
        loudness_lufs: Integrated loudness.
        windows_digest: Blob of its windows' vectors, 32 bytes; empty where there is none.
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
    tempo_bpm: float | None = None
    key: str = ""
    energy: float | None = None
    loudness_lufs: float | None = None
    windows_digest: bytes = b""
    artist_key: tuple[str, str] = field(init=False, repr=False, compare=False)
    work_key: tuple[str, str] | None = field(init=False, repr=False, compare=False)
    _read: Callable[[], Sequence[Any]] = field(init=False, repr=False, compare=False)

    @classmethod
    def later(cls, track_id: str, read: Callable[[], Sequence[Any]]) -> Self:
        """Return a track of which nothing but the id is known until it is asked for; then it is read, once.

        Many are found and only counted, compared by id or named in an answer: reading one takes 5 µs.

        Args:
            track_id: Its id.
            read: Returns all that a track is made of.
        """
        track = cls.__new__(cls)
        object.__setattr__(track, "track_id", track_id)
        object.__setattr__(track, "_read", read)
        return track

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

    if not TYPE_CHECKING:  # or every misspelt attribute would be one

        def __getattr__(self, name: str) -> Any:
            """Read what is not there yet; Python asks here for nothing else."""
            if name == "_read" or name not in self.__slots__:
                raise AttributeError(f"a track has no {name}")
            self.__init__(*self._read())
            return getattr(self, name)
