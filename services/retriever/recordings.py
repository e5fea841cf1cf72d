"""Tells when two tracks are the same recording, by their descriptions; cosine alone is not identity."""

from collections import defaultdict

from services.retriever.tracks import Track

# Rips of one recording differ by a little silence; other versions of a song by more.
DURATION_TOLERANCE_S = 2.0


class Recordings:
    """A set of recordings.

    Two tracks are the same recording when their encoded audio is equal (`audio_hash`), or when artist and title are
    known and equal without regard to case and their lengths differ by at most 2 s.
    """

    def __init__(self) -> None:
        self._hashes: set[bytes] = set()
        self._durations: defaultdict[tuple[str, str], list[float]] = defaultdict(list)

    def __contains__(self, track: Track) -> bool:
        if track.audio_hash in self._hashes:
            return True
        if track.work_key is None or track.work_key not in self._durations:
            return False
        known = self._durations[track.work_key]
        return any(abs(track.duration_s - duration_s) <= DURATION_TOLERANCE_S for duration_s in known)

    def add(self, track: Track) -> None:
        """Remember a track's recording."""
        self.add_hash(track.audio_hash)
        if track.work_key is not None:
            self._durations[track.work_key].append(track.duration_s)

    def add_hash(self, audio_hash: bytes) -> None:
        """Remember a recording of which only the encoded audio is known; empty is nothing."""
        if audio_hash:
            self._hashes.add(audio_hash)
