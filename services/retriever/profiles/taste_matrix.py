"""The tastes of many profiles side by side, searched exactly; knows neither tracks nor how a taste comes about."""

from collections.abc import Collection

import numpy as np

from services.retriever.similarity import Float32Array, cosines

_FIRST_ROWS = 64


class TasteMatrix:
    """Tastes by profile.

    A search is one product of matrix and vector: 100,000 × 1,024 float32 are 0.4 GB and take some 40 ms. That is the
    stated bound; beyond it the tastes belong into an index like the tracks'. Used by one thread.
    """

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._slots: dict[str, int] = {}
        self._rows: Float32Array = np.empty((0, 0), dtype=np.float32)  # (capacity, dim)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, profile_id: str) -> bool:
        return profile_id in self._slots

    def put(self, profile_id: str, taste: Float32Array) -> None:
        """Note a profile's taste, a unit vector of shape (dim,), float32; of another length, it is the only one."""
        if len(taste) != self._rows.shape[1]:
            self._ids, self._slots = [], {}
            self._rows = np.empty((_FIRST_ROWS, len(taste)), dtype=np.float32)
        slot = self._slots.get(profile_id)
        if slot is None:
            slot = self._slots[profile_id] = len(self._ids)
            self._ids.append(profile_id)
            if slot == len(self._rows):
                self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[slot] = taste

    def remove(self, profile_id: str) -> None:
        """Forget a profile; safe to repeat."""
        slot = self._slots.pop(profile_id, None)
        if slot is None:
            return
        last = len(self._ids) - 1
        moved = self._ids.pop()
        if slot != last:
            self._rows[slot] = self._rows[last]
            self._ids[slot] = moved
            self._slots[moved] = slot

    def nearest(
        self, taste: Float32Array, limit: int, excluded: Collection[str], min_similarity: float | None = None
    ) -> list[tuple[str, float]]:
        """Find the profiles with the nearest tastes.

        Args:
            taste: Unit vector, shape (dim,), float32.
            limit: How many, at least 1.
            excluded: Profiles that must not be found; unknown ones do not matter.
            min_similarity: Lowest cosine; None takes all.

        Returns:
            Ids and cosines to six decimals, best first, ties by id; nothing where the tastes have another length.
        """
        if not self._ids or len(taste) != self._rows.shape[1]:
            return []
        similarities = cosines(self._rows[: len(self)], taste)
        is_wanted = np.ones(len(self), dtype=np.bool_)
        is_wanted[[self._slots[one] for one in excluded if one in self._slots]] = False
        if min_similarity is not None:
            is_wanted &= similarities >= np.float32(min_similarity)
        slots = np.flatnonzero(is_wanted)
        if len(slots) > limit:
            # All that tie with the last place come along, so that the id decides and not the slot.
            last = np.partition(similarities[slots], len(slots) - limit)[len(slots) - limit]
            slots = slots[similarities[slots] >= last]
        found = sorted((-float(similarities[slot]), self._ids[slot]) for slot in slots.tolist())
        return [(profile_id, -negative) for negative, profile_id in found[:limit]]
