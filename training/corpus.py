"""A store of takes: pieces of sound as log-mel frames, with what the teachers said of each second.

One take is one safetensors file whose metadata tells what it is, so a store needs no index, can be added to, and is
resumed by making what is missing. Knows no model that learns.
"""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from training.catalogue import Split
from training.errors import TakeDamaged
from training.teacher import patches_of_crop

Float16Array = NDArray[np.float16]

FRAMES_PER_SECOND = 100
N_MELS = 128


class Kind(StrEnum):
    """Where a take's sound comes from."""

    ORIGINAL = "original"
    VARIED = "varied"
    MIXED = "mixed"
    RENDERED = "rendered"


@dataclass(frozen=True, slots=True)
class Take:
    """One piece of sound of the store.

    Attributes:
        take_id: Its file name.
        kind: Where the sound comes from.
        split: What it is for.
        group: The soundtrack; for mixes that of the louder part, for renders one of their own.
        source: Files and seconds that it was made of, for people.
        seconds: Length.
    """

    take_id: str
    kind: Kind
    split: Split
    group: str
    source: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Content:
    """What is stored of a take.

    Attributes:
        mel: Log-mel frames in dB as MuQ computes them, shape (frames, 128), 100 frames a second, float16.
        vectors: Of the teachers at every second, shape (patches, 400), float16.
        tags: Of the teachers at every second, shape (patches, 100), float16.
    """

    mel: Float16Array
    vectors: Float16Array
    tags: Float16Array


class Corpus:
    """The takes of a folder.

    Args:
        folder: Made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def __contains__(self, take_id: str) -> bool:
        """Say whether a take is there and whole; one that is damaged can be made anew."""
        try:
            self.take(take_id)
        except TakeDamaged:
            return False
        return True

    def take(self, take_id: str) -> Take:
        """Read what a take is; takes about 0.2 ms.

        Raises:
            TakeDamaged: Its file is missing, cut off or no take.
        """
        with self._open(take_id) as file:
            found = json.loads(file.metadata()["take"])
            return Take(**{**found, "kind": Kind(found["kind"]), "split": Split(found["split"])})

    def takes(self) -> Iterator[Take]:
        """Read what every take is, in the order of their ids."""
        return (self.take(path.stem) for path in sorted(self.folder.glob("*.safetensors")))

    def add(self, take: Take, content: Content) -> None:
        """Write a take so that a reader sees all of it or nothing; one of the same id is replaced."""
        draft = self.folder / f".{take.take_id}.{os.getpid()}.{threading.get_ident()}"
        tensors = {name: np.ascontiguousarray(value, np.float16) for name, value in _tensors(content).items()}
        save_file(tensors, draft, metadata={"take": json.dumps(asdict(take))})
        os.replace(draft, self._path(take.take_id))

    def read(self, take_id: str, *, start_s: int, seconds: float) -> Content:
        """Read a crop that begins at a full second.

        Returns:
            Frames of exactly the crop, and the teachers' patches that lie wholly under it.

        Raises:
            TakeDamaged: Its file is missing, cut off or no take.
        """
        first = start_s * FRAMES_PER_SECOND
        patches = patches_of_crop(start_s, seconds)
        with self._open(take_id) as file:
            return Content(
                mel=file.get_slice("mel")[first : first + round(seconds * FRAMES_PER_SECOND)],
                vectors=file.get_slice("vectors")[patches],
                tags=file.get_slice("tags")[patches],
            )

    @contextmanager
    def _open(self, take_id: str) -> Iterator[Any]:  # safetensors has no types for it
        path = self._path(take_id)
        try:
            with safe_open(path, framework="numpy") as file:
                yield file
        except (SafetensorError, OSError, TypeError, ValueError, KeyError) as error:
            raise TakeDamaged(f"{path} is no take: {error!r}. Prepare again: it is made anew.") from error

    def _path(self, take_id: str) -> Path:
        return self.folder / f"{take_id}.safetensors"


def _tensors(content: Content) -> dict[str, Float16Array]:
    return {"mel": content.mel, "vectors": content.vectors, "tags": content.tags}
