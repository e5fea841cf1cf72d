"""Follows a topic: from where somebody stood, without a gap, item by item, and a sign of life where nothing comes."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.gateway.live.asking import Asking
from services.gateway.live.cursors import MOST_SHOWN, Cursor, CursorSigner, Place, mark_of
from services.gateway.live.hub import Hub, Item, Mailbox
from services.gateway.live.topics import RowTopic

# How long events may take from the commit of their row to the stream: rows of so long before a cursor are read again.
_LONGEST_WAY = timedelta(seconds=120)
_READY_TIMEOUT_S = 5.0
# What comes meanwhile is asked for by one call.
_GATHER_S = 0.02


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a follower gets: an item, or none as a sign of life, and the cursor behind it."""

    cursor: str
    item: Item | None


class Follower:
    """One person who follows one topic.

    Args:
        hub: What the process hears.
        topic: What they follow.
        signer: Writes cursors.
        asking: Asks social.
        heartbeat_s: A sign of life comes after so long a silence.
    """

    def __init__(self, hub: Hub, topic: RowTopic, signer: CursorSigner, asking: Asking, heartbeat_s: float) -> None:
        self._hub = hub
        self._topic = topic
        self._signer = signer
        self._asking = asking
        self._heartbeat_s = heartbeat_s
        self._place = Place(0, 0)
        self._at = datetime.fromtimestamp(0, UTC)
        # What was shown last, and when that was made.
        self._shown: deque[tuple[datetime, bytes]] = deque(maxlen=MOST_SHOWN)
        # What was read from rows, whose events may come later.
        self._read: set[str] = set()

    async def follow(self, after: str | None) -> AsyncGenerator[Delivery, None]:
        """Yield what comes, for ever: at once a sign of life, with the cursor of where it begins.

        What social cannot answer later is asked again until it can.

        Args:
            after: A cursor to go on from; None begins now.

        Raises:
            InvalidArgument: CURSOR_INVALID.
            FailedPrecondition: CURSOR_TOO_OLD.
            Unavailable: LIVE_UNAVAILABLE.
            DomainError: What social says to the first call.
        """
        stood = None if after is None else self._signer.read(after, self._topic.name, self._topic.user_id)
        with self._hub.mailbox(self._topic) as box:
            await self._hub.until_ready(_READY_TIMEOUT_S)
            if stood is None:
                self._place, self._at = self._hub.here, self._hub.heard_at
            else:
                self._place, self._at = stood.place, stood.at
                self._shown.extend((stood.at, mark) for mark in stood.shown)
            await self._asking.once(self._topic.prepare)
            yield self._delivery()
            box.fall_behind()  # what came before it was known what is wanted
            while True:
                if box.is_behind:
                    for delivery in await self._catch_up(box):
                        yield delivery
                elif items := box.take():
                    for delivery in await self._show(items):
                        yield delivery
                else:
                    # Nothing waits, so all that was heard was looked at.
                    self._place, self._at = self._hub.here, self._hub.heard_at
                    if not await box.wait(self._heartbeat_s):
                        yield self._delivery()
                    else:
                        await asyncio.sleep(_GATHER_S)

    async def _catch_up(self, box: Mailbox) -> list[Delivery]:
        """Go on from the place where one stands, by what the hub has kept, or by rows."""
        box.is_behind = False
        box.take()
        items = self._hub.since(self._place, self._topic)
        if items is not None:
            return await self._show(items)
        here, heard_at = self._hub.here, self._hub.heard_at
        known = {mark for _, mark in self._shown}
        rows = await self._asking.patiently(lambda: self._topic.rows(self._at - _LONGEST_WAY))
        new = [item for item in rows if item.thing_id not in self._read and mark_of(item.thing_id) not in known]
        self._read = {item.thing_id for item in rows}
        found = []
        for item in new:
            # No place of the stream: what follows this one is in the rows.
            self._place, self._at = Place(0, 0), max(self._at, item.at)
            found.append(self._delivery(item))
        self._place, self._at = here, heard_at
        return found

    async def _show(self, items: list[Item]) -> list[Delivery]:
        """Take those of some items of the stream that may be seen, and move behind them."""
        found = []
        new = [item for item in items if item.thing_id not in self._read]
        for item in await self._asking.patiently(lambda: self._topic.visible(new)) if new else ():
            self._move(item.sequence)
            self._at = item.at
            found.append(self._delivery(item))
        for item in items[-1:]:
            self._move(item.sequence)
        return found

    def _move(self, sequence: int) -> None:
        self._place = Place(self._place.epoch, max(self._place.sequence, sequence))

    def _delivery(self, item: Item | None = None) -> Delivery:
        """Return what is shown, with a cursor that goes on behind it."""
        if item is not None:
            self._shown.append((item.at, mark_of(item.thing_id)))
        marks = tuple(mark for at, mark in self._shown if at > self._at - _LONGEST_WAY)
        cursor = Cursor(self._place, self._at, marks)
        return Delivery(self._signer.write(cursor, self._topic.name, self._topic.user_id), item)
