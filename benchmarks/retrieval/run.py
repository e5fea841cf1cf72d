"""What the parts of the retriever's benchmark are given, and what they tell."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from benchmarks.retrieval import engines
from benchmarks.retrieval.calls import Heard, call_in_turn
from benchmarks.retrieval.data import Float32Array, Int64Array, Library
from museed.retriever.v1 import retriever_pb2
from services.chassis import vectors

K = engines.K


class Row(NamedTuple):
    """One line of the table; `goal` says what it should be."""

    what: str
    figure: str
    goal: str = ""


class Run(NamedTuple):
    """What all parts of the benchmark are given."""

    library: Library
    asked: Float32Array
    expected: Int64Array
    kinds: Sequence[str]
    seconds: float
    rounds: int
    loads: ProcessPoolExecutor

    def call(
        self, address: str, method: str, token: str, requests: list[bytes], callers: int, part: float = 1
    ) -> Heard:
        """Let callers in another process call for a part of the time."""
        arguments = (address, method, token, requests, callers, part * self.seconds)
        return self.loads.submit(call_in_turn, *arguments).result()

    def searches(self) -> list[bytes]:
        """Return the queries as requests."""
        return [search_request(query) for query in self.asked]

    def rows_of(self, heard: Heard) -> list[list[int]]:
        """Return the rows of the library that each query's answer names; -1 for what is not of it."""
        place = {track.track_id: row for row, track in enumerate(self.library.tracks)}
        answers = [retriever_pb2.SearchResponse.FromString(answer or b"") for answer in heard.answers]
        return [[place.get(hit.track_id, -1) for hit in answer.hits] for answer in answers]


def search_request(query: Float32Array) -> bytes:
    """Return a query as a request."""
    return retriever_pb2.SearchRequest(vector=vectors.encode(query), k=K).SerializeToString()
