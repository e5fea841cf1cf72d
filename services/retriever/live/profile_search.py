"""Keeps the tastes of all listed profiles in one encoder's space up to date, lazily, and finds the nearest of them."""

import asyncio
import logging
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from services.retriever.errors import NoTaste, ProfilesLoading, UnknownProfile
from services.retriever.index.index import TrackIndex
from services.retriever.live.live import LiveIndex
from services.retriever.profiles.profiles import Profile, Profiles
from services.retriever.profiles.taste import taste_of
from services.retriever.profiles.taste_matrix import TasteMatrix
from services.retriever.similarity import Float32Array
from services.retriever.touched import Touched, joined

logger = logging.getLogger(__name__)

# Tracks whose vectors are read at a time beside searches, and changes wait for it: some 5 ms.
_TRACKS_AT_A_TIME = 2000
# Compared with each other: 0.4 GB at 1,024 dimensions.
MAX_PROFILES = 100_000

T = TypeVar("T")


class ProfileSearch:
    """The tastes of all listed profiles beside one index.

    Nothing is computed before somebody asks, and then only what changed: profiles that are new or have other weights,
    and those of whose tracks one was added, changed or removed. The first question after a start computes all, which
    takes some 30 s for 100,000 profiles of 100 tracks; what is done when its caller gives up stays done. Who is not
    listed, or not any more when the answer is ready, is never told.

    Args:
        profiles: The weights; of more than 100,000 listed ones those that came first are compared.
        live: The index.
        touched: Which of its tracks have changed; nobody else takes these notes.
        thread: One thread, which alone uses the matrix: what a caller began and left is over before the next begins.
    """

    def __init__(self, profiles: Profiles, live: LiveIndex, touched: Touched, thread: ThreadPoolExecutor) -> None:
        self._profiles = profiles
        self._live = live
        self._touched = touched
        self._thread = thread
        self._matrix = TasteMatrix()
        self._touched_profiles = profiles.watch(MAX_PROFILES)
        # Notes that were taken and not yet looked at; None means all.
        self._changed_tracks: set[str] | None = None
        self._changed_profiles: set[str] | None = None
        self._guard = threading.Lock()
        # Of these the taste must be computed; for the one thread.
        self._waiting: set[str] = set()
        # And of these when there is room for them, in this order.
        self._beyond: dict[str, None] = {}
        # Callers who come together wait for one refresh instead of computing everything twice.
        self._turn = asyncio.Lock()

    async def nearest(
        self, profile_id: str, limit: int, blocked: Collection[str], min_similarity: float | None = None
    ) -> list[tuple[str, float]]:
        """Find the listed profiles whose tastes are nearest to a profile's.

        Args:
            profile_id: Whose neighbours; not found itself.
            limit: How many.
            blocked: Profiles that must not be found.
            min_similarity: Lowest cosine; None takes all.

        Returns:
            Ids and cosines, best first, ties by id.

        Raises:
            UnknownProfile: There is no such profile.
            NoTaste: None of its tracks is in the index.
            ProfilesLoading, IndexLoading: A log has not been read to its end.
        """
        self._known(profile_id)
        async with self._turn:
            await self._refresh()
            asking = self._known(profile_id)
            taste = await self._live.read(lambda index: taste_of(asking, index), None, 0)
            if taste is None:
                raise NoTaste(profile_id, len(asking.track_ids))
            hidden = {*blocked, profile_id}
            while True:
                found = await self._run(self._matrix.nearest, taste, limit, frozenset(hidden), min_similarity)
                self._known(profile_id)
                # Somebody may have hidden or gone since the matrix was looked through.
                gone = {one for one, _ in found if not self._is_listed(one)}
                if not gone:
                    return found
                hidden |= gone

    def _known(self, profile_id: str) -> Profile:
        if not self._profiles.is_caught_up:
            raise ProfilesLoading
        profile = self._profiles.get(profile_id)
        if profile is None:
            raise UnknownProfile(profile_id)
        return profile

    def _is_listed(self, profile_id: str) -> bool:
        profile = self._profiles.get(profile_id)
        return profile is not None and profile.is_listed

    async def _refresh(self) -> None:
        """Bring the matrix up to date; may be cancelled at any point, and the next call goes on from there."""
        with self._guard:
            self._changed_profiles = joined(self._changed_profiles, self._touched_profiles.take())
        await self._live.read(self._take_notes, None, 0)
        waiting = await self._run(self._find_waiting)
        start = 0
        while start < len(waiting):
            stop, track_count = start, 0
            while stop < len(waiting) and track_count < _TRACKS_AT_A_TIME:
                track_count += len(waiting[stop].track_ids)
                stop += 1
            chunk = waiting[start:stop]
            start = stop

            def compute(index: TrackIndex, chunk: list[Profile] = chunk) -> list[Float32Array | None]:
                return [taste_of(profile, index) for profile in chunk]

            await self._run(self._put, chunk, await self._live.compose(compute, None, 0))

    def _take_notes(self, _: TrackIndex) -> None:
        """Fetch the notes on the index's thread, where they are written; kept even if the caller is gone by now."""
        noted = self._touched.take()
        with self._guard:
            self._changed_tracks = joined(self._changed_tracks, noted)

    def _find_waiting(self) -> list[Profile]:
        """Return the listed profiles that must be computed, those with the smallest ids first."""
        with self._guard:
            tracks, self._changed_tracks = self._changed_tracks, set()
            changed, self._changed_profiles = self._changed_profiles, set()
        if tracks is None or changed is None:
            self._matrix = TasteMatrix()
            self._beyond = {}
            self._waiting = {profile.profile_id for profile in self._profiles.all()}
        else:
            self._waiting |= changed
            concerned = {track_id for track_id in tracks if self._profiles.has_track(track_id)}
            if concerned:
                self._waiting.update(
                    profile.profile_id
                    for profile in self._profiles.all()
                    if not concerned.isdisjoint(profile.track_ids)
                )
        for profile_id in [one for one in self._waiting if not self._is_listed(one)]:
            self._matrix.remove(profile_id)
            self._waiting.discard(profile_id)
        self._keep_within_bound()
        found = (self._profiles.get(one) for one in sorted(self._waiting))
        return [profile for profile in found if profile is not None]

    def _keep_within_bound(self) -> None:
        new = sorted(one for one in self._waiting if one not in self._matrix)
        room = MAX_PROFILES - len(self._matrix)
        if len(new) > room:
            if not self._beyond:
                logger.warning("profiles_beyond_bound", extra={"limit": MAX_PROFILES})
            self._waiting.difference_update(new[room:])
            self._beyond |= dict.fromkeys(new[room:])
        for profile_id in list(islice(self._beyond, max(0, room - len(new)))):
            del self._beyond[profile_id]
            if self._is_listed(profile_id):
                self._waiting.add(profile_id)

    def _put(self, profiles: list[Profile], tastes: list[Float32Array | None]) -> None:
        for profile, taste in zip(profiles, tastes, strict=True):
            if taste is None:
                self._matrix.remove(profile.profile_id)
            else:
                self._matrix.put(profile.profile_id, taste)
            self._waiting.discard(profile.profile_id)

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
