"""Milvus as a dictionary: what `MilvusIndex` asks of it, that can be away."""

from collections.abc import Iterator, Sequence

import numpy as np

from services.chassis.bus import LogPosition
from services.retriever.errors import EngineUnavailable
from services.retriever.milvus.milvus_store import MilvusStore, Row
from services.retriever.similarity import Float32Array


class FakeMilvus(MilvusStore):
    """Keeps rows in this process; `is_away` makes every call fail, `calls` notes those that were answered."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.width = 0
        self.position: LogPosition | None = None
        self.is_away = False
        self.calls: list[str] = []

    def _answer(self, call: str) -> None:
        if self.is_away:
            raise EngineUnavailable("it is away")
        self.calls.append(call)

    def dimension(self) -> int:
        self._answer("dimension")
        return self.width

    def create(self, dimension: int) -> None:
        self._answer("create")
        self.width = dimension

    def drop(self) -> None:
        self._answer("drop")
        self.rows, self.width, self.position = {}, 0, None

    def write(self, rows: Sequence[Row], removed: Sequence[str]) -> None:
        self._answer(f"write {len(rows)} {len(removed)}")
        self.rows |= {row.track_id: row for row in rows}
        for track_id in removed:
            self.rows.pop(track_id, None)

    def seal(self) -> None:
        self._answer("seal")

    def search(self, query: Float32Array, limit: int) -> list[tuple[str, float]]:
        self._answer(f"search {limit}")
        found = [(row.track_id, float(row.vector @ query)) for row in self.rows.values()]
        return sorted(found, key=lambda pair: -pair[1])[:limit]

    def vectors(self, track_ids: Sequence[str]) -> dict[str, Float32Array]:
        self._answer(f"vectors {len(track_ids)}")
        return {track_id: np.copy(self.rows[track_id].vector) for track_id in track_ids if track_id in self.rows}

    def walk(self, track_ids: Sequence[str]) -> Iterator[dict[str, Float32Array]]:
        for start in range(0, len(track_ids), 1000):
            yield self.vectors(track_ids[start : start + 1000])

    def records(self) -> Iterator[tuple[str, int]]:
        self._answer("records")
        return iter([(row.record, row.checksum) for row in self.rows.values()])

    def read_position(self) -> LogPosition | None:
        self._answer("read_position")
        return self.position

    def write_position(self, position: LogPosition) -> None:
        self._answer(f"write_position {position.sequence}")
        self.position = position
