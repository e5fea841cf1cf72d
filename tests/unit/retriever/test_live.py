"""Reads wait for what they may expect, and no longer than they have."""

import asyncio
import functools
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from services.chassis.bus import LogPosition
from services.chassis.errors import ResourceExhausted
from services.retriever.errors import IndexBehind, IndexLoading, UnknownTrack
from services.retriever.filters import TrackFilter
from services.retriever.index.index import TrackIndex
from services.retriever.index.ranked import Ranked
from services.retriever.library import Nearest
from services.retriever.live.joining import AnsweredLibrary, Question
from services.retriever.live.live import LiveIndex
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
BEGUN_ANEW = BEGUN + timedelta(hours=1)


@pytest.fixture
async def live() -> AsyncIterator[LiveIndex]:
    index = LiveIndex(TrackIndex("enc"))
    yield index
    index.close()


async def move_to(live: LiveIndex, position: LogPosition, *, is_caught_up: bool = True) -> None:
    def add(index: TrackIndex) -> int:
        return index.upsert(Track(f"t{position.sequence}", 1), np.array([1, 0], np.float32))

    await live.advance(add, position, is_caught_up=is_caught_up)


async def test_nothing_is_read_before_the_log_was_read_to_its_end(live: LiveIndex) -> None:
    with pytest.raises(IndexLoading):
        await live.read(len, None, 1.0)
    await move_to(live, LogPosition(BEGUN, 1), is_caught_up=False)
    with pytest.raises(IndexLoading) as refused:
        await live.read(len, LogPosition(BEGUN, 1), 1.0)
    assert refused.value.retry_after_ms == 500
    await move_to(live, LogPosition(BEGUN, 2))
    assert await live.read(len, None, 1.0) == 2


@pytest.mark.parametrize("first", [LogPosition(BEGUN, 4), LogPosition(BEGUN_ANEW, 9)])
async def test_a_read_waits_for_its_point_of_that_very_stream(live: LiveIndex, first: LogPosition) -> None:
    await move_to(live, first)
    reading = asyncio.create_task(live.read(lambda index: index.track("t5") is not None, LogPosition(BEGUN, 5), 10.0))
    await move_to(live, first)
    assert not reading.done()
    await move_to(live, LogPosition(BEGUN, 5))
    assert await reading is True


async def test_a_point_that_is_reached_already_needs_no_time(live: LiveIndex) -> None:
    await move_to(live, LogPosition(BEGUN, 5))
    assert await live.read(len, LogPosition(BEGUN, 5), 0.0) == 1


@pytest.mark.parametrize("wanted", [LogPosition(BEGUN, 6), LogPosition(BEGUN_ANEW, 1)])
async def test_a_point_that_is_not_reached_in_time_is_refused(live: LiveIndex, wanted: LogPosition) -> None:
    await move_to(live, LogPosition(BEGUN, 5))
    with pytest.raises(IndexBehind) as refused:
        await live.read(len, wanted, 0.01)
    assert refused.value.metadata == {
        "field": "min_read_point",
        "value": f"sequence {wanted.sequence} of the stream of {wanted.created_at.isoformat()}",
        "limit": "sequence 5 of the stream of 2026-01-01T00:00:00+00:00",
        "retry_after_ms": "500",
    }


async def test_a_log_that_begins_anew_between_wait_and_work_is_noticed(live: LiveIndex) -> None:
    await move_to(live, LogPosition(BEGUN, 5))
    hold, held = threading.Event(), threading.Event()

    def block(index: TrackIndex) -> int:
        held.set()
        hold.wait(600)
        index.clear()
        return 1

    resetting = asyncio.create_task(live.advance(block, LogPosition(BEGUN_ANEW, 0), is_caught_up=False))
    await asyncio.to_thread(held.wait, 60)
    reading = asyncio.create_task(live.read(len, None, 10.0))
    reading_point = asyncio.create_task(live.read(len, LogPosition(BEGUN, 5), 10.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    hold.set()
    await resetting
    with pytest.raises(IndexLoading):
        await reading
    with pytest.raises(IndexBehind):
        await reading_point


async def test_work_is_done_on_one_thread_with_that_name(live: LiveIndex) -> None:
    names = {await live.run(lambda index: threading.current_thread().name) for _ in range(5)}
    assert names == {"retriever-index_0"}


async def test_what_waits_together_is_searched_together(live: LiveIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(index: TrackIndex) -> int:
        vectors = np.eye(12, dtype=np.float32) * 0.8 + 0.1
        return sum(index.upsert(Track(f"t{row:02d}", 1), vector) for row, vector in enumerate(vectors))

    await live.advance(fill, LogPosition(BEGUN, 1), is_caught_up=True)
    filters: list[Any] = [None, TrackFilter(), TrackFilter(blocked_track_ids=frozenset({"t11"}))]
    alone = [
        await live.run(functools.partial(TrackIndex.nearest, query=query, count=3, wanted=filters[row % 3]))
        for row, query in enumerate(np.eye(12, dtype=np.float32))
    ]
    assert names(alone[11]) == ["t00", "t01", "t02"]
    sizes: list[int] = []
    search = TrackIndex.search

    def counted(index: TrackIndex, queries: Float32Array, k: int, allowed: Any = None) -> list[Ranked]:
        sizes.append(len(queries))
        return search(index, queries, k, allowed)

    monkeypatch.setattr(TrackIndex, "search", counted)
    hold, held = threading.Event(), threading.Event()

    def block(index: TrackIndex) -> None:
        held.set()
        hold.wait(600)

    blocking = asyncio.create_task(live.run(block))
    await asyncio.to_thread(held.wait, 60)

    def ask(row: int) -> "asyncio.Task[list[str]]":
        question = Question(np.eye(12, dtype=np.float32)[row], 3, filters[row % 3])
        return asyncio.create_task(live.search(lambda _: question, answer, None, 10.0))

    asked = [ask(row) for row in range(3, 12)]
    apart = asyncio.create_task(
        live.search(
            lambda _: Question(np.eye(12, dtype=np.float32)[0], 1, TrackFilter(genres=frozenset({"rock"}))),
            answer,
            None,
            10.0,
        )
    )

    def refuse(index: TrackIndex) -> Question:
        raise UnknownTrack("track_id", "x")

    refused = asyncio.create_task(live.search(refuse, len, None, 10.0))
    broken = asyncio.create_task(live.search(lambda _: Question(np.ones(5, np.float32), 1), answer, None, 10.0))
    dropped = asyncio.create_task(live.search(lambda _: pytest.fail("nobody waits for it"), len, None, 10.0))
    await asyncio.sleep(0.01)
    dropped.cancel()
    hold.set()
    await blocking
    assert [await each for each in asked] == [names(found) for found in alone[3:]]
    assert await apart == []
    with pytest.raises(UnknownTrack):
        await refused
    with pytest.raises(ValueError, match="matmul"):
        await broken
    assert sizes == [9, 1, 1]


async def test_a_search_does_not_wait_for_a_playlist_and_a_change_does(live: LiveIndex) -> None:
    await move_to(live, LogPosition(BEGUN, 1))
    hold, held = threading.Event(), threading.Event()

    def block(index: TrackIndex) -> tuple[str, int]:
        held.set()
        hold.wait(600)
        return threading.current_thread().name, len(index)

    composing = [asyncio.create_task(live.compose(block, None, 600.0)) for _ in range(3)]
    await asyncio.to_thread(held.wait, 60)
    question = Question(np.array([1, 0], np.float32), 5)
    assert await asyncio.wait_for(live.search(lambda _: question, answer, None, 600.0), 60) == ["t1"]
    changing = asyncio.create_task(move_to(live, LogPosition(BEGUN, 2)))
    await asyncio.sleep(0.05)
    assert live.position == LogPosition(BEGUN, 1)
    hold.set()
    # The change comes before the playlists that wait, however many they are.
    thread = "retriever-playlists_0"
    assert await asyncio.wait_for(asyncio.gather(*composing), 60) == [(thread, 1), (thread, 2), (thread, 2)]
    await changing


async def test_who_waits_for_what_never_comes_keeps_nobody_out(live: LiveIndex) -> None:
    await move_to(live, LogPosition(BEGUN, 1))
    waiting = [asyncio.create_task(live.read(len, LogPosition(BEGUN, 99), 600.0)) for _ in range(32)]
    await asyncio.sleep(0)
    for read in (live.read, live.compose):
        with pytest.raises(IndexBehind):
            await asyncio.wait_for(read(len, LogPosition(BEGUN, 2), 600.0), 60)
    assert await live.read(len, LogPosition(BEGUN, 1), 10.0) == 1
    await move_to(live, LogPosition(BEGUN, 99))
    assert await asyncio.gather(*waiting) == [2] * 32
    assert await live.read(len, LogPosition(BEGUN, 99), 0.0) == 2


async def test_too_many_playlists_at_a_time_are_refused(live: LiveIndex) -> None:
    await move_to(live, LogPosition(BEGUN, 1))
    hold = threading.Event()
    held = [asyncio.create_task(live.compose(lambda _: hold.wait(600), None, 600.0)) for _ in range(32)]
    await asyncio.sleep(0)  # each has come as far as to its place
    with pytest.raises(ResourceExhausted) as refused:
        await live.compose(len, None, 600.0)
    assert (refused.value.reason, refused.value.metadata["limit"]) == ("SERVER_BUSY", "32")
    hold.set()
    assert all(await asyncio.gather(*held))
    assert await live.compose(len, None, 1.0) == 1


async def test_a_playlist_waits_for_its_point(live: LiveIndex) -> None:
    await move_to(live, LogPosition(BEGUN, 1))
    composing = asyncio.create_task(live.compose(len, LogPosition(BEGUN, 2), 10.0))
    with pytest.raises(IndexBehind):
        await live.compose(len, LogPosition(BEGUN, 2), 0.01)
    await move_to(live, LogPosition(BEGUN, 2))
    assert await composing == 2


async def test_work_that_fails_leaves_the_index_free_to_change(live: LiveIndex) -> None:
    await move_to(live, LogPosition(BEGUN, 1))
    with pytest.raises(ZeroDivisionError):
        await live.compose(lambda _: 1 // 0, None, 1.0)
    await asyncio.wait_for(move_to(live, LogPosition(BEGUN, 2)), 60)


async def test_what_cannot_be_shared_is_used_by_one_thread() -> None:
    live = LiveIndex(TrackIndex("enc"), is_shared=False)
    await move_to(live, LogPosition(BEGUN, 1))
    assert await live.compose(lambda _: threading.current_thread().name, None, 1.0) == "retriever-index_0"
    live.close()


async def test_who_wants_many_makes_it_no_dearer_for_others(live: LiveIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    await move_to(live, LogPosition(BEGUN, 1))
    searched: list[tuple[int, int]] = []
    search = TrackIndex.search

    def counted(index: TrackIndex, queries: Float32Array, k: int, allowed: Any = None) -> list[Ranked]:
        searched.append((len(queries), k))
        return search(index, queries, k, allowed)

    monkeypatch.setattr(TrackIndex, "search", counted)
    query = np.array([1, 0], np.float32)
    together = await asked_together(live, [Question(query, count) for count in (20, 2000, 256, 257, 1)])
    assert [await each for each in together] == [["t1"]] * 5
    assert searched == [(3, 256), (2, 2000)]


async def test_a_search_that_fails_for_all_is_told_to_all(live: LiveIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    await move_to(live, LogPosition(BEGUN, 1))

    def fail(*_: Any) -> list[Ranked]:
        raise MemoryError

    monkeypatch.setattr(TrackIndex, "search", fail)
    query = np.array([1, 0], np.float32)
    for each in await asked_together(live, [Question(query, count) for count in (20, 1)]):
        with pytest.raises(MemoryError):
            await asyncio.wait_for(each, 60)


async def asked_together(live: LiveIndex, questions: list[Question]) -> "list[asyncio.Task[list[str]]]":
    """Ask while the index is at work, so that all wait for it."""
    hold, held = threading.Event(), threading.Event()

    def block(index: TrackIndex) -> None:
        held.set()
        hold.wait(600)

    blocking = asyncio.create_task(live.run(block))
    await asyncio.to_thread(held.wait, 60)
    asked = [
        asyncio.create_task(live.search(lambda _, each=each: each, answer, None, 10.0))  # type: ignore[misc]  # mypy knows no such default
        for each in questions
    ]
    await asyncio.sleep(0.01)
    hold.set()
    await blocking
    return asked


async def test_a_search_waits_for_its_point_and_for_the_log(live: LiveIndex) -> None:
    question = Question(np.array([1, 0], np.float32), 5)
    with pytest.raises(IndexLoading):
        await live.search(lambda _: question, len, None, 1.0)
    await move_to(live, LogPosition(BEGUN, 4))
    with pytest.raises(IndexBehind):
        await live.search(lambda _: question, len, LogPosition(BEGUN, 5), 0.01)
    reading = asyncio.create_task(live.search(lambda _: question, len, LogPosition(BEGUN, 5), 10.0))
    await move_to(live, LogPosition(BEGUN, 5))
    assert await reading == 2


def names(nearest: Nearest) -> list[str]:
    return [track.track_id for track in nearest.tracks]


def answer(library: AnsweredLibrary) -> list[str]:
    asked = library.question
    return names(library.nearest(asked.query, asked.count, asked.wanted))
