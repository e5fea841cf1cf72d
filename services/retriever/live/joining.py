"""Answers questions that came together with one search, and each of them by itself where it has a filter."""

import time
from asyncio import Future
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from services.chassis.telemetry import tracing
from services.retriever.index.index import TrackIndex
from services.retriever.index.ranked import Ranked
from services.retriever.library import Nearest, NearestIds, Wanted
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track

# Questions for more tracks than this are searched apart from the others.
_DEEP = 256


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked; see `Library.nearest`."""

    query: Float32Array
    count: int
    wanted: Wanted | None = None


class AnsweredLibrary:
    """A library that may have answered one question already; everything else it asks the index.

    Args:
        index: The index.
        question: What was asked.
        answer: What was found; None where it was not answered together with others.
    """

    def __init__(self, index: TrackIndex, question: Question, answer: Ranked | None) -> None:
        self._index = index
        self.question = question
        self._answer = answer

    def __len__(self) -> int:
        return len(self._index)

    def track(self, track_id: str) -> Track | None:
        """Return a track, None where it is not there."""
        return self._index.track(track_id)

    def vector(self, track_id: str) -> Float32Array:
        """Return a copy of a track's vector, shape (dim,)."""
        return self._index.vector(track_id)

    def nearest(self, query: Float32Array, count: int, wanted: Wanted | None = None) -> Nearest:
        """Find tracks near to a query; see `Library.nearest`."""
        if (found := self._answered(query, count, wanted)) is not None:
            return self._index.described(found, len(query))
        return self._index.nearest(query, count, wanted)

    def vectors_of(self, track_ids: Sequence[str]) -> dict[str, Float32Array]:
        """Return copies of the vectors of those tracks that are there."""
        return self._index.vectors_of(track_ids)

    def nearest_ids(self, query: Float32Array, count: int, wanted: Wanted | None = None) -> NearestIds:
        """Find tracks near to a query; see `SearchLibrary.nearest_ids`."""
        if (found := self._answered(query, count, wanted)) is not None:
            return self._index.named(found)
        return self._index.nearest_ids(query, count, wanted)

    def _answered(self, query: Float32Array, count: int, wanted: Wanted | None) -> Ranked | None:
        asked = self.question
        is_known = count == asked.count and wanted == asked.wanted and np.array_equal(query, asked.query)
        return self._answer if is_known else None

    def neighbour_means(self, track_ids: Sequence[str]) -> Float32Array:
        """Return how near tracks are to their neighbours; see `Library.neighbour_means`."""
        return self._index.neighbour_means(track_ids)

    def sample(self, count: int) -> Float32Array:
        """Return vectors of tracks that are drawn by chance, always the same from the same library."""
        return self._index.sample(count)


class Asked(NamedTuple):
    """Somebody who waits for an answer.

    Attributes:
        ask: Says what is asked.
        work: Makes of the answer what `answer` gets.
        answer: Belongs to the event loop.
        trace: Headers of the span for which it is asked.
    """

    ask: Callable[[TrackIndex], Question]
    work: Callable[[AnsweredLibrary], Any]
    answer: "Future[Any]"
    trace: tracing.Headers = MappingProxyType({})


def answer_all(index: TrackIndex, asked: Sequence[Asked]) -> Iterator[Callable[[], None]]:
    """Answer everybody who waits; on the index's thread.

    Yields:
        Tells some of them, first all who are answered together; to be called on the event loop.
    """
    told: list[Callable[[], None]] = []
    questions: list[tuple[Asked, Question]] = []
    for each in asked:
        if each.answer.cancelled():
            continue
        try:
            questions.append((each, each.ask(index)))
        except Exception as error:  # whatever it is, it belongs to who asked
            told.append(_refusal(each.answer, error))
    began = time.monotonic()
    together = _together(index, [question for _, question in questions])
    seconds = time.monotonic() - began
    for place in together:
        if trace := questions[place][0].trace:
            # Of each of them as long as for all: nobody's answer came before.
            tracing.record("faiss", seconds, parent=trace, museed__queries=len(together))
    told += [_answered(index, *questions[place], found) for place, found in together.items()]

    def tell_all() -> None:
        for tell in told:
            tell()

    yield tell_all
    for place, (each, question) in enumerate(questions):
        if place not in together:
            yield _answered(index, each, question, None)


def _answered(index: TrackIndex, asked: Asked, question: Question, found: Ranked | None) -> Callable[[], None]:
    """Do the work of one who asks; return what tells the result."""
    try:
        with tracing.within(asked.trace):
            value = asked.work(AnsweredLibrary(index, question, found))
    except Exception as error:
        return _refusal(asked.answer, error)
    return lambda: None if asked.answer.cancelled() else asked.answer.set_result(value)


def _refusal(answer: "Future[Any]", error: Exception) -> Callable[[], None]:
    return lambda: None if answer.cancelled() else answer.set_exception(error)


def _together(index: TrackIndex, questions: Sequence[Question]) -> dict[int, Ranked]:
    """Return what was found for the questions without filters, by their places."""
    # An index that is empty has no dimension, and takes questions of any.
    blocked = {
        place: labels
        for place, question in enumerate(questions)
        if len(question.query) == index.dimension and (labels := index.blocked_alone(question.wanted)) is not None
    }
    found: dict[int, Ranked] = {}
    # Whoever wants many would make it dearer for all.
    for is_deep in (False, True):
        some = {place: len(labels) + questions[place].count for place, labels in blocked.items()}
        some = {place: depth for place, depth in some.items() if (depth > _DEEP) == is_deep}
        if some:
            queries = np.stack([questions[place].query for place in some])  # (n, dim)
            for place, ranked in zip(some, index.search(queries, max(some.values())), strict=True):
                found[place] = ranked.without(blocked[place], questions[place].count)
    return found
