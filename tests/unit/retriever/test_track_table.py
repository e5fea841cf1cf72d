"""Tables of tracks: found by id whatever the digests, carried on without being read, small, and whole or refused."""

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.chassis.bus import LogPosition
from services.retriever.filters import TrackFilter
from services.retriever.index import text_table, track_records
from services.retriever.index.bases import IndexChoice
from services.retriever.index.index import TrackIndex
from services.retriever.index.kinds import Kind
from services.retriever.index.merging import merge
from services.retriever.index.track_table import SECTIONS, NextTable, TrackTable
from services.retriever.live.snapshot import Snapshot
from services.retriever.live.snapshot_folder import SnapshotFolder
from services.retriever.tracks import Track

TRACKS = [
    Track("a", 3, "좋은 날", "IU", "Real\nLive", "k/p", "Pop", 2010, 233.5, b"\xff" * 32, ("pop", "female vocal")),
    Track("b", 1),
    Track("ü", 2, artist="iu ", genre="POP", energy=0.5, tags=("", "Pop")),
]


def test_a_track_comes_back_as_it_was() -> None:
    table = TrackTable.of(TRACKS)
    assert list(table) == TRACKS
    assert [table.ids.find(track.track_id) for track in TRACKS] == [0, 1, 2]
    assert table.ids.find("c") is None
    assert [table[label].work_key for label in range(3)] == [track.work_key for track in TRACKS]


def test_a_track_is_read_when_more_than_its_id_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    values = track_records.values

    def counted(line: bytes) -> list[Any]:
        read.append(line)
        return values(line)

    monkeypatch.setattr(track_records, "values", counted)
    track = TrackTable.of(TRACKS)[0]
    assert (track.track_id, read) == ("a", [])
    assert (track.title, track.artist_key, track == TRACKS[0], len(read)) == ("좋은 날", ("artist", "iu"), True, 1)
    assert hash(track) == hash(TRACKS[0])
    with pytest.raises(AttributeError, match="a track has no titel"):
        _ = track.titel  # type: ignore[attr-defined]  # that is the point
    with pytest.raises(AttributeError, match="a track has no _read"):
        _ = TRACKS[0]._read


def test_ids_of_one_digest_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_table, "_digest", lambda text: len(text).to_bytes(8, "big"))
    tracks = [Track(name, 1, genre=name) for name in ("aa", "b", "cc", "dd", "e")]
    table = TrackTable.of(tracks)
    assert [table.ids.find(track.track_id) for track in tracks] == [0, 1, 2, 3, 4]
    assert (table.ids.find("ff"), table.ids.find("fff"), table.ids.find("")) == (None, None, None)
    assert table.ids.find_all(["dd", "fff", "ff", "", "e", "aa"]).tolist() == [3, 4, 0]
    assert table.mask(TrackFilter(genres=frozenset({"cc"}))).tolist() == [False, False, True, False, False]


def test_what_is_kept_is_carried_on_without_being_read(monkeypatch: pytest.MonkeyPatch) -> None:
    table = TrackTable.of(TRACKS)
    monkeypatch.setattr(track_records, "values", lambda _: pytest.fail("it was read"))
    came = Track("c", 1, artist="IU", genre="jazz")
    following = NextTable(table, np.array([True, False, True]), [came])
    assert len(following) == 3
    found = following.in_memory()
    assert [found.ids[label] for label in range(3)] == ["a", "ü", "c"]
    assert found.mask(TrackFilter(artists=frozenset({"iu"}))).tolist() == [True, True, True]
    assert found.mask(TrackFilter(genres=frozenset({"jazz"}))).tolist() == [False, False, True]
    assert found.mask(TrackFilter(tags=frozenset({"pop"}))).tolist() == [True, True, False]
    # Nobody has the artist, the key and the genre of b alone any more: "" stays for those that have none.
    terms = {found.terms[code] for code in range(len(found.terms))}
    assert terms == {
        "artist\0iu",
        "genre\0pop",
        "genre\0jazz",
        "key\0",
        "tag\0pop",
        "tag\0female vocal",
        "tag\0",
    }


@pytest.fixture
def tracing() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("kind", [Kind.FLAT, Kind.IVF_SQ8])
@pytest.mark.usefixtures("tracing")
def test_a_base_costs_hardly_any_memory_beside_its_vectors(kind: Kind, tmp_path: Path) -> None:
    """An object for each track would take 40 bytes at least, and a Track 1,200; faiss's own memory is not seen here."""
    count, dimension = 20_000, 8
    choice = IndexChoice(kind)
    files = SnapshotFolder(tmp_path, "enc", choice)
    library = [
        Track(
            f"0192f0c1-0000-7000-8000-{number:012d}", 1, f"title {number}", f"artist {number % 3000}", tags=("a", "b")
        )
        for number in range(count)
    ]
    index = TrackIndex("enc", choice)
    for track, vector in zip(library, np.random.default_rng(0).standard_normal((count, dimension)), strict=True):
        index.upsert(track, vector.astype(np.float32))
    merged = merge(index.freeze(), choice, files.next_base(), lambda: False)
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    assert index.adopt(merged)
    assert tracemalloc.get_traced_memory()[1] - before < 20 * count  # masks and labels, for the moment
    files.save(Snapshot.of(index.freeze(), LogPosition(datetime(2026, 1, 1, tzinfo=UTC), 1)))
    del index, merged, library
    before = tracemalloc.get_traced_memory()[0]
    found = files.load_newest()
    assert found is not None
    restored = TrackIndex("enc", choice)
    restored.restore(found.stored, found.alive, found.tracks, found.vectors)
    vectors = restored.memory_bytes if kind == Kind.FLAT else 12 * count  # lists by label
    held = tracemalloc.get_traced_memory()[0] - before - vectors
    assert held < 8 * count
    wanted = TrackFilter(artists=frozenset({"artist 77"}), tags=frozenset({"b"}))
    near = restored.nearest(restored.vector("0192f0c1-0000-7000-8000-000000000077"), 3, wanted)
    assert near.tracks[0].title == "title 77"
    assert {track.artist for track in near.tracks} == {"artist 77"}
    assert tracemalloc.get_traced_memory()[0] - before - vectors < 8 * count


def test_the_sections_are_all_that_there_is() -> None:
    assert tuple(name for name, _ in NextTable.of(TRACKS).sections()) == SECTIONS
