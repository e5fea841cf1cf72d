"""What people listen to, as the PROFILES log tells it: weights of tracks by profile. Knows no vectors."""

from collections import Counter
from dataclasses import dataclass, replace
from weakref import WeakSet

from services.retriever.similarity import Float32Array
from services.retriever.touched import Touched

MAX_TRACKS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """The weights of one profile, never changed: another state is another object.

    Attributes:
        profile_id: Its name here; nothing else is known of the person.
        version: Rises with every change.
        track_ids: At most 1,000, each once.
        weights: By place in `track_ids`, shape (tracks,), float32, finite, 0 or more.
        is_listed: Whether it may be recommended to others.
    """

    profile_id: str
    version: int
    track_ids: tuple[str, ...]
    weights: Float32Array
    is_listed: bool


class Profiles:
    """The profiles of a process. One thread changes them; others may read them at any time.

    Ids of tracks are kept once for all profiles: 100,000 profiles of 100 tracks take about 200 MB.
    """

    def __init__(self) -> None:
        self._found: dict[str, Profile] = {}
        self._names: dict[str, str] = {}
        self._uses: Counter[str] = Counter()
        self._watchers: WeakSet[Touched] = WeakSet()
        # False until the log has been read to its end.
        self.is_caught_up = False

    def __len__(self) -> int:
        return len(self._found)

    def get(self, profile_id: str) -> Profile | None:
        """Return a profile, None where there is none."""
        return self._found.get(profile_id)

    def all(self) -> list[Profile]:
        """Return the profiles as they are now."""
        return list(self._found.values())

    def has_track(self, track_id: str) -> bool:
        """Say whether any profile has a weight on a track."""
        return track_id in self._names

    def watch(self, most: int) -> Touched:
        """Return notes of the profiles that change from now on; more than `most` are all. For one thread."""
        notes = Touched(most)
        self._watchers.add(notes)
        return notes

    def upsert(self, profile: Profile) -> bool:
        """Add a profile or replace what is known of it; safe to repeat.

        Returns:
            False if a higher version is known already, and nothing was changed.
        """
        before = self._found.get(profile.profile_id)
        if before is not None and profile.version < before.version:
            return False
        names = tuple(self._names.setdefault(track_id, track_id) for track_id in profile.track_ids)
        self._uses.update(names)
        kept = Profile(profile.profile_id, profile.version, names, profile.weights, profile.is_listed)
        self._found[profile.profile_id] = kept
        if before is not None:
            self._drop_names(before)
        self._note(profile.profile_id)
        return True

    def unlist(self, profile_id: str) -> None:
        """Recommend a profile to nobody until its next state is known."""
        before = self._found.get(profile_id)
        if before is not None:
            self._found[profile_id] = replace(before, is_listed=False)
            self._note(profile_id)

    def remove(self, profile_id: str) -> bool:
        """Forget a profile; safe to repeat.

        Returns:
            Whether it was there.
        """
        before = self._found.pop(profile_id, None)
        if before is None:
            return False
        self._drop_names(before)
        self._note(profile_id)
        return True

    def clear(self) -> None:
        """Forget everything."""
        self._found = {}
        self._names = {}
        self._uses.clear()
        for notes in self._watchers:
            notes.note_all()

    def _note(self, profile_id: str) -> None:
        for notes in self._watchers:
            notes.note(profile_id)

    def _drop_names(self, profile: Profile) -> None:
        for track_id in profile.track_ids:
            self._uses[track_id] -= 1
            if not self._uses[track_id]:
                del self._uses[track_id], self._names[track_id]
