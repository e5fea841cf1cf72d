"""No socket outlives a connection to NATS, at whatever moment it is given up: nats-py leaves some behind."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from services.chassis.bus import Bus, BusSettings
from tests.conftest import free_port

INFO = b'INFO {"server_id":"N","version":"2.10.0","max_payload":1048576,"headers":true}\r\n'


@dataclass
class HalfServer:
    """Speaks NATS's greeting as far as it is told to: `greets` sends INFO, `answers` every PING."""

    port: int
    greets: bool = True
    answers: bool = True
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    open: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        await self._count(1)
        with contextlib.suppress(OSError):
            if self.greets:
                writer.write(INFO)
            while line := await reader.readline():
                if line.startswith(b"PING") and self.answers:
                    writer.write(b"PONG\r\n")
        writer.close()
        await self._count(-1)

    async def _count(self, change: int) -> None:
        async with self.changed:
            self.open += change
            self.changed.notify_all()

    async def until(self, accepted: int, held: int) -> None:
        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(lambda: len(self.writers) >= accepted and self.open == held)

    @property
    def settings(self) -> BusSettings:
        return BusSettings(url=f"nats://127.0.0.1:{self.port}")


async def attempts() -> list[asyncio.Task[object]]:
    """Living tasks of any client of NATS."""
    await asyncio.sleep(0.02)
    return [task for task in asyncio.all_tasks() if "nats/aio/client.py" in repr(task.get_stack())]


@pytest.fixture
async def server() -> AsyncIterator[HalfServer]:
    made = HalfServer(free_port())
    async with await asyncio.start_server(made.serve, "127.0.0.1", made.port):
        yield made
        for writer in made.writers:
            writer.close()


@pytest.mark.parametrize(("greets", "answers"), [(False, False), (True, False)], ids=["before INFO", "before PONG"])
async def test_cancelled_while_it_connects(server: HalfServer, greets: bool, answers: bool) -> None:
    server.greets, server.answers = greets, answers
    connecting = asyncio.create_task(Bus.connect(server.settings, "test"))
    await server.until(accepted=1, held=1)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    await server.until(accepted=1, held=0)


@pytest.mark.parametrize(("greets", "answers"), [(False, False), (True, False)], ids=["before INFO", "before PONG"])
async def test_closed_while_it_reconnects(server: HalfServer, greets: bool, answers: bool) -> None:
    bus = await Bus.connect(server.settings, "test")
    server.greets, server.answers = greets, answers
    server.writers[0].close()
    await server.until(accepted=2, held=1)
    await bus.close()
    await server.until(accepted=2, held=0)
    assert not await attempts()


async def test_closed_at_any_step_of_a_reconnection(server: HalfServer) -> None:
    for turns in range(60):
        bus = await Bus.connect(server.settings, "test")
        server.writers[-1].close()
        for _ in range(turns):
            await asyncio.sleep(0)
        await bus.close()
        assert not await attempts(), turns
    await server.until(accepted=60, held=0)
