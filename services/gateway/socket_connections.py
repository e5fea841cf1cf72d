"""Connections that have become WebSockets: uvicorn's protocol, with bounds of what is held for who reads no answers."""

import logging
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

# Of one message: empty ones cost memory as well.
MAX_FRAGMENTS = 1024

# uvicorn tells of each socket with its full address and its query: nobody's business in a log.
protocol_logger = logging.getLogger(f"{__name__}.protocol")
protocol_logger.setLevel(logging.WARNING)


class BoundedSocket(WebSocketsSansIOProtocol):
    """A connection that has become a WebSocket."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = protocol_logger

    def pause_writing(self) -> None:
        """Read nothing either: whoever does not read answers gets no more of them, those to pings included."""
        super().pause_writing()
        self._stop_reading()

    def resume_writing(self) -> None:
        """Read on as well."""
        super().resume_writing()
        if not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    async def receive(self) -> Any:
        """Return the next message, and read on if answers are read."""
        message = await super().receive()
        if not self.writable.is_set():
            self._stop_reading()
        return message

    def handle_cont(self, event: Frame) -> None:
        """Take a piece of a message, unless it has too many."""
        if self.close_sent:
            return
        if len(self.frames) >= MAX_FRAGMENTS:
            self.frames = []
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, f"more than {MAX_FRAGMENTS} fragments")
            self.handle_parser_exception()
            return
        super().handle_cont(event)

    def _stop_reading(self) -> None:
        if not self.transport.is_closing():
            self.transport.pause_reading()
