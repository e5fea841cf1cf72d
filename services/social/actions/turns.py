"""How much of something one person may have under way, so that others have room."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.chassis.errors import ResourceExhausted
from services.social.domain.ids import UserId


class Turns:
    """Counts what people have under way in this process.

    Args:
        limit: Of one person at a time.
        refuse: Makes the refusal of one more.
    """

    def __init__(self, limit: int, refuse: Callable[[int], ResourceExhausted]) -> None:
        self._limit = limit
        self._refuse = refuse
        self._under_way: Counter[UserId] = Counter()

    @contextmanager
    def of(self, user_id: UserId) -> Iterator[None]:
        """Count one more while the block runs.

        Raises:
            ResourceExhausted: As many are under way as may be.
        """
        if self._under_way[user_id] >= self._limit:
            raise self._refuse(self._limit)
        self._under_way[user_id] += 1
        try:
            yield
        finally:
            self._under_way[user_id] -= 1
            if not self._under_way[user_id]:
                del self._under_way[user_id]
