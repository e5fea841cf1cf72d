"""Keeps what encoders made of files, by encoder_id and digest of the file, so that a second run takes seconds."""

import hashlib
import math
import os
import uuid
from pathlib import Path

import numpy as np

from training.evaluation.embedding import TrackVectors

_READ_BYTES = 1 << 20


class VectorStore:
    """A folder of vectors: `<encoder_id>/<key>.npz`. Processes may share it; a file is there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, encoder_id: str, key: str) -> bool:
        """Say whether there is something under a key that can be read: a torn file is embedded anew."""
        return self.read(encoder_id, key) is not None

    def read(self, encoder_id: str, key: str) -> TrackVectors | None:
        """Return what is kept; None where there is nothing, or something that cannot be read."""
        try:
            # Opened here: numpy leaves a torn file open.
            with self._path(encoder_id, key).open("rb") as file, np.load(file, allow_pickle=False) as found:
                kept = TrackVectors(found["windows"], found["seconds"], found["tags"], float(found["duration_seconds"]))
                return kept if _is_whole(kept) else None
        # Damaged bytes have made numpy, zipfile and zlib raise nearly everything, tokenize.TokenError among it.
        except Exception:
            return None

    def write(self, encoder_id: str, key: str, vectors: TrackVectors) -> None:
        """Keep vectors; what was there is replaced."""
        path = self._path(encoder_id, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{uuid.uuid4().hex}")
        with draft.open("wb") as file:
            np.savez(
                file,
                windows=vectors.windows,
                seconds=vectors.seconds,
                tags=vectors.tags,
                duration_seconds=np.array(vectors.duration_seconds),
            )
        os.replace(draft, path)

    def _path(self, encoder_id: str, key: str) -> Path:
        return self.folder / encoder_id / f"{key}.npz"


def _is_whole(kept: TrackVectors) -> bool:
    """Say whether arrays fit together, as those that were written do."""
    arrays = (kept.windows, kept.seconds, kept.tags)
    return (
        [array.ndim for array in arrays] == [2, 1, 2]
        and len(kept.windows) == len(kept.seconds) == len(kept.tags) > 0
        and all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays)
        and bool((kept.seconds > 0).all())
        and math.isfinite(kept.duration_seconds)
    )


def file_key(path: Path) -> str:
    """Return a file's SHA-256 in hex; blocks, about a second per gigabyte.

    Raises:
        OSError: The file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
