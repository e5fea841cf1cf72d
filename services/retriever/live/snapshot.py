"""A snapshot: which base, what came and went since, and the point of the log up to which that is true.

A file of the format of `section_file` with the sections

    vectors   of the delta, little-endian float32, row-major
    tracks    of the delta, a JSON list a line
    alive     a bit for each track of the base

and encoder_id, dimension, count, stream_created_at, sequence and the base's name and digest in its header. The base is
a file of its own, because it is large and changes only when it is made anew. Which files are kept is not decided here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from services.chassis.bus import LogPosition
from services.retriever.index import track_records
from services.retriever.index.base_file import BaseName, StoredBase, read_base
from services.retriever.index.bases import IndexChoice
from services.retriever.index.merging import Frozen
from services.retriever.index.ranking import Mask
from services.retriever.index.section_file import CorruptFileError, SectionFile, SectionWriter, read_facts
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that an index needs to start.

    Attributes:
        encoder_id: Encoder of the vectors.
        position: Point of the log up to which all is true.
        stored: The base; None where there is none.
        alive: Which tracks of the base are there, shape (tracks of the base,).
        tracks: Those of the delta.
        vectors: Theirs, unit, shape (len(tracks), dim), float32.
    """

    encoder_id: str
    position: LogPosition
    stored: StoredBase | None
    alive: Mask
    tracks: Sequence[Track]
    vectors: Float32Array

    @classmethod
    def of(cls, frozen: Frozen, position: LogPosition) -> "Snapshot":
        """Return what is to be written of an index; copies the vectors of its delta."""
        alive = frozen.alive[frozen.base_count :]
        return cls(
            frozen.encoder_id,
            position,
            frozen.stored,
            frozen.alive[: frozen.base_count],
            list(compress(frozen.added, alive.tolist())),
            frozen.delta[alive],
        )

    @property
    def track_count(self) -> int:
        """Tracks in all."""
        return int(np.count_nonzero(self.alive)) + len(self.tracks)


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot and wait until it is on the disk; blocks.

    Args:
        path: Must not exist; its base lies beside it.
        snapshot: What to write.

    Raises:
        ValueError: Its base is in no file.
    """
    base = None
    if snapshot.stored is not None:
        if snapshot.stored.file is None:
            raise ValueError("the base of the snapshot is in memory only")
        base = snapshot.stored.file._asdict()
    vectors = np.ascontiguousarray(snapshot.vectors, dtype="<f4")
    with SectionWriter(path) as file:
        file.write("vectors", [vectors.tobytes()])
        file.write("tracks", map(track_records.encode, snapshot.tracks))
        file.write("alive", [np.packbits(snapshot.alive).tobytes()])
        file.finish(
            {
                "encoder_id": snapshot.encoder_id,
                "dimension": vectors.shape[1],
                "count": len(vectors),
                "base_count": len(snapshot.alive),
                "stream_created_at": snapshot.position.created_at.isoformat(),
                "sequence": snapshot.position.sequence,
                "base": base,
            }
        )


def read_snapshot(path: Path, choice: IndexChoice) -> Snapshot:
    """Read and check a snapshot and its base; blocks.

    Args:
        path: The snapshot; its base lies beside it.
        choice: How the base is to be searched.

    Raises:
        CorruptFileError: A byte of one of the two is missing, too many, or another than was written.
        LessPreciseError: It can never become what is wanted.
        OSError: A file cannot be read.
    """
    file = SectionFile(path)
    facts = file.facts
    stored = None
    if facts["base"] is not None:
        base = BaseName(**facts["base"])
        try:
            stored = read_base(path.parent / base.name, base.digest, choice)
        except CorruptFileError as error:
            raise CorruptFileError(f"its base {base.name}: {error}") from error
    alive = np.unpackbits(np.frombuffer(file.section("alive"), np.uint8), count=facts["base_count"])
    vectors = np.frombuffer(file.section("vectors"), "<f4").reshape(facts["count"], facts["dimension"])
    return Snapshot(
        encoder_id=facts["encoder_id"],
        position=LogPosition(datetime.fromisoformat(facts["stream_created_at"]), facts["sequence"]),
        stored=stored,
        alive=alive.astype(np.bool_),
        tracks=[track_records.decode(line) for line in bytes(file.section("tracks")).splitlines()],
        vectors=vectors.astype(np.float32),
    )


def base_of(path: Path) -> str | None:
    """Return the name of the base that a snapshot rests on; None where it has none or cannot be read."""
    try:
        base: dict[str, Any] | None = read_facts(path).get("base")
    except OSError:
        return None
    return None if base is None else str(base["name"])
