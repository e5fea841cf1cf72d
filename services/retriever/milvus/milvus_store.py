"""Speaks to Milvus: two collections for each encoder, a deadline on every call. Knows no rules of search."""

import functools
import importlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import numpy as np

from services.chassis.bus import LogPosition
from services.chassis.settings import SettingsError
from services.retriever.errors import EngineUnavailable
from services.retriever.similarity import Float32Array

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Milvus's limits: bytes of a text field, and rows of one answer.
MAX_TEXT_BYTES = 65_535
MAX_ROWS = 16_384
MAX_ID_BYTES = 512
_ROWS_AT_ONCE = 1000
_STATE_ID = "position"
# Stands in the names of the collections, and rises when their fields or the lines of JSON change: two releases that
# share a Milvus do not read each other's.
_SCHEMA = 1
# A walk through many vectors may take so many deadlines of a call, and then nobody waits for it any more.
_WALK_DEADLINES = 2


class Row(NamedTuple):
    """A track as Milvus keeps it: what is known of it is a line of JSON, the vector has shape (dim,), float32."""

    track_id: str
    record: str
    checksum: int
    vector: Float32Array


class MilvusStore:
    """The collections of one encoder in a Milvus; blocks, for no longer than a deadline a call.

    One collection holds the tracks, the other a single row: the point of the log up to which the first is true.

    Args:
        uri: `http://host:19530`, or a path that ends in .db, which milvus-lite serves inside this process.
        token: `user:password` or an API key; empty where Milvus asks for none.
        encoder_id: Whose vectors.
        timeout_s: Deadline of every call.
        index_type: How Milvus shall index the vectors, for example AUTOINDEX, FLAT or HNSW.

    Every method connects where that has not been done, and raises EngineUnavailable when Milvus does not answer in
    time, or answers with what is no answer. Why stands in the log, without token and password; callers are not told.

    Raises:
        SettingsError: pymilvus is not installed, or the address is none.
    """

    def __init__(self, uri: str, token: str, encoder_id: str, timeout_s: float, index_type: str = "AUTOINDEX") -> None:
        try:
            # Costs 2 s and 200 MB on disk, so only who sets the engine pays. It comes without types.
            self._milvus: Any = importlib.import_module("pymilvus")
        except ImportError as error:
            raise SettingsError(
                "ENGINE_NOT_INSTALLED: RETRIEVER_ENGINE is milvus and pymilvus is not installed;"
                " install the extra: pip install 'museed[retriever,milvus]'"
            ) from error
        if not uri.startswith(("http://", "https://")) and not uri.endswith(".db"):
            raise SettingsError("RETRIEVER_MILVUS_URI is neither http(s)://host:port nor a path that ends in .db")
        # Every failure is told once, by `_heard`.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        self._timeout_s = timeout_s
        self._index_type = index_type
        # Milvus allows letters, digits and underscores; escaped, no two encoders share a name.
        name = encoder_id.replace("_", "_5f").replace("-", "_2d")
        self._tracks, self._state = f"museed_{_SCHEMA}_{name}", f"museed_{_SCHEMA}_{name}_state"
        address = urlsplit(uri)
        self._secrets = [text for text in (token, token.partition(":")[2], address.password) if text]
        self._open = functools.partial(self._milvus.MilvusClient, uri, token=token, timeout=timeout_s)
        self._connected: Any = None

    def dimension(self) -> int:
        """Return the length of the vectors; 0 where there is no collection."""
        if not self._asked(self._client.has_collection, self._tracks):
            return 0
        described = self._asked(self._client.describe_collection, self._tracks)
        return self._heard(_dimension, described)

    def create(self, dimension: int) -> None:
        """Make the collections, unless they are there."""
        kind = self._milvus.DataType
        texts = {"record": MAX_TEXT_BYTES}
        self._make(self._tracks, dimension, self._index_type, texts, {"checksum": kind.INT64})
        # Milvus has no collection without a vector.
        self._make(self._state, 2, "FLAT", {"created_at": 64}, {"sequence": kind.INT64})

    def drop(self) -> None:
        """Drop the collections, the point of the log first; safe to repeat."""
        for name in (self._state, self._tracks):
            if self._asked(self._client.has_collection, name):
                self._asked(self._client.drop_collection, name)

    def write(self, rows: Sequence[Row], removed: Sequence[str]) -> None:
        """Add or replace tracks and delete others; safe to repeat."""
        if rows:
            self._asked(self._client.upsert, self._tracks, [row._asdict() for row in rows])
        if removed:
            self._asked(self._client.delete, self._tracks, ids=list(removed))

    def seal(self) -> None:
        """Let Milvus index what was written: what is not sealed yet it walks through at every search."""
        self._asked(self._client.flush, self._tracks)

    def search(self, query: Float32Array, limit: int) -> list[tuple[str, float]]:
        """Return ids and inner products, best first; `limit` is 1 to 16,384."""
        # Strong: what was written before is found.
        found = self._asked(self._client.search, self._tracks, data=[query], limit=limit, consistency_level="Strong")
        return self._heard(_hits, found)

    def vectors(self, track_ids: Sequence[str]) -> dict[str, Float32Array]:
        """Return the vectors, each of shape (dim,), float32, of those tracks that are there."""
        return {track_id: vector for part in self.walk(track_ids) for track_id, vector in part.items()}

    def walk(self, track_ids: Sequence[str]) -> Iterator[dict[str, Float32Array]]:
        """Yield the same vectors, of 1,000 tracks at a time; raises EngineUnavailable after two deadlines in all."""
        ends_at = time.monotonic() + _WALK_DEADLINES * self._timeout_s
        for start in range(0, len(track_ids), _ROWS_AT_ONCE):
            if start and time.monotonic() > ends_at:
                raise EngineUnavailable(f"reading {len(track_ids)} vectors takes too long")
            asked = list(track_ids[start : start + _ROWS_AT_ONCE])
            rows = self._asked(self._client.get, self._tracks, ids=asked, output_fields=["vector"])
            yield self._heard(_vectors, rows)

    def records(self) -> Iterator[tuple[str, int]]:
        """Yield the line of JSON and the checksum of every track."""
        fields = ["record", "checksum"]
        iterator = self._asked(self._client.query_iterator, self._tracks, batch_size=MAX_ROWS, output_fields=fields)
        while rows := self._heard(iterator.next):
            yield from self._heard(_records, rows)
        iterator.close()

    def read_position(self) -> LogPosition | None:
        """Return the point of the log up to which the tracks are true; None where nobody wrote it."""
        if not self._asked(self._client.has_collection, self._state):
            return None
        fields = ["created_at", "sequence"]
        rows = self._asked(self._client.get, self._state, ids=[_STATE_ID], output_fields=fields)
        return self._heard(_position, rows)

    def write_position(self, position: LogPosition) -> None:
        """Keep the point of the log up to which everything was written."""
        row = {
            "track_id": _STATE_ID,
            "created_at": position.created_at.isoformat(),
            "sequence": position.sequence,
            "vector": np.array([1, 0], dtype=np.float32),
        }
        self._asked(self._client.upsert, self._state, [row])

    def close(self) -> None:
        """Close the connection."""
        if self._connected is not None:
            self._connected.close()

    @property
    def _client(self) -> Any:  # as pymilvus gives it
        if self._connected is None:
            self._connected = self._heard(self._open)
        return self._connected

    def _make(
        self, name: str, dimension: int, index_type: str, texts: dict[str, int], numbers: dict[str, object]
    ) -> None:
        if self._asked(self._client.has_collection, name):
            return
        kind = self._milvus.DataType
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("track_id", kind.VARCHAR, is_primary=True, max_length=MAX_ID_BYTES)
        for field, longest in texts.items():
            schema.add_field(field, kind.VARCHAR, max_length=longest)
        for field, of_kind in numbers.items():
            schema.add_field(field, of_kind)
        schema.add_field("vector", kind.FLOAT_VECTOR, dim=dimension)
        indexes = self._client.prepare_index_params()
        indexes.add_index("vector", index_type=index_type, metric_type="IP")
        self._asked(
            self._client.create_collection, name, schema=schema, index_params=indexes, consistency_level="Strong"
        )

    def _asked(self, call: Callable[..., Any], *arguments: object, **named: object) -> Any:  # as pymilvus answers
        return self._heard(lambda: call(*arguments, **named, timeout=self._timeout_s))

    def _heard(self, call: Callable[..., T], *arguments: object) -> T:
        """Call, or read an answer; whatever goes wrong with it is told as one thing."""
        try:
            return call(*arguments)
        except Exception as error:  # an answer that is none makes pymilvus raise anything, a bare KeyError for example
            text = f"{type(error).__name__}: {error}"
            for secret in self._secrets:
                text = text.replace(secret, "***")
            logger.warning("milvus_failed", extra={"error": text})
            raise EngineUnavailable(type(error).__name__) from error


# What pymilvus answers, it gives no types: each of these fails where it is something else.


def _dimension(described: Any) -> int:
    return {field["name"]: int(field["params"].get("dim", 0)) for field in described["fields"]}["vector"]


def _hits(found: Any) -> list[tuple[str, float]]:
    return [(hit["track_id"], float(hit["distance"])) for hit in found[0]]


def _vectors(rows: Any) -> dict[str, Float32Array]:
    return {row["track_id"]: np.array(row["vector"], dtype=np.float32) for row in rows}


def _records(rows: Any) -> list[tuple[str, int]]:
    return [(row["record"], row["checksum"]) for row in rows]


def _position(rows: Any) -> LogPosition | None:
    return LogPosition(datetime.fromisoformat(rows[0]["created_at"]), rows[0]["sequence"]) if rows else None
