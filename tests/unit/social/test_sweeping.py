"""Sweeps of parts run beside the service's own; one that fails keeps no other from its turn."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import cast

import pytest

from services.social.errors import DatabaseUnavailable
from services.social.store.database import Connection, Database
from services.social.workers.sweeping import Sweep, Sweeper

NOW = datetime(2026, 5, 4, tzinfo=UTC)


class Away:
    """A database that cannot be reached."""

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        raise DatabaseUnavailable("away")
        yield


DATABASE = cast(Database, Away())


async def test_failing_sweep_keeps_no_other_from_its_turn(caplog: pytest.LogCaptureFixture) -> None:
    given: list[tuple[Database, datetime]] = []
    swept = asyncio.Event()

    async def sweep(database: Database, now: datetime) -> None:
        given.append((database, now))
        swept.set()

    with caplog.at_level(logging.WARNING):
        task = asyncio.create_task(Sweeper(DATABASE, lambda: NOW, [Sweep("reports", sweep)]).run())
        async with asyncio.timeout(60):
            await swept.wait()
        task.cancel()
        await asyncio.wait({task})
    assert given == [(DATABASE, NOW)]
    failed = {getattr(record, "step", "") for record in caplog.records if record.message == "step_failed"}
    assert failed == {"sweep_idempotency_keys", "sweep_sessions"}


async def test_one_sweep_tells_its_refusal() -> None:
    with pytest.raises(DatabaseUnavailable):
        await Sweeper(DATABASE, lambda: NOW).sweep()
