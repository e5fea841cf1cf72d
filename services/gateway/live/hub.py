"""What the streams tell, kept once for the process, and given to whoever follows it: bells, and the newest items."""

import asyncio
import contextlib
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from google.protobuf.message import Message

from services.chassis.errors import Unavailable
from services.gateway.live.bells import Bell, Bells
from services.gateway.live.cursors import Place

# A process that has just begun reads so many messages back, and keeps so many items.
MOST_KEPT = 5_000
# Of one follower: more than this waits in the hub, or in rows.
MOST_WAITING = 256
# Who watches a stream that was not heard of for so long asks social, and again in this time.
_SILENT_S = 5.0
REREAD_S = 2.0
# And so often where it is heard of: nothing is lost then, but nobody is left waiting for what was.
LONGEST_UNREAD_S = 30.0


@dataclass(frozen=True, slots=True)
class Item:
    """Something that people follow.

    Attributes:
        sequence: In the stream; 0 where it was read from rows.
        topic: What it belongs to, "feed" or "notifications".
        person_id: Who did it, of the feed; who is told, of notifications.
        thing_id: Its own id, by which social is asked who may see it.
        at: When it was.
        message: As social has it.
    """

    sequence: int
    topic: str
    person_id: str
    thing_id: str
    at: datetime
    message: Message


class Topic(Protocol):
    """What somebody follows."""

    @property
    def name(self) -> str:
        """As in `Item.topic`."""

    @property
    def user_id(self) -> str:
        """Who follows it."""

    def wants(self, item: Item) -> bool:
        """Say whether an item may be for them; whether they may see it is asked of social."""

    def begin_to_follow(self, user_id: str) -> bool:
        """Note that they follow somebody from now on; say whether that is new."""

    def end_to_follow(self, user_id: str) -> None:
        """Note that they follow somebody no more."""


class Mailbox:
    """What came for one follower and was not taken yet.

    Args:
        topic: What they follow.

    Attributes:
        is_behind: Something came that is not in here: read on from the place where one stands.
    """

    __slots__ = ("_bell", "_items", "is_behind", "topic")

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.is_behind = False
        self._items: deque[Item] = deque()
        self._bell = asyncio.Event()

    def put(self, item: Item) -> None:
        """Take an item in; where too many wait, none of them is kept."""
        if len(self._items) >= MOST_WAITING:
            self.fall_behind()
        elif not self.is_behind:
            self._items.append(item)
        self._bell.set()

    def fall_behind(self) -> None:
        """Forget what waits."""
        self._items.clear()
        self.is_behind = True
        self._bell.set()

    def take(self) -> list[Item]:
        """Return what came, in order, and listen anew."""
        items = sorted(self._items, key=lambda item: item.sequence)
        self._items.clear()
        self._bell.clear()
        return items

    async def wait(self, timeout_s: float) -> bool:
        """Wait until something came; say whether it did in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._bell.wait()
        return self._bell.is_set()

    def __len__(self) -> int:
        return len(self._items)


class Hub:
    """Everything that the process hears, one reader for each stream.

    Args:
        most_kept: Items that are kept for those who come back.
        clock: Time of day.
        monotonic: Seconds that only rise.
    """

    def __init__(
        self,
        most_kept: int = MOST_KEPT,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.bells = Bells()
        self.here = Place(0, 0)
        self.heard_at = datetime.fromtimestamp(0, UTC)
        self._most_kept = most_kept
        self._clock = clock
        self._monotonic = monotonic
        self._recent: deque[Item] = deque()
        # Items up to this sequence may be missing from the recent ones.
        self._floor = 0
        self._boxes: defaultdict[str, set[Mailbox]] = defaultdict(set)
        self._is_ready = asyncio.Event()
        self._signs: dict[str, float] = {}

    def hear(self, stream: str) -> None:
        """Note a sign of life of a stream."""
        self._signs[stream] = self._monotonic()

    def hears(self, stream: str) -> bool:
        """Say whether a stream was heard of within the last seconds."""
        return self._monotonic() - self._signs.get(stream, float("-inf")) < _SILENT_S

    async def until_news(self, bell: Bell, stream: str) -> None:
        """Wait until a bell rings, or until it is time to look without: soon, where its stream is silent."""
        waited_s = 0.0
        while not await bell.wait(REREAD_S):
            waited_s += REREAD_S
            if not self.hears(stream) or waited_s >= LONGEST_UNREAD_S:
                return

    def begin(self, place: Place) -> None:
        """Begin at a place of a stream that was not read before; followers of another one read rows."""
        self.here, self._floor = place, place.sequence
        self._recent.clear()
        for boxes in self._boxes.values():
            for box in boxes:
                box.fall_behind()

    def put(self, item: Item) -> None:
        """Keep an item, and give it to those who may want it."""
        self._recent.append(item)
        if len(self._recent) > self._most_kept:
            self._floor = self._recent.popleft().sequence
        for box in self._boxes.get(item.topic, ()):
            if box.topic.wants(item):
                box.put(item)

    def reach(self, place: Place, *, is_caught_up: bool) -> None:
        """Note that everything up to a place was given out; with `is_caught_up` it is all that there is."""
        self.here = place
        if is_caught_up:
            self.heard_at = self._clock()
            self._is_ready.set()

    async def until_ready(self, timeout_s: float) -> None:
        """Wait until the stream was read to its end for the first time.

        Raises:
            Unavailable: LIVE_UNAVAILABLE: it was not, in this time.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._is_ready.wait()
        if not self._is_ready.is_set():
            raise Unavailable("what is new cannot be heard of now", reason="LIVE_UNAVAILABLE", retry_after_ms=1_000)

    def since(self, place: Place, topic: Topic) -> list[Item] | None:
        """Return what came behind a place, oldest first; None where that is not known any more."""
        if place.epoch != self.here.epoch or place.sequence < self._floor:
            return None
        found = []
        for item in reversed(self._recent):
            if item.sequence <= place.sequence:
                break
            if item.topic == topic.name and topic.wants(item):
                found.append(item)
        return found[::-1]

    @contextlib.contextmanager
    def mailbox(self, topic: Topic) -> Iterator[Mailbox]:
        """Give what comes from now on to a follower."""
        box = Mailbox(topic)
        self._boxes[topic.name].add(box)
        try:
            yield box
        finally:
            self._boxes[topic.name].discard(box)

    def begin_to_follow(self, follower_id: str, followee_id: str, since: datetime) -> None:
        """Note that somebody follows another: their open feeds take in what that one does from then on.

        What was told before this was, although it came after, is taken in as well.
        """
        for box in self._of("feed", follower_id):
            if box.topic.begin_to_follow(followee_id):
                for item in self._recent:
                    if item.topic == "feed" and item.person_id == followee_id and item.at >= since:
                        box.put(item)

    def end_to_follow(self, follower_id: str, followee_id: str) -> None:
        """Note that somebody follows another no more."""
        for box in self._of("feed", follower_id):
            box.topic.end_to_follow(followee_id)

    def _of(self, topic: str, user_id: str) -> list[Mailbox]:
        return [box for box in self._boxes.get(topic, ()) if box.topic.user_id == user_id]

    @property
    def follower_count(self) -> int:
        """How many mailboxes there are."""
        return sum(len(boxes) for boxes in self._boxes.values())
