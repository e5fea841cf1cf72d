"""A gRPC channel whose certificate is renewed: calls that begin afterwards go over a new one, those in flight end.

gRPC's own credentials of a channel are bytes that it keeps as long as it lives, in Python without a way to change them.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from services.chassis.tls import Identity, Pem

# Longer than any call of the mesh may take.
_LONGEST_CALL_S = 600.0


class RenewedChannel(grpc.aio.Channel):
    """Stands for the newest of several channels.

    Args:
        identity: Who this process is; asked at each call.
        open_with: Opens a channel with a certificate.
    """

    def __init__(self, identity: Identity, open_with: Callable[[Pem], grpc.aio.Channel]) -> None:
        self._identity = identity
        self._open_with = open_with
        self._pem = identity.pem()
        self._newest = open_with(self._pem)
        self._retiring: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def newest(self) -> grpc.aio.Channel:
        """Return the channel for what begins now."""
        found = self._identity.pem()
        if found is not self._pem and not self._is_closed:
            retired, self._pem, self._newest = self._newest, found, self._open_with(found)
            closing = asyncio.get_running_loop().create_task(retired.close(_LONGEST_CALL_S))
            self._retiring.add(closing)
            closing.add_done_callback(self._retiring.discard)
        return self._newest

    async def __aenter__(self) -> "RenewedChannel":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Close all of them; calls in flight have the grace."""
        self._is_closed = True
        for closing in tuple(self._retiring):
            closing.cancel()
        await self._newest.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Return the state of the newest."""
        return self.newest().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until the newest has another state."""
        await self.newest().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until the newest is connected."""
        await self.newest().channel_ready()

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """Return what makes calls of this kind."""
        return _Callable(self, "unary_unary", args, kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """Return what makes calls of this kind."""
        return _Callable(self, "unary_stream", args, kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """Return what makes calls of this kind."""
        return _Callable(self, "stream_unary", args, kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """Return what makes calls of this kind."""
        return _Callable(self, "stream_stream", args, kwargs)


class _Callable:
    """One RPC of the newest channel: what grpc makes of it is kept as long as that is the newest."""

    def __init__(self, channel: RenewedChannel, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._channel = channel
        self._kind, self._args, self._kwargs = kind, args, kwargs
        self._made_by: grpc.aio.Channel | None = None
        self._call: Any = None  # one of grpc's multi-callables

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        newest = self._channel.newest()
        if newest is not self._made_by:
            self._made_by, self._call = newest, getattr(newest, self._kind)(*self._args, **self._kwargs)
        return self._call(*args, **kwargs)
