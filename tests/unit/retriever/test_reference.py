"""How much is compared at a time; what comes out is shown over sockets in tests/integration/retriever."""

import threading
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from services.chassis.blobs import BlobStore, open_blob_store
from services.chassis.errors import InvalidArgument
from services.retriever.reference import reference as reference_module
from services.retriever.reference.reference import Reference, ReferenceMatcher
from services.retriever.reference.segments import Windows, similarities
from services.retriever.reference.window_cache import WindowCache
from services.retriever.reference.window_store import WindowStore
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track
from tests.unit.retriever.test_taste import unit


def rows_of(seed: int, count: int) -> Float32Array:
    return np.stack([unit(1000 * seed + number) for number in range(count)])


@pytest.fixture
async def blobs(tmp_path: Path) -> BlobStore:
    return open_blob_store(f"file://{tmp_path}/blobs")


@pytest.fixture
async def matcher(blobs: BlobStore, tmp_path: Path) -> AsyncIterator[ReferenceMatcher]:
    made = ReferenceMatcher(WindowStore(blobs, WindowCache(blobs, tmp_path / "cache", 0, 0)))
    yield made
    made.close()


async def test_tracks_are_compared_in_parts_whatever_their_length(
    matcher: ReferenceMatcher, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = [3, 12, 1, 4, 4, 5, 2, 40, 1, 9]
    tracks = []
    for number, length in enumerate(lengths):
        digest = await blobs.put(rows_of(number, length).astype("<f2").tobytes())
        tracks.append((Track(f"t{number}", duration_s=10.0 * length, windows_digest=digest), 0.5))
    tracks.insert(3, (Track("lost", windows_digest=b"l" * 32), 0.4))
    parts: list[list[int]] = []

    def counted(windows: Windows, others: list[Windows]) -> list[Float32Array]:
        parts.append([len(one.vectors) for one in others])
        return similarities(windows, others)

    monkeypatch.setattr(reference_module, "similarities", counted)
    monkeypatch.setattr(reference_module, "_MAX_ROWS", 10)
    heard = rows_of(7, 3)
    starts = np.array([0, 10, 20], np.float64)
    asked = Reference(Windows(heard, starts, np.array([10, 20, 30], np.float64)), np.full(3, 10.0), unit(1), 10.0)
    found = await matcher.match(asked, tracks, 200, 1)
    assert [part for part in parts if part] == [[3], [12], [1, 4, 4], [5, 2], [40], [1, 9]]
    assert (found.candidate_count, found.without_windows_count, found.unreadable_count) == (11, 0, 1)
    best = found.tracks[0]
    assert best.track.track_id == "t7"
    assert best.score == pytest.approx(1.0, abs=1e-3)
    assert best.segments[0].reference_s == best.segments[0].track_s
    for match in found.tracks[:-1]:
        rows = rows_of(int(match.track.track_id[1:]), lengths[int(match.track.track_id[1:])])
        assert match.score == pytest.approx(float((heard @ rows.T).max(axis=1).mean()), abs=2e-3)
    assert found.tracks[-1].track.track_id == "lost"


def asked_with(window_s: float) -> Reference:
    return Reference(Windows(rows_of(7, 1), np.zeros(1), np.full(1, window_s)), np.ones(1), unit(1), window_s)


async def library(blobs: BlobStore) -> list[tuple[Track, float]]:
    """Tracks of windows of 10 s, and one whose length is wrong."""
    tracks = []
    for number, duration_s in enumerate([95.0, 120.0, 31.5, 12.9, 7.0, 10_000.0]):
        rows = rows_of(number, max(1, int(duration_s % 1000 // 10) + (duration_s % 10 >= 3)))
        digest = await blobs.put(rows.astype("<f2").tobytes())
        tracks.append((Track(f"t{number}", duration_s=duration_s, windows_digest=digest), 0.5))
    return tracks


@pytest.mark.parametrize("window_s", [600.0, 30.0, 13.0, 10.94, 3.0, 0.1])
async def test_windows_of_another_length_than_most_tracks_have_are_refused(
    matcher: ReferenceMatcher, blobs: BlobStore, window_s: float
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await matcher.match(asked_with(window_s), await library(blobs), 10, 1)
    error = refused.value
    assert (error.reason, error.field) == ("OUT_OF_RANGE", "window_seconds")
    assert error.limit is not None
    assert window_s < float(error.limit) < 10 if window_s < 10 else 10 <= float(error.limit) < window_s


async def test_a_track_of_one_window_tells_only_that_windows_are_not_much_shorter(
    matcher: ReferenceMatcher, blobs: BlobStore
) -> None:
    track = Track("short", duration_s=9.0, windows_digest=await blobs.put(rows_of(1, 1).astype("<f2").tobytes()))
    for window_s in (10.0, 600.0):
        assert len((await matcher.match(asked_with(window_s), [(track, 0.5)], 10, 1)).tracks) == 1
    with pytest.raises(InvalidArgument) as refused:
        await matcher.match(asked_with(1.0), [(track, 0.5)], 10, 1)
    assert refused.value.message == "window_seconds is 1, 3 to 600 is allowed"


async def test_windows_of_the_tracks_length_are_taken(matcher: ReferenceMatcher, blobs: BlobStore) -> None:
    tracks = await library(blobs)
    assert len((await matcher.match(asked_with(10.0), tracks, 10, 1)).tracks) == 6
    for each in tracks[:5]:
        assert len((await matcher.match(asked_with(10.0), [each], 10, 1)).tracks) == 1
    # Half of its windows were silent when embedders left them out.
    digest = await blobs.put(rows_of(1, 6).astype("<f2").tobytes())
    quiet = Track("quiet", duration_s=120, windows_digest=digest)
    assert len((await matcher.match(asked_with(10.0), [(quiet, 0.5)], 10, 1)).tracks) == 1


async def test_blobs_that_cannot_be_read_are_named_once_and_not_without_bound(
    matcher: ReferenceMatcher, blobs: BlobStore, caplog: pytest.LogCaptureFixture
) -> None:
    digest = await blobs.put(b"no rows")
    tracks = [(Track("bad", windows_digest=digest), 0.5), (Track("lost", windows_digest=b"l" * 32), 0.4)]
    for _ in range(2):
        assert (await matcher.match(asked_with(10.0), tracks, 10, 1)).unreadable_count == 2
    told = [(record.track_id, record.digest, record.error) for record in caplog.records]  # type: ignore[attr-defined]
    assert told == [
        ("bad", digest.hex(), "it has 7 bytes, which are no rows of 6 float16"),
        ("lost", (b"l" * 32).hex(), "the blob store does not give it"),
    ]
    many = [(Track(f"t{number}", windows_digest=number.to_bytes(32)), 0.5) for number in range(150)]
    await matcher.match(asked_with(10.0), many, 10, 1)
    assert [record.message for record in caplog.records] == ["windows_unreadable"] * 100


async def test_a_reference_is_read_on_a_thread_of_the_matchers(matcher: ReferenceMatcher) -> None:
    names: list[str] = []

    def make() -> Reference:
        names.append(threading.current_thread().name)
        return Reference(Windows(rows_of(1, 1), None, None), np.ones(1), unit(1), 10.0)

    await matcher.read(make)
    assert names[0].startswith("retriever-windows")
