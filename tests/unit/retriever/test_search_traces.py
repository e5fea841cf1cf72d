"""Searches in traces: each asker's own, also where several were answered together, and what is told of their time."""

import asyncio
from datetime import UTC, datetime

import numpy as np
import pytest

from services.chassis.bus import LogPosition
from services.chassis.telemetry import tracing
from services.retriever.index.index import TrackIndex
from services.retriever.live.joining import AnsweredLibrary, Question
from services.retriever.live.live import LiveIndex
from services.retriever.timing import SearchMetrics
from services.retriever.tracks import Track
from tests.fakes.spans import is_child, recorded_spans, trace_of

QUERY = np.array([1, 0], np.float32)


class Noted(SearchMetrics):
    def __init__(self) -> None:
        self.searches: list[int] = []
        self.compositions = 0

    def searched(self, questions: int, wait_seconds: float, seconds: float) -> None:
        assert min(wait_seconds, seconds) >= 0
        self.searches.append(questions)

    def composed(self, wait_seconds: float, seconds: float) -> None:
        assert min(wait_seconds, seconds) >= 0
        self.compositions += 1


async def filled(metrics: SearchMetrics) -> LiveIndex:
    live = LiveIndex(TrackIndex("enc"), metrics=metrics)

    def add(index: TrackIndex) -> int:
        return index.upsert(Track("a", 1), QUERY)

    await live.advance(add, LogPosition(datetime(2026, 1, 1, tzinfo=UTC), 1), is_caught_up=True)
    return live


def ask(index: TrackIndex) -> Question:
    return Question(QUERY, 1)


def ids(library: AnsweredLibrary) -> list[str]:
    return library.nearest_ids(QUERY, 1).track_ids


async def test_searches_that_are_answered_together_are_each_in_their_own_trace() -> None:
    metrics = Noted()
    live = await filled(metrics)
    is_free = asyncio.Event()
    loop = asyncio.get_running_loop()
    held = loop.create_task(live.run(lambda index: asyncio.run_coroutine_threadsafe(is_free.wait(), loop).result()))
    await asyncio.sleep(0)

    async def search(name: str) -> list[str]:
        with tracing.span(name):
            return await live.search(ask, ids, None, 1.0)

    with recorded_spans() as spans:
        searches = [asyncio.create_task(search(name)) for name in ("first", "second")]
        await asyncio.sleep(0)
        is_free.set()
        assert await asyncio.gather(*searches) == [["a"], ["a"]]
    await held
    live.close()
    parents = [spans.named("first"), spans.named("second")]
    found = [span for span in spans.all() if span.name == "faiss"]
    assert [[is_child(span, parent) for span in found] for parent in parents] in (
        [[True, False], [False, True]],
        [[False, True], [True, False]],
    )
    assert {dict(span.attributes or {})["museed.queries"] for span in found} == {2}
    assert metrics.searches == [2]


async def test_playlist_has_a_span_with_its_searches_below() -> None:
    metrics = Noted()
    live = await filled(metrics)
    with recorded_spans() as spans:
        with tracing.span("call"):
            found = await live.compose(lambda index: index.nearest_ids(QUERY, 1).track_ids, None, 1.0)
    live.close()
    assert found == ["a"]
    compose, faiss = spans.named("compose"), spans.named("faiss")
    assert is_child(compose, spans.named("call"))
    assert is_child(faiss, compose)
    assert dict(faiss.attributes or {}) == {"museed.queries": 1, "museed.k": 1, "museed.kind": "flat"}
    assert float(dict(compose.attributes or {})["museed.waited_s"]) >= 0  # type: ignore[arg-type]  # it is a number
    assert metrics.compositions == 1


@pytest.mark.parametrize("is_traced", [False, True])
async def test_search_that_nobody_traces_begins_no_trace(is_traced: bool) -> None:
    live = await filled(SearchMetrics())
    with recorded_spans() as spans:
        if is_traced:
            with tracing.span("call"):
                await live.search(ask, ids, None, 1.0)
        else:
            await live.search(ask, ids, None, 1.0)
            await live.compose(lambda index: index.nearest_ids(QUERY, 1), None, 1.0)
    live.close()
    assert spans.names() == (["faiss", "call"] if is_traced else [])
    assert len({trace_of(span) for span in spans.all()}) == int(is_traced)
