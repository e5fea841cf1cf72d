"""What a link does to those who speak over it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.faults.link import Link

PATIENCE_S = 60.0
# No answer is expected for so long; who answers all the same is seen at once.
SILENCE_S = 0.3


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
        writer.close()
        await writer.wait_closed()


class Caller:
    open: ClassVar[list["Caller"]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, link: Link) -> "Caller":
        if isinstance(link.address, Path):
            made = cls(*await asyncio.open_unix_connection(link.address))
        else:
            made = cls(*await asyncio.open_connection(*link.address))
        cls.open.append(made)
        return made

    def say(self, text: bytes) -> None:
        self.writer.write(text)

    async def hear(self, length: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(length), PATIENCE_S)

    async def hears_nothing(self) -> bool:
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self.reader.read(1), SILENCE_S) is None
        return True

    async def end(self) -> bytes:
        """Return what comes before the end of the connection."""
        return await asyncio.wait_for(self.reader.read(), PATIENCE_S)


@pytest.fixture(autouse=True)
async def callers() -> AsyncIterator[None]:
    yield
    while Caller.open:
        writer = Caller.open.pop().writer
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.fixture(params=["tcp", "unix"])
async def link(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Link]:
    """A link to a server that says everything again."""
    if request.param == "unix":
        server = await asyncio.start_unix_server(_echo, tmp_path / "server")
        made = Link(tmp_path / "server")
        await made.open(tmp_path / "link")
    else:
        server = await asyncio.start_server(_echo, "127.0.0.1", 0)
        made = Link(server.sockets[0].getsockname()[:2])
        await made.open()
    yield made
    await made.close()
    server.close()


async def test_passes_on_both_ways_in_order(link: Link) -> None:
    caller = await Caller.to(link)
    text = b"".join(number.to_bytes(4, "big") for number in range(100_000))
    caller.say(text)
    assert await caller.hear(len(text)) == text
    assert link.carried_bytes == 2 * len(text)


async def test_end_of_one_side_reaches_the_other(link: Link) -> None:
    caller = await Caller.to(link)
    caller.say(b"last words")
    caller.writer.write_eof()
    assert await caller.end() == b"last words"


async def test_delay_holds_bytes_back_there_and_back(link: Link) -> None:
    link.delay_s = SILENCE_S
    caller = await Caller.to(link)
    loop = asyncio.get_running_loop()
    began = loop.time()
    caller.say(b"x")
    assert await caller.hear(1) == b"x"
    assert loop.time() - began >= 2 * SILENCE_S


async def test_bound_of_bytes_slows_what_is_large(link: Link) -> None:
    link.bytes_per_s_down = 10_000
    caller = await Caller.to(link)
    loop = asyncio.get_running_loop()
    began = loop.time()
    caller.say(b"x" * 5_000)
    await caller.hear(5_000)
    assert loop.time() - began >= 0.5


async def test_cut_link_resets_what_is_there_and_what_comes(link: Link) -> None:
    caller = await Caller.to(link)
    caller.say(b"one")
    assert await caller.hear(3) == b"one"
    link.cut()
    with contextlib.suppress(ConnectionResetError):
        assert await caller.end() == b""
    other = await Caller.to(link)
    with contextlib.suppress(ConnectionResetError):
        assert await other.end() == b""
    link.heal()
    third = await Caller.to(link)
    third.say(b"two")
    assert await third.hear(3) == b"two"
    assert link.connections == 1


async def test_reset_tcp_connection_says_so(tmp_path: Path) -> None:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    link = Link(server.sockets[0].getsockname()[:2])
    await link.open()
    caller = await Caller.to(link)
    caller.say(b"one")
    await caller.hear(3)
    link.reset()
    with pytest.raises(ConnectionResetError):
        await caller.end()
    await link.close()
    server.close()


async def test_silent_link_holds_everything_until_it_speaks_again(link: Link) -> None:
    old = await Caller.to(link)
    old.say(b"one")
    assert await old.hear(3) == b"one"
    link.silence()
    old.say(b"two")
    new = await Caller.to(link)
    new.say(b"three")
    assert await old.hears_nothing()
    assert await new.hears_nothing()
    link.heal()
    assert await old.hear(3) == b"two"
    assert await new.hear(5) == b"three"


async def test_stranded_connection_stays_so_while_new_ones_are_served(link: Link) -> None:
    old = await Caller.to(link)
    old.say(b"one")
    assert await old.hear(3) == b"one"
    link.strand()
    link.heal()
    old.say(b"two")
    assert await old.hears_nothing()
    new = await Caller.to(link)
    new.say(b"three")
    assert await new.hear(5) == b"three"


async def test_server_that_is_not_there_ends_the_connection(tmp_path: Path) -> None:
    link = Link(tmp_path / "nobody")
    await link.open(tmp_path / "link")
    caller = await Caller.to(link)
    with contextlib.suppress(ConnectionResetError):
        assert await caller.end() == b""
    await link.close()
