"""What the embedder asks of social: one thin function per remote call, each with a timeout."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import TypeVar

import grpc.aio

from museed.social.v1 import accounts_pb2, accounts_pb2_grpc, work_pb2, work_pb2_grpc

T = TypeVar("T")

_ACCOUNTS = "/museed.social.v1.AccountService"
_TIMEOUT_S = 2.0

IDEMPOTENT = (
    f"{_ACCOUNTS}/GetJwks",
    f"{_ACCOUNTS}/ListRevokedSessions",
    "/museed.social.v1.WorkService/FilterWanted",
)


class Accounts:
    """Social's accounts, as far as tokens are concerned.

    What is fetched here serves every caller, so it carries neither token nor deadline of the request at hand.

    Args:
        channel: To social, made by `services.chassis.channel.connect` with IDEMPOTENT.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: accounts_pb2_grpc.AccountServiceAsyncStub = accounts_pb2_grpc.AccountServiceStub(channel)

    async def fetch_jwks(self) -> str:
        """Return the public keys of tokens as JSON text; raises DomainError when social is away."""

        async def call() -> str:
            return (await self._stub.GetJwks(accounts_pb2.GetJwksRequest(), timeout=_TIMEOUT_S)).jwks

        return await _as_nobody(call)

    async def fetch_revoked_sessions(self) -> Sequence[str]:
        """Return the sessions that ended within the life of an access token; raises DomainError when social is away."""

        async def call() -> Sequence[str]:
            request = accounts_pb2.ListRevokedSessionsRequest()
            return (await self._stub.ListRevokedSessions(request, timeout=_TIMEOUT_S)).session_ids

        return await _as_nobody(call)


class Work:
    """Social's table of what is to be embedded.

    Args:
        channel: To social.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: work_pb2_grpc.WorkServiceAsyncStub = work_pb2_grpc.WorkServiceStub(channel)

    async def is_wanted(self, work_id: str) -> bool:
        """Say whether somebody still waits for this piece of work; raises DomainError when social is away."""
        request = work_pb2.FilterWantedRequest(work_ids=[work_id])
        return work_id in (await self._stub.FilterWanted(request, timeout=_TIMEOUT_S)).work_ids


async def _as_nobody(call: Callable[[], Awaitable[T]]) -> T:
    async def run() -> T:
        return await call()

    return await asyncio.create_task(run(), context=Context())
