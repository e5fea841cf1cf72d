"""What is known of the tracks of a base by label, in arrays that lie in its file; a track is read when it is asked for.

Of a track that is only counted, filtered or found by its id no object exists: 88,000 of them took 100 MB and a second.
The sections, of the format of `section_file`:

    ids, ids_offsets, ids_digests, ids_rows           see `text_table.TextTable`
    records, records_offsets                          see `track_records` and `text_table.Lines`
    terms, terms_offsets, terms_digests, terms_rows   texts that filters ask for, each under the name of its column
    texts, measures, tag_rows, tag_codes              see `columns.Columns`; the rows of terms are its codes
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.retriever.filters import TrackFilter
from services.retriever.index import track_records
from services.retriever.index.columns import MEASURES, TEXTS, BoolArray, Columns, GrowingColumns
from services.retriever.index.text_table import (
    Lines,
    Mask,
    NewSection,
    Sections,
    TextTable,
    as_bytes,
    empty_lines,
    empty_texts,
)
from services.retriever.tracks import Track

_EMPTY: Sections = (
    empty_texts("ids") | empty_lines("records") | empty_texts("terms") | dict.fromkeys(Columns._fields, memoryview(b""))
)
SECTIONS = tuple(_EMPTY)


class TrackTable:
    """The tracks of a base by label. Never changes, and may be read by several threads.

    Args:
        sections: All of `SECTIONS`; kept.
    """

    def __init__(self, sections: Sections) -> None:
        self.ids = TextTable(sections, "ids")
        self.records = Lines(sections, "records")
        self.terms = TextTable(sections, "terms")
        self.columns = Columns(
            np.frombuffer(sections["texts"], np.int32).reshape(len(TEXTS), -1),
            np.frombuffer(sections["measures"], np.float64).reshape(len(MEASURES), -1),
            np.frombuffer(sections["tag_rows"], np.int32),
            np.frombuffer(sections["tag_codes"], np.int32),
        )

    @classmethod
    def of(cls, tracks: Sequence[Track]) -> "TrackTable":
        """Hold these tracks in memory."""
        return NextTable.of(tracks).in_memory()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, label: int) -> Track:
        return Track.later(self.ids[label], functools.partial(self._values, label))

    def __iter__(self) -> Iterator[Track]:
        return map(self.__getitem__, range(len(self)))

    def mask(self, wanted: TrackFilter) -> BoolArray:
        """Return which tracks have what a filter asks for, the ids aside, shape (len,)."""
        return self.columns.mask(wanted, self.terms)

    def _values(self, label: int) -> Sequence[Any]:
        return track_records.values(self.records[label])


@dataclass(frozen=True, slots=True)
class NextTable:
    """A table to be made: some tracks of the one before, and others behind them.

    Attributes:
        before: The table before.
        kept: Which of its tracks, shape (len(before),).
        added: The others; none of them is among those that are kept.
    """

    before: TrackTable
    kept: Mask
    added: Sequence[Track]

    @classmethod
    def of(cls, tracks: Sequence[Track]) -> "NextTable":
        """Return one of these tracks alone."""
        return cls(TrackTable(_EMPTY), np.zeros(0, np.bool_), tracks)

    def __len__(self) -> int:
        return int(np.count_nonzero(self.kept)) + len(self.added)

    def in_memory(self) -> TrackTable:
        """Make it in memory."""
        return TrackTable({name: memoryview(b"".join(parts)) for name, parts in self.sections()})

    def sections(self) -> Iterator[NewSection]:
        """Yield all of `SECTIONS`, to be written; of a track that is kept no object is made."""
        before = self.before
        yield from before.ids.next_sections(self.kept, [track.track_id for track in self.added])
        yield from before.records.next_sections(
            "records", self.kept, [track_records.encode(track) for track in self.added]
        )
        yield from self._sections_of_columns()

    def _sections_of_columns(self) -> Iterator[NewSection]:
        terms = self.before.terms
        kept, added = self.before.columns.kept(self.kept), GrowingColumns.of(self.added)
        known = {term: terms.find(term) for term in added.terms}
        # A term that no track has any more is dropped.
        is_used = np.zeros(len(terms), np.bool_)
        is_used[kept.texts] = is_used[kept.tag_codes] = True
        is_used[[code for code in known.values() if code is not None]] = True
        new = [term for term, code in known.items() if code is None]
        yield from terms.next_sections(is_used, new)
        moved = np.cumsum(is_used, dtype=np.int32) - np.int32(1)
        new_codes = {term: int(np.count_nonzero(is_used)) + place for place, term in enumerate(new)}
        of_added = [new_codes[term] if code is None else moved[code] for term, code in known.items()]
        columns = added.columns.coded(np.array(of_added, np.int32)).behind(kept.coded(moved))
        for name, column in columns._asdict().items():
            yield name, [as_bytes(column)]
