"""Reads the messages of requests where the border lets it, so that who is refused has cost their bytes and no more."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from google.protobuf.message import DecodeError
from grpc.aio import EOF

from services.chassis.errors import InvalidArgument

Read = Callable[[bytes], Any]


def reading(read: Read, max_bytes: int) -> Read:
    """Return what reads a message of an RPC and refuses bad bytes as any other bad input is refused.

    gRPC itself would read a message before anybody is asked who calls: 8 MB of empty submessages become 250 MB.

    Args:
        read: Makes a message of bytes; raises DecodeError.
        max_bytes: Size up to which it is read.
    """

    def checked(data: bytes) -> Any:
        if len(data) > max_bytes:
            raise InvalidArgument(
                f"the message has {len(data)} bytes, limit is {max_bytes}",
                reason="MESSAGE_TOO_LARGE",
                value=len(data),
                limit=max_bytes,
            )
        try:
            return read(data)
        except DecodeError:
            raise InvalidArgument("the bytes are no message of this RPC", reason="MESSAGE_MALFORMED") from None

    return checked


class Messages:
    """The messages of a caller's stream, each read when it is asked for.

    Not made of the iterator that gRPC hands over: that is a generator, which ends for good when somebody stops waiting
    for its next message, and which keeps the last one, and itself, until the cyclic collector comes by.

    Args:
        receive: Returns the bytes of the next message, or gRPC's EOF.
        read: Made by `reading`.
    """

    def __init__(self, receive: Callable[[], Awaitable[Any]], read: Read) -> None:
        self._receive = receive
        self._read = read
        self._is_over = False

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        """Return the next message.

        Raises:
            InvalidArgument: MESSAGE_TOO_LARGE; MESSAGE_MALFORMED.
        """
        data: Any = EOF if self._is_over else await self._receive()
        if data is EOF:
            self._is_over = True
            raise StopAsyncIteration
        return self._read(data)

    async def pass_one(self) -> None:
        """Wait for a message, or for the end, and leave it unread."""
        await self._receive()
