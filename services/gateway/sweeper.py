"""Cuts connections whose other end has gone without a word, or takes nothing any more."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

_SWEEP_INTERVAL_S = 10.0
# Who reads nothing for so long gets no more; players that go on ask for the rest.
_LONGEST_STALL_S = 300.0


class _Connection(Protocol):
    transport: asyncio.Transport


@dataclass(slots=True)
class _Seen:
    unsent: int
    since: float
    is_closing: bool


class Sweeper:
    """Cuts connections whose other end takes nothing any more: they would be held, and their memory, for ever.

    Args:
        connections: Of the server, as it keeps them.
        monotonic: Seconds that only rise.
    """

    def __init__(self, connections: Collection[Any], monotonic: Callable[[], float]) -> None:
        self._connections = connections
        self._monotonic = monotonic
        self._seen: dict[_Connection, _Seen] = {}

    async def run(self) -> None:
        """Look after them for ever."""
        while True:
            self.look()
            await asyncio.sleep(_SWEEP_INTERVAL_S)

    def look(self) -> None:
        """Cut who was being closed at the last look already, and who has taken nothing for minutes."""
        now, before = self._monotonic(), self._seen
        self._seen = {}
        for connection in list(self._connections):
            transport = connection.transport
            if transport is None:
                continue
            found = _Seen(transport.get_write_buffer_size(), now, transport.is_closing())
            known = before.get(connection)
            if known is not None and known.is_closing:
                transport.abort()
                continue
            if known is not None and 0 < known.unsent <= found.unsent:
                found.since = known.since
                if now - found.since >= _LONGEST_STALL_S:
                    transport.abort()
                    continue
            self._seen[connection] = found
