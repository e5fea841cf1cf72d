"""Answers a filter for all tracks at once, from columns of numbers; holds no ids and no vectors."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from services.retriever.filters import TrackFilter
from services.retriever.tracks import Track, fold

BoolArray = NDArray[np.bool_]
CodeArray = NDArray[np.int32]
Number = TypeVar("Number", np.int32, np.float64)

_FIRST_CAPACITY = 64
TEXTS = ("artist", "genre", "key")
MEASURES = ("duration_s", "year", "tempo_bpm", "energy", "loudness_lufs")


class Codes(Protocol):
    """The numbers of terms, from 0 on."""

    def __len__(self) -> int: ...

    def find_all(self, texts: Iterable[str]) -> NDArray[np.int64]:
        """Return the numbers of those terms that tracks have."""
        ...


class Columns(NamedTuple):
    """What filters ask of tracks, column by column, by row.

    Texts are codes of terms, so that a list of 10,000 blocked artists is one look-up for each track; a measure that is
    not known is NaN, which no comparison finds. At 88,423 tracks a filter takes 0.1 ms to 2 ms, where a call of
    `TrackFilter.takes` for each takes 80 ms and more.

    Attributes:
        texts: Codes of artist, genre and key, shape (3, tracks), int32.
        measures: Duration, year, tempo, energy and loudness, shape (5, tracks), float64.
        tag_rows: A track that has a tag, shape (tags of all tracks,), int32.
        tag_codes: The tag that it has, likewise.
    """

    texts: CodeArray
    measures: NDArray[np.float64]
    tag_rows: CodeArray
    tag_codes: CodeArray

    def mask(self, wanted: TrackFilter, codes: Codes) -> BoolArray:
        """Return which tracks have what a filter asks for, the ids aside, shape (tracks,)."""
        mask = np.ones(self.texts.shape[1], np.bool_)
        artists, genres, keys = self.texts
        for name, column, allowed in (
            ("artist", artists, wanted.artists),
            ("genre", genres, wanted.genres),
            ("key", keys, wanted.keys),
        ):
            if allowed:
                mask &= _chosen(codes, name, allowed)[column]
        if wanted.blocked_artists:
            mask &= ~_chosen(codes, "artist", wanted.blocked_artists)[artists]
        for tag in wanted.tags:
            mask &= self._tagged(codes, [tag])
        if wanted.blocked_tags:
            mask &= ~self._tagged(codes, wanted.blocked_tags)
        for name, column_of_measure in zip(MEASURES, self.measures, strict=True):
            interval = getattr(wanted, name)
            if interval is not None:
                mask &= (column_of_measure >= interval.lowest) & (column_of_measure <= interval.highest)
        return mask

    def kept(self, kept: BoolArray) -> "Columns":
        """Return the rows that are kept, shape (tracks,), in their order."""
        moved = np.cumsum(kept, dtype=np.int32) - 1
        has = kept[self.tag_rows]
        return Columns(
            self.texts[:, kept], self.measures[:, kept], moved[self.tag_rows[has]].astype(np.int32), self.tag_codes[has]
        )

    def coded(self, codes: CodeArray) -> "Columns":
        """Return the same with other codes: what was n is `codes[n]`."""
        return self._replace(texts=codes[self.texts], tag_codes=codes[self.tag_codes])

    def behind(self, first: "Columns") -> "Columns":
        """Return other tracks with these behind them; the codes are of the same terms."""
        return Columns(
            np.concatenate([first.texts, self.texts], axis=1),
            np.concatenate([first.measures, self.measures], axis=1),
            np.concatenate([first.tag_rows, self.tag_rows + np.int32(first.texts.shape[1])]),
            np.concatenate([first.tag_codes, self.tag_codes]),
        )

    def _tagged(self, codes: Codes, tags: Iterable[str]) -> BoolArray:
        mask = np.zeros(self.texts.shape[1], np.bool_)
        mask[self.tag_rows[_chosen(codes, "tag", tags)[self.tag_codes]]] = True
        return mask


class GrowingColumns:
    """The columns of tracks that come one after the other. Not safe for threads."""

    def __init__(self) -> None:
        self._count = self._tag_count = 0
        self._codes = _Numbered()
        self._texts: CodeArray = np.zeros((len(TEXTS), _FIRST_CAPACITY), np.int32)
        self._measures: NDArray[np.float64] = np.zeros((len(MEASURES), _FIRST_CAPACITY))
        self._tags: CodeArray = np.zeros((2, _FIRST_CAPACITY), np.int32)  # (row and code, tags of all)

    @classmethod
    def of(cls, tracks: Iterable[Track]) -> Self:
        """Return the columns of these."""
        columns = cls()
        for track in tracks:
            columns.append(track)
        return columns

    def __len__(self) -> int:
        return self._count

    @property
    def terms(self) -> list[str]:
        """The terms by code."""
        return list(self._codes)

    @property
    def columns(self) -> Columns:
        """All rows, as they are now."""
        rows, codes = self._tags[:, : self._tag_count]
        return Columns(self._texts[:, : self._count], self._measures[:, : self._count], rows, codes)

    def append(self, track: Track) -> None:
        """Give a track the next row."""
        row, tag_end = self._count, self._tag_count + len(track.tags)
        if row == self._texts.shape[1]:
            self._texts, self._measures = _widened(self._texts, row), _widened(self._measures, row)
        if tag_end > self._tags.shape[1]:
            self._tags = _widened(self._tags, tag_end)
        self._texts[:, row] = [
            self._codes.of(term(name, text)) for name, text in zip(TEXTS, _texts(track), strict=True)
        ]
        self._measures[:, row] = [_measure(track, name) for name in MEASURES]
        self._tags[0, self._tag_count : tag_end] = row
        self._tags[1, self._tag_count : tag_end] = [self._codes.of(term("tag", fold(tag))) for tag in track.tags]
        self._count, self._tag_count = row + 1, tag_end

    def mask(self, wanted: TrackFilter) -> BoolArray:
        """Return which tracks have what a filter asks for, the ids aside, shape (len,)."""
        return self.columns.mask(wanted, self._codes)


class _Numbered(dict[str, int]):
    """Terms in the order in which they came."""

    def of(self, text: str) -> int:
        return self.setdefault(text, len(self))

    def find_all(self, texts: Iterable[str]) -> NDArray[np.int64]:
        return np.array([self[text] for text in texts if text in self], np.int64)


def term(name: str, folded: str) -> str:
    """Return how a text of a column stands among the terms of all columns."""
    return f"{name}\0{folded}"


def _chosen(codes: Codes, name: str, texts: Iterable[str]) -> BoolArray:
    """Return which codes are those of one of these texts, shape (codes,)."""
    chosen = np.zeros(len(codes), np.bool_)
    chosen[codes.find_all(term(name, text) for text in texts)] = True
    return chosen


def _widened(array: NDArray[Number], count: int) -> NDArray[Number]:
    return np.pad(array, ((0, 0), (0, max(count, 2 * array.shape[1]) - array.shape[1])))


def _texts(track: Track) -> Sequence[str]:
    """Return what stands in the columns of `TEXTS`."""
    kind, name = track.artist_key
    artist = name if kind == "artist" else ""  # folded when the track was made
    return artist, fold(track.genre), fold(track.key)


def _measure(track: Track, name: str) -> float:
    value = getattr(track, name)
    is_known = value is not None and (value != 0 or name not in ("duration_s", "year"))
    return float(value) if is_known else math.nan
