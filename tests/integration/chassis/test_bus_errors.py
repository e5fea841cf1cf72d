"""What is logged of a NATS that is away."""

import asyncio

import pytest

from services.chassis.bus import Bus
from services.chassis.bus.rare_errors import RareErrors
from tests.conftest import NatsServer


async def test_errors_of_each_attempt_are_logged_once(
    bus: Bus, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kinds: list[type[Exception]] = []
    thrice = asyncio.Event()
    original = RareErrors.heard

    def heard(self: RareErrors, error: Exception) -> None:
        original(self, error)
        kinds.append(type(error))
        if kinds.count(kinds[-1]) == 3:
            thrice.set()

    monkeypatch.setattr(RareErrors, "heard", heard)
    nats_server.kill()
    async with asyncio.timeout(60):
        await thrice.wait()
    lines = [record for record in caplog.records if record.message == "bus_error"]
    assert len(lines) == len(set(kinds))
