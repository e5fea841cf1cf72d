"""The file format of a snapshot: vectors and descriptions with the point of the log up to which they are true.

A file is, without gaps and with nothing behind,

    8 bytes   MUSEEDS1
    32 bytes  SHA-256 of the header's length and the header
    4 bytes   length of the header, little-endian
    header    JSON: encoder_id, dimension, count, stream_created_at, sequence, and bytes and SHA-256 of each section
    vectors   little-endian float32, row-major
    tracks    a JSON list a line, in the order of the vectors

so that no byte can change unnoticed. Nothing is ever executed from it. Which files are kept is not decided here.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import numpy as np

from services.chassis.bus import LogPosition
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track

_MAGIC = b"MUSEEDS1"
_DIGEST_BYTES = 32
_LENGTH_BYTES = 4
_MAX_HEADER_BYTES = 65_536


class CorruptSnapshotError(Exception):
    """A file is not what was once written; the text says in what."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that an index needs to start.

    Attributes:
        encoder_id: Encoder of the vectors.
        position: Point of the log up to which tracks and vectors are true.
        tracks: In the order of the vectors.
        vectors: Unit vectors, shape (len(tracks), dim), float32.
    """

    encoder_id: str
    position: LogPosition
    tracks: Sequence[Track]
    vectors: Float32Array


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot and wait until it is on the disk; blocks.

    Args:
        path: Must not exist.
        snapshot: What to write.
    """
    vectors = np.ascontiguousarray(snapshot.vectors, dtype="<f4").data
    tracks = b"".join(_encode(track) for track in snapshot.tracks)
    header = json.dumps(
        {
            "encoder_id": snapshot.encoder_id,
            "dimension": snapshot.vectors.shape[1],
            "count": len(snapshot.tracks),
            "stream_created_at": snapshot.position.created_at.isoformat(),
            "sequence": snapshot.position.sequence,
            "vectors": {"bytes": vectors.nbytes, "sha256": hashlib.sha256(vectors).hexdigest()},
            "tracks": {"bytes": len(tracks), "sha256": hashlib.sha256(tracks).hexdigest()},
        }
    ).encode()
    head = len(header).to_bytes(_LENGTH_BYTES, "little") + header
    with path.open("xb") as file:
        for part in (_MAGIC, hashlib.sha256(head).digest(), head, vectors, tracks):
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def read_snapshot(path: Path) -> Snapshot:
    """Read and check a snapshot; blocks.

    Raises:
        CorruptSnapshotError: A byte is missing, too many, or another than was written.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(len(_MAGIC)) != _MAGIC:
            raise CorruptSnapshotError("it does not begin like a snapshot")
        digest = file.read(_DIGEST_BYTES)
        length = file.read(_LENGTH_BYTES)
        text = file.read(min(int.from_bytes(length, "little"), _MAX_HEADER_BYTES))
        if hashlib.sha256(length + text).digest() != digest:
            raise CorruptSnapshotError("the header is damaged")
        header = json.loads(text)
        expected = file.tell() + header["vectors"]["bytes"] + header["tracks"]["bytes"]
        if size != expected:
            raise CorruptSnapshotError(f"it has {size} bytes, {expected} were written")
        vectors = np.frombuffer(_section(file, "vectors", header["vectors"]), dtype="<f4")
        tracks = _section(file, "tracks", header["tracks"])
    return Snapshot(
        encoder_id=header["encoder_id"],
        position=LogPosition(datetime.fromisoformat(header["stream_created_at"]), header["sequence"]),
        tracks=[_decode(line) for line in tracks.splitlines()],
        vectors=vectors.reshape(header["count"], header["dimension"]).astype(np.float32, copy=False),
    )


def _section(file: BinaryIO, name: str, expected: dict[str, int | str]) -> bytes:
    data = file.read(int(expected["bytes"]))
    if hashlib.sha256(data).hexdigest() != expected["sha256"]:
        raise CorruptSnapshotError(f"the section {name} is damaged")
    return data


def _encode(track: Track) -> bytes:
    fields = [
        track.track_id,
        track.version,
        track.title,
        track.artist,
        track.album,
        track.folder,
        track.genre,
        track.year,
        track.duration_s,
        track.audio_hash.hex(),
        track.tags,
    ]
    return json.dumps(fields).encode() + b"\n"  # one a track: a single dumps would hold the interpreter's lock for long


def _decode(line: bytes) -> Track:
    track_id, version, title, artist, album, folder, genre, year, duration_s, audio_hash, tags = json.loads(line)
    return Track(
        track_id=track_id,
        version=version,
        title=title,
        artist=artist,
        album=album,
        folder=folder,
        genre=genre,
        year=year,
        duration_s=duration_s,
        audio_hash=bytes.fromhex(audio_hash),
        tags=tuple(tags),
    )
