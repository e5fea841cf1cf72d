"""The open sockets of the process: ended with their session or their token, pinged, and sent away when it drains."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Container, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from services.chassis.errors import ResourceExhausted

# Of the protocol: whoever gets it needs another token.
FORBIDDEN = 4403
# RFC 6455's registry: connect again, and somebody else will answer.
SERVICE_RESTART = 1012
# Of the same: clients come back later, with growing pauses.
TRY_AGAIN_LATER = 1013

_LOOK_INTERVAL_S = 1.0
_PING_INTERVAL_S = 20.0
# Those who are sent away come back at once, to others who have work of their own.
_SENT_AWAY_PER_S = 200
_LONGEST_END_S = 5.0


class Socket(Protocol):
    """An open socket."""

    @property
    def running(self) -> int:
        """How many operations it runs."""

    async def end(self, code: int, reason: str) -> None:
        """End its operations at once, then close it."""

    async def ping(self) -> None:
        """Send the protocol's own ping, which scripts of pages can see."""


@dataclass(slots=True)
class Holder:
    """Who holds a socket; a guest has no session and no end.

    Attributes:
        session_id: Session whose end also ends the socket.
        expires_at: When the token ends, in seconds since the epoch.
        key: Who it is, or from which network: whom the socket counts to. Empty until that is known.
        socket: It, while it is open.
    """

    session_id: str = ""
    expires_at: float = float("inf")
    key: str = ""
    socket: Socket | None = None


@dataclass(slots=True)
class _Open:
    holder: Holder
    pinged_at: float


class OpenSockets:
    """Keeps them.

    Args:
        ended: Sessions that ended.
        clock: Seconds since the epoch.
        monotonic: Seconds that only rise.
    """

    def __init__(
        self,
        ended: Container[str],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ended = ended
        self._clock = clock
        self._monotonic = monotonic
        self._open: dict[Socket, _Open] = {}
        self._of: dict[str, list[Holder]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.are_sent_away = False

    def __len__(self) -> int:
        return len(self._open)

    @contextlib.contextmanager
    def opened(self, socket: Socket, holder: Holder) -> Iterator[None]:
        """Keep a socket while it is open; its holder may become known later."""
        self._open[socket] = _Open(holder, self._monotonic())
        holder.socket = socket
        try:
            yield
        finally:
            self._open.pop(socket, None)
            if holder.key:
                theirs = self._of[holder.key]
                theirs[:] = [other for other in theirs if other is not holder]
                if not theirs:
                    del self._of[holder.key]

    def count(self, holder: Holder, key: str, most: int) -> None:
        """Count a socket to somebody.

        Raises:
            ResourceExhausted: TOO_MANY_SOCKETS: they hold as many already.
        """
        theirs = self._of.setdefault(key, [])
        if len(theirs) >= most:
            raise ResourceExhausted(
                f"{most} sockets are open already, limit is {most}", reason="TOO_MANY_SOCKETS", limit=most
            )
        holder.key = key
        theirs.append(holder)

    def running_of(self, key: str) -> int:
        """Return how many operations run on somebody's sockets."""
        return sum(holder.socket.running for holder in self._of.get(key, ()) if holder.socket is not None)

    async def run(self) -> None:
        """Look after them for ever."""
        try:
            while True:
                self.look()
                await asyncio.sleep(_LOOK_INTERVAL_S)
        finally:
            for task in self._tasks:
                task.cancel()

    def look(self) -> None:
        """End those whose time is over, and ping those that were not pinged for long."""
        for socket, kept in list(self._open.items()):
            if kept.holder.session_id in self._ended:
                self._end(socket, FORBIDDEN, "SESSION_REVOKED")
            elif kept.holder.expires_at <= self._clock():
                self._end(socket, FORBIDDEN, "TOKEN_EXPIRED")
            elif self._monotonic() - kept.pinged_at >= _PING_INTERVAL_S:
                kept.pinged_at = self._monotonic()
                self._start(socket.ping())

    def end_session(self, session_id: str) -> None:
        """End the sockets of a session that has just ended."""
        for socket, kept in list(self._open.items()):
            if session_id and kept.holder.session_id == session_id:
                self._end(socket, FORBIDDEN, "SESSION_REVOKED")

    async def send_away(self, within_s: float) -> None:
        """Tell everybody to connect again, a few at a time, within this time; whoever comes later is told at once."""
        self.are_sent_away = True
        waiting = list(self._open)
        pause_s = min(within_s / max(1, len(waiting)), 1 / _SENT_AWAY_PER_S)
        for socket in waiting:
            self._end(socket, SERVICE_RESTART, "")
            await asyncio.sleep(pause_s)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_LONGEST_END_S)

    def _end(self, socket: Socket, code: int, reason: str) -> None:
        if self._open.pop(socket, None) is not None:
            self._start(_within(_LONGEST_END_S, socket.end(code, reason)))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something for one of them that must not hold up the others: it may have stopped to read."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _within(seconds: float, work: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await work
