"""NATS in: one consumer of job progress for the whole process, that wakes whoever watches the job."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator

from museed.social.v1 import events_pb2
from services.chassis.bus import SOCIAL_EVENTS, Bus
from services.chassis.bus.listen import listen

_SUBJECT = "museed.social.v1.job_progressed"


class JobFeed:
    """Wakes the watchers of a job when something happened to it.

    An event is a bell: it carries no state to them. Each watcher then reads the job from social under its own token,
    so that it sees what it may see, never something older than the event, and nothing is lost when bells are. A bell
    that rings again before it was heard is one bell: a slow watcher holds nothing but its own flag.
    """

    def __init__(self) -> None:
        self._watchers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    async def run(self, bus: Bus) -> None:
        """Follow the stream for ever; a lost server is waited for."""
        async for message in listen(bus, SOCIAL_EVENTS, _SUBJECT):
            self.ring(events_pb2.JobProgressed.FromString(message.payload).job_id)

    def ring(self, job_id: str) -> None:
        """Wake the watchers of a job."""
        for bell in self._watchers.get(job_id, ()):
            bell.set()

    @contextlib.contextmanager
    def watch(self, job_id: str) -> Iterator[asyncio.Event]:
        """Watch a job: the event is set at each bell; clear it before reading the job."""
        bell = asyncio.Event()
        self._watchers[job_id].add(bell)
        try:
            yield bell
        finally:
            self._watchers[job_id].discard(bell)
            if not self._watchers[job_id]:
                del self._watchers[job_id]

    @property
    def watcher_count(self) -> int:
        """How many watchers there are."""
        return sum(len(bells) for bells in self._watchers.values())
