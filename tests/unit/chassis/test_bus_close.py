"""The end of a connection whose server has gone already."""

import pytest

from services.chassis.bus import Bus
from services.chassis.telemetry.metrics import BusMetrics


class GoneClient:
    """A client whose server died first."""

    _reconnection_task = None
    _transport = None

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.was_closed = False

    def jetstream(self, timeout: float) -> None: ...

    async def close(self) -> None:
        self.was_closed = True
        raise self._error


@pytest.mark.parametrize(
    "error",
    [ConnectionResetError("gone"), RuntimeError("unable to perform operation on <TCPTransport closed=True>")],
    ids=["socket", "uvloop"],
)
async def test_close_is_quiet_where_the_server_died_first(error: Exception) -> None:
    client = GoneClient(error)
    await Bus(client, BusMetrics()).close()  # type: ignore[arg-type]  # all that is asked of it here
    assert client.was_closed
