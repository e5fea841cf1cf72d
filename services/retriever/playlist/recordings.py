"""Tells when two tracks are the same recording; cosine alone is not identity."""

from collections import defaultdict
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track

# Rips of one recording differ by a little silence; other versions of a song by more.
DURATION_TOLERANCE_S = 2.0

# Of 331 pieces of 16 game soundtracks, pairs of the same length reach 0.958 by museed-mini and 0.975 by musicnn, and
# are different music all the same; without regard to length 4 pairs and 9 pairs are beyond 0.98. A minute of one piece
# at another rate, level or offset stays above 0.995 by museed-mini; an MP3 of 64 kbit/s is found every second time.
NEAR_DUPLICATE_COSINE = 0.98


class Sameness(StrEnum):
    """Why two tracks are taken for the same recording."""

    SAME_RECORDING = "same_recording"
    NEAR_DUPLICATE = "near_duplicate"


class Recordings:
    """A set of recordings.

    Two tracks are the same recording when their encoded audio is equal (`audio_hash`), or when artist and title are
    known and equal without regard to case and their lengths differ by at most 2 s. They are near-duplicates when both
    lengths are known and differ by at most 2 s, and the cosine of their vectors is at least 0.98.

    Args:
        allow_near_duplicates: Takes near-duplicates for different recordings.
    """

    def __init__(self, *, allow_near_duplicates: bool = False) -> None:
        self._allow_near_duplicates = allow_near_duplicates
        self._hashes: set[bytes] = set()
        self._durations: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        # Sounds by their length in whole tolerances, so that few have to be compared.
        self._sounds: defaultdict[int, _Sounds] = defaultdict(_Sounds)

    def find(self, track: Track, vector: Float32Array) -> Sameness | None:
        """Say whether a track is one of the recordings; `vector`: its own, shape (dim,), float32, unit norm."""
        if track.audio_hash in self._hashes or self._has_work(track):
            return Sameness.SAME_RECORDING
        if not self._allow_near_duplicates and self._has_sound(track.duration_s, vector):
            return Sameness.NEAR_DUPLICATE
        return None

    def add(self, track: Track, vector: Float32Array) -> None:
        """Remember a track's recording."""
        self.add_hash(track.audio_hash)
        if track.work_key is not None:
            self._durations[track.work_key].append(track.duration_s)
        if track.duration_s > 0:
            self._sounds[_step(track.duration_s)].add(track.duration_s, vector)

    def add_hash(self, audio_hash: bytes) -> None:
        """Remember a recording of which only the encoded audio is known; empty is nothing."""
        if audio_hash:
            self._hashes.add(audio_hash)

    def _has_work(self, track: Track) -> bool:
        if track.work_key is None or track.work_key not in self._durations:
            return False
        return any(_is_as_long(track.duration_s, known) for known in self._durations[track.work_key])

    def _has_sound(self, duration_s: float, vector: Float32Array) -> bool:
        if duration_s <= 0:  # an unknown length proves nothing
            return False
        step = _step(duration_s)
        near = (self._sounds.get(each) for each in (step - 1, step, step + 1))
        return any(sounds is not None and sounds.has(duration_s, vector) for sounds in near)


class _Sounds:
    """Sounds of about one length; a library of clips has no others."""

    def __init__(self) -> None:
        self._lengths_s: NDArray[np.float64] = np.empty(4)
        self._vectors: Float32Array | None = None
        self._count = 0

    def add(self, duration_s: float, vector: Float32Array) -> None:
        if self._vectors is None:
            self._vectors = np.empty((len(self._lengths_s), len(vector)), np.float32)
        if self._count == len(self._lengths_s):
            self._lengths_s = np.concatenate([self._lengths_s, self._lengths_s])
            self._vectors = np.concatenate([self._vectors, self._vectors])
        self._lengths_s[self._count], self._vectors[self._count] = duration_s, vector
        self._count += 1

    def has(self, duration_s: float, vector: Float32Array) -> bool:
        """Say whether one of them is as long as a sound and its near-duplicate."""
        if self._vectors is None:
            return False
        is_alike = self._vectors[: self._count] @ vector >= NEAR_DUPLICATE_COSINE
        if not is_alike.any():  # nearly always
            return False
        is_as_long = abs(self._lengths_s[: self._count] - duration_s) <= DURATION_TOLERANCE_S
        return bool((is_as_long & is_alike).any())


def _is_as_long(one_s: float, other_s: float) -> bool:
    return abs(one_s - other_s) <= DURATION_TOLERANCE_S


def _step(duration_s: float) -> int:
    return int(duration_s // DURATION_TOLERANCE_S)
