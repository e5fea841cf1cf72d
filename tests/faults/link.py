"""A link between two processes that can be slowed, cut, silenced, stranded and reset, of TCP or of unix sockets."""

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Callable
from pathlib import Path

# "host", port; or the path of a unix socket.
Address = tuple[str, int] | Path

_CHUNK_BYTES = 64 * 1024
_CHUNKS_UNDER_WAY = 256
_LINGER_NOT = struct.pack("ii", 1, 0)


class Link:
    """Listens in the place of a server and passes on to it; what is done to the link is done to all it carries.

    Bytes keep their order and none is lost while a connection lives. A link that is silent still takes connections,
    answers nothing, and goes on with what it held back once it speaks again.

    Args:
        upstream: The server; it need not be there yet.
        dice: Decides how far a delay strays.
    """

    def __init__(self, upstream: Address, dice: random.Random | None = None) -> None:
        self.upstream = upstream
        self.address: Address = ("127.0.0.1", 0)
        self.delay_s = 0.0
        self.jitter_s = 0.0
        # Of each direction; None is no bound.
        self.bytes_per_s: float | None = None
        self.bytes_per_s_down: float | None = None
        self.is_cut = False
        self.carried_bytes = 0
        self._dice = dice or random.Random(0)
        self._speaks = asyncio.Event()
        self._speaks.set()
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self, listen: Address = ("127.0.0.1", 0)) -> None:
        """Listen; port 0 picks a free one, `address` tells which."""
        if isinstance(listen, Path):
            self._server = await asyncio.start_unix_server(self._take, listen)
            self.address = listen
        else:
            self._server = await asyncio.start_server(self._take, *listen)
            self.address = self._server.sockets[0].getsockname()[:2]

    async def close(self) -> None:
        """Stop listening and reset everything."""
        if self._server is not None:
            self._server.close()
        self.reset()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def connections(self) -> int:
        """How many are carried now, stranded ones included."""
        return len(self._connections)

    def heal(self) -> None:
        """Be an ordinary link again; what is stranded stays so."""
        self.delay_s = self.jitter_s = 0.0
        self.bytes_per_s = self.bytes_per_s_down = None
        self.is_cut = False
        self._speaks.set()

    def cut(self) -> None:
        """Reset every connection, and from now on each new one at once."""
        self.is_cut = True
        self.reset()

    def silence(self) -> None:
        """Pass nothing on any more, neither bytes nor ends, and take new connections all the same."""
        self._speaks.clear()

    def strand(self) -> None:
        """Leave every connection of now without an answer for ever, as if the other machine were gone."""
        for connection in self._connections:
            connection.is_stranded = True

    def reset(self) -> None:
        """Reset every connection of now."""
        for connection in list(self._connections):
            connection.reset()

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer)
        self._connections.add(connection)
        try:
            await self._speaks.wait()
            if self.is_cut or connection.is_over:
                return
            if isinstance(self.upstream, Path):
                up_reader, up_writer = await asyncio.open_unix_connection(self.upstream)
            else:
                up_reader, up_writer = await asyncio.open_connection(*self.upstream)
            connection.writers.append(up_writer)
            if connection.is_over:  # reset while it was being made
                return
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_on(connection, reader, up_writer, lambda: self.bytes_per_s))
                tasks.create_task(self._pass_on(connection, up_reader, writer, self._downward))
        except (OSError, ExceptionGroup):
            pass
        finally:
            connection.reset()
            self._connections.discard(connection)
            await connection.closed()

    def _downward(self) -> float | None:
        return self.bytes_per_s_down or self.bytes_per_s

    async def _pass_on(
        self,
        connection: "_Connection",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        rate: Callable[[], float | None],
    ) -> None:
        """Pass one direction on until its end; each chunk is due by itself, so a delay does not add up."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_UNDER_WAY)

        async def read() -> None:
            while chunk := await reader.read(_CHUNK_BYTES):
                await queue.put((loop.time() + self.delay_s + self._dice.random() * self.jitter_s, chunk))
            await queue.put((loop.time() + self.delay_s, b""))

        async def write() -> None:
            while True:
                due, chunk = await queue.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if bound := rate():
                    await asyncio.sleep(len(chunk) / bound)
                await self._speaks.wait()
                if connection.is_stranded:
                    await connection.over.wait()
                if not chunk:
                    if writer.can_write_eof():
                        writer.write_eof()
                    return
                writer.write(chunk)
                await writer.drain()
                self.carried_bytes += len(chunk)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(read())
            tasks.create_task(write())


class _Connection:
    """Both ends of what a link carries."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writers = [writer]
        self.is_stranded = False
        self.over = asyncio.Event()

    @property
    def is_over(self) -> bool:
        return self.over.is_set()

    def reset(self) -> None:
        self.over.set()
        for writer in self.writers:
            found = writer.get_extra_info("socket")
            if found is not None and found.family != socket.AF_UNIX and not writer.transport.is_closing():
                with contextlib.suppress(OSError):
                    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            writer.transport.abort()

    async def closed(self) -> None:
        for writer in self.writers:
            with contextlib.suppress(OSError):
                await writer.wait_closed()
