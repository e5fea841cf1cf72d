"""Holds texts by row in a few arrays, which may lie in a mapped file, and finds the row of a text; knows no tracks."""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Named bytes: the sections of a file, or memory.
Sections = Mapping[str, memoryview]
# A name, and what its section is joined of.
NewSection = tuple[str, Iterable[bytes | memoryview]]

Mask = NDArray[np.bool_]
Int64Array = NDArray[np.int64]


def digest(text: str) -> int:
    """Return the 64-bit number that a text is found by; numbers of different texts are as if drawn by chance."""
    return int.from_bytes(_digest(text.encode()), "big")


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=8).digest()


class Lines:
    """Strings of bytes by row.

    Args:
        sections: Where they are: NAME, all of them joined, and NAME_offsets, int64, where each of them begins, and
            where the last one ends.
        name: Of these.
    """

    def __init__(self, sections: Sections, name: str) -> None:
        self._joined = sections[name]
        self._offsets = sections[f"{name}_offsets"].cast("q")  # one at a time, quicker than out of an array
        self.offsets: Int64Array = np.frombuffer(sections[f"{name}_offsets"], np.int64)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, row: int) -> bytes:
        return bytes(self._joined[self._offsets[row] : self._offsets[row + 1]])

    def text(self, row: int) -> str:
        """Return a row as the text that it encodes."""
        return str(self._joined[self._offsets[row] : self._offsets[row + 1]], "utf-8")

    def texts(self, rows: Int64Array) -> list[str]:
        """Return some rows as texts; a third as dear as one at a time."""
        pieces = zip(self.offsets[rows].tolist(), self.offsets[rows + 1].tolist(), strict=True)
        joined = self._joined
        return [str(joined[first:end], "utf-8") for first, end in pieces]

    def runs(self, kept: Mask) -> Iterator[memoryview]:
        """Yield the rows that are kept, shape (len,), as they lie there: rows in a line are one piece."""
        edges = np.flatnonzero(np.diff(kept.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
        for first, end in self.offsets[edges].tolist():
            yield self._joined[first:end]

    def next_sections(self, name: str, kept: Mask, added: Sequence[bytes]) -> Iterator[NewSection]:
        """Yield the sections of the rows that are kept, with others behind them."""
        lengths = np.concatenate([np.diff(self.offsets)[kept], np.array([len(line) for line in added], np.int64)])
        yield name, chain(self.runs(kept), [b"".join(added)])
        yield f"{name}_offsets", [as_bytes(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))]


class TextTable:
    """Texts by row, each once, and the row of a text.

    A text is found among the sorted digests of all, and then compared. So it takes some 20 bytes beside the text,
    nothing of it in objects, and nothing has to be read before it can be asked: a dictionary of 88,000 ids takes 14 MB
    and 50 ms.

    Args:
        sections: Those of `Lines`, NAME_digests, uint64, sorted, and NAME_rows, int32, the row of each digest.
        name: Of these.
    """

    def __init__(self, sections: Sections, name: str) -> None:
        self._name = name
        self.lines = Lines(sections, name)
        # As for the offsets of lines: one at a time, and all at once.
        self._digests, self._rows = sections[f"{name}_digests"].cast("Q"), sections[f"{name}_rows"].cast("i")
        self._all_digests: NDArray[np.uint64] = np.frombuffer(self._digests, np.uint64)
        self._all_rows: NDArray[np.int32] = np.frombuffer(self._rows, np.int32)

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, row: int) -> str:
        return self.lines.text(row)

    def find(self, text: str) -> int | None:
        """Return the row of a text, None where it is not there."""
        encoded = text.encode()
        wanted = int.from_bytes(_digest(encoded), "big")
        place = bisect_left(self._digests, wanted)
        while place < len(self._digests) and self._digests[place] == wanted:
            row = self._rows[place]
            if self.lines[row] == encoded:
                return row
            place += 1
        return None

    def find_all(self, texts: Iterable[str]) -> Int64Array:
        """Return the rows of those texts that are there; half as dear as one at a time."""
        encoded = [text.encode() for text in texts]
        digests = np.frombuffer(b"".join(map(_digest, encoded)), ">u8")
        places = np.searchsorted(self._all_digests, digests)
        is_there = np.zeros(len(encoded), np.bool_)
        is_inside = places < len(self)
        is_there[is_inside] = self._all_digests[places[is_inside]] == digests[is_inside]
        rows = self._all_rows[places[is_there]].tolist()
        found = []
        for text, row in zip(compress(encoded, is_there.tolist()), rows, strict=True):
            # Another text may have the same digest.
            same = row if self.lines[row] == text else self.find(text.decode())
            if same is not None:
                found.append(same)
        return np.array(found, np.int64)

    def smallest(self, kept: Mask, count: int) -> list[tuple[int, str]]:
        """Return the digests and texts of the rows with the smallest digests among those that are kept."""
        places = np.flatnonzero(kept[self._all_rows])[:count].tolist()
        return [(self._digests[place], self[self._rows[place]]) for place in places]

    def next_sections(self, kept: Mask, added: Sequence[str]) -> Iterator[NewSection]:
        """Yield the sections of a table with the rows that are kept, shape (len,), and other texts behind them.

        No object is made for a row that is kept.
        """
        yield from self.lines.next_sections(self._name, kept, [text.encode() for text in added])
        is_kept = kept[self._all_rows]
        moved = np.cumsum(kept) - 1  # the new row of each that is kept
        kept_count = int(np.count_nonzero(kept))
        of_added = np.array([digest(text) for text in added], np.uint64)
        digests = np.concatenate([self._all_digests[is_kept], of_added])
        rows = np.concatenate([moved[self._all_rows[is_kept]], np.arange(kept_count, kept_count + len(added))])
        order = np.argsort(digests, kind="stable")
        yield f"{self._name}_digests", [as_bytes(digests[order])]
        yield f"{self._name}_rows", [as_bytes(rows[order].astype(np.int32))]


def empty_lines(name: str) -> dict[str, memoryview]:
    """Return the sections of no lines at all."""
    return {name: memoryview(b""), f"{name}_offsets": memoryview(bytes(8))}


def empty_texts(name: str) -> dict[str, memoryview]:
    """Return the sections of a table without a text."""
    return empty_lines(name) | {f"{name}_digests": memoryview(b""), f"{name}_rows": memoryview(b"")}


def as_bytes(array: NDArray[Any]) -> memoryview:
    """Return the bytes of an array, row by row."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
