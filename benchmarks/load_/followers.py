"""People whose feeds are open meanwhile, and how late they hear."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from websockets.exceptions import WebSocketException

from benchmarks.load_.world import Person
from tests.integration.gateway.socket_client import initialised

_FEED = "subscription($after: String) { feed(after: $after) { cursor activity { activityId at } } }"
_AGAIN_S = 1.0


class Followers:
    """What open feeds heard.

    Attributes:
        delays_s: From when something was done until one of them knew it.
        closed: How often one was closed and opened again.
        doubled: Events that one of them heard twice.
    """

    def __init__(self) -> None:
        self.delays_s: list[float] = []
        self.closed = 0
        self.doubled = 0

    def taken(self) -> list[float]:
        """Return the delays since this was last asked."""
        found, self.delays_s = self.delays_s, []
        return found

    async def follow(self, url: str, person: Person) -> None:
        """Keep a feed open for ever, going on behind the last cursor."""
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            with contextlib.suppress(OSError, WebSocketException, TimeoutError):
                async with initialised(url, f"Bearer {person.token}") as client:
                    await client.subscribe("1", _FEED, {"after": cursor})
                    while True:
                        message = await client.receive()
                        if message["type"] == "next":
                            cursor = self._take(message["payload"]["data"]["feed"], seen)
            self.closed += 1
            await asyncio.sleep(_AGAIN_S)

    def _take(self, event: dict[str, str | dict[str, str]], seen: set[str]) -> str:
        activity = event["activity"]
        if isinstance(activity, dict):
            self.delays_s.append((datetime.now(UTC) - datetime.fromisoformat(activity["at"])).total_seconds())
            self.doubled += activity["activityId"] in seen
            seen.add(activity["activityId"])
        return str(event["cursor"])


@contextlib.contextmanager
def following(url: str, people: Sequence[Person]) -> Iterator[Followers]:
    """Keep their feeds open in a thread until the context ends."""
    followers, loop = Followers(), asyncio.new_event_loop()

    async def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            async with asyncio.TaskGroup() as tasks:
                for person in people:
                    tasks.create_task(followers.follow(url, person))

    task = loop.create_task(run())
    thread = threading.Thread(target=loop.run_until_complete, args=(task,))
    thread.start()
    time.sleep(1)
    try:
        yield followers
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()
