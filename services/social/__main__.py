"""Wires the social service and serves it: `python -m services.social` migrates the database first."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass

from services.chassis import server
from services.chassis.bus import BusSettings
from services.chassis.settings import load
from services.chassis.telemetry import Metrics, configure_logging, told
from services.chassis.tls import Identity, TlsSettings, open_identity
from services.chassis.tokens import Revocations, TokenVerifier
from services.social.domain.tokens import TokenIssuer
from services.social.migrate import migrate, read_migrations
from services.social.servicer.access import ACCESS
from services.social.servicer.accounts import REVOCATION_MEMORY
from services.social.settings import SocialSettings
from services.social.store import accounts
from services.social.wiring import PARTS, Tools
from services.social.wiring.registering import register
from services.social.wiring.tools import opened
from services.social.workers.background import raise_if_cancelled
from services.social.workers.sweeping import Sweeper


@dataclass(frozen=True, slots=True)
class Running:
    """The service while it serves. `background` ends only by a fault of the program."""

    server: server.Server
    background: "asyncio.Task[None]"


@contextlib.asynccontextmanager
async def running(
    settings: SocialSettings,
    bus_settings: BusSettings,
    process_metrics: Metrics | None = None,
    identity: Identity | None = None,
) -> AsyncIterator[Running]:
    """Migrate the database and serve inside of an `async with`; drains at its end. NATS may come later.

    Args:
        settings: Of this service.
        bus_settings: Where NATS is.
        process_metrics: Of this process; None counts nothing.
        identity: Who this process is; None speaks without TLS.

    Yields:
        The server, which says SERVING.
    """
    metrics = process_metrics or Metrics()
    await migrate(settings.database_url.get_secret_value(), read_migrations())
    async with contextlib.AsyncExitStack() as stack:
        tools = await stack.enter_async_context(opened(settings, bus_settings, metrics, identity))
        revocations = _revocations(tools)
        verifier = TokenVerifier(_own_keys(tools.issuer), revocations)
        grpc_server = server.Server(settings.listen, ACCESS, verifier, metrics=metrics.rpc, identity=identity)
        parts = [wire(tools) for wire in PARTS]
        for part in parts:
            tools.job_kinds.update(part.job_kinds)
        register(grpc_server.grpc, [servicer for part in parts for servicer in part.servicers])
        sweeps = [sweep for part in parts for sweep in part.sweeps]
        background = asyncio.create_task(
            _together(
                *(loop() for part in parts for loop in part.loops),
                revocations.run(),
                Sweeper(tools.background, tools.clock, sweeps).run(),
                metrics.watch_loop(),
            )
        )
        stack.push_async_callback(_ended, background)
        await grpc_server.start()
        stack.push_async_callback(grpc_server.drain)
        await grpc_server.set_serving(True)
        yield Running(grpc_server, background)


def _own_keys(issuer: TokenIssuer) -> Callable[[], Awaitable[str]]:
    async def fetch() -> str:
        return issuer.jwks

    return fetch


def _revocations(tools: Tools) -> Revocations:
    async def fetch() -> list[str]:
        async with tools.background.connection() as connection:
            ended = await accounts.revoked_sessions(connection, tools.clock() - REVOCATION_MEMORY)
        raise_if_cancelled()
        return list(ended)

    return Revocations(fetch)


async def _together(*parts: Coroutine[None, None, None]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for part in parts:
            tasks.create_task(part)


async def _ended(background: "asyncio.Task[None]") -> None:
    background.cancel()
    await asyncio.wait({background})


async def main() -> None:
    """Serve until SIGTERM or SIGINT; a fault in the background ends the process, whose supervisor starts it anew."""
    settings = load(SocialSettings)
    identity = open_identity(load(TlsSettings))
    configure_logging("social", settings.log_level)
    async with (
        told("social", settings.metrics_listen, "SOCIAL_METRICS_LISTEN", identity) as metrics,
        running(settings, load(BusSettings), metrics, identity) as service,
    ):
        server.settle_heap()
        signalled = asyncio.create_task(server.wait_for_signal())
        await asyncio.wait({signalled, service.background}, return_when=asyncio.FIRST_COMPLETED)
        signalled.cancel()
        if service.background.done():
            service.background.result()


if __name__ == "__main__":
    server.run(main)
