"""The door of the metrics: readers that say nothing, however many."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from prometheus_client import CollectorRegistry, Gauge

from services.chassis.telemetry import door
from services.chassis.telemetry.door import EXCHANGE_S, MAX_CONNECTIONS, Door
from services.chassis.telemetry.prometheus import new_registry


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def opened() -> Iterator[Callable[[Clock], Door]]:
    doors: list[Door] = []

    def opening(clock: Clock) -> Door:
        doors.append(Door("127.0.0.1:0", "TEST_METRICS_LISTEN", new_registry(), clock))
        return doors[-1]

    yield opening
    for one in doors:
        one.close()


def connected(address: str, said: bytes = b"GET /met") -> socket.socket:
    host, _, port = address.rpartition(":")
    found = socket.create_connection((host, int(port)), timeout=30)
    found.sendall(said)
    return found


def is_read(address: str) -> bool:
    return "process_open_fds" in httpx.get(f"http://{address}/metrics", timeout=30).raise_for_status().text


def end_of(connection: socket.socket) -> bytes:
    """Return what comes until the other side closes."""
    found = b""
    try:
        while data := connection.recv(1000):
            found += data
    except ConnectionResetError:  # our words had not been read
        pass
    connection.close()
    return found


def test_silent_readers_cost_few_threads_and_nobody_their_answer(opened: Callable[[Clock], Door]) -> None:
    before = threading.active_count()
    address = opened(Clock()).address
    silent = []
    for _ in range(60):
        silent.append(connected(address))
        # A thread gives its place back before it is quite gone.
        assert threading.active_count() <= before + 1 + 2 * MAX_CONNECTIONS
    assert is_read(address)
    for one in silent[: 60 - MAX_CONNECTIONS]:
        assert b"200 OK" not in end_of(one)
    for one in silent[60 - MAX_CONNECTIONS :]:
        one.close()
    assert is_read(address)


def test_reader_that_dribbles_is_cut_when_its_time_is_over(opened: Callable[[Clock], Door]) -> None:
    clock = Clock()
    address = opened(clock).address
    early = connected(address)
    assert is_read(address)  # and so the other one is at work
    clock.now_s = EXCHANGE_S / 2
    late = connected(address)
    assert is_read(address)
    clock.now_s = EXCHANGE_S
    assert b"200 OK" not in end_of(early)
    late.sendall(b"rics HTTP/1.0\r\n\r\n")
    assert b"200 OK" in end_of(late)


def test_half_a_line_is_no_request(opened: Callable[[Clock], Door]) -> None:
    one = connected(opened(Clock()).address)
    one.shutdown(socket.SHUT_WR)
    assert end_of(one) == b""


def test_closing_cuts_who_still_says_nothing() -> None:
    one = Door("127.0.0.1:0", "TEST_METRICS_LISTEN", CollectorRegistry())
    silent = connected(one.address)
    httpx.get(f"http://{one.address}/metrics").raise_for_status()
    one.close()
    assert b"200 OK" not in end_of(silent)


def test_a_successor_serves_as_soon_as_the_address_is_left() -> None:
    one = Door("127.0.0.1:0", "TEST_METRICS_LISTEN", new_registry())
    with pytest.raises(SystemExit, match="TEST_METRICS_LISTEN: cannot serve metrics"):
        Door(one.address, "TEST_METRICS_LISTEN", CollectorRegistry())
    registry = CollectorRegistry()
    Gauge("successor", "Is served", registry=registry)
    two = Door(one.address, "TEST_METRICS_LISTEN", registry, waits=True)
    assert (two.address, is_read(one.address)) == (one.address, True)
    one.close()
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(httpx.ConnectError):
            assert "successor" in httpx.get(f"http://{two.address}/metrics", timeout=30).raise_for_status().text
            break
        assert time.monotonic() < deadline
    two.close()


def test_a_successor_that_never_served_is_closed() -> None:
    one = Door("127.0.0.1:0", "TEST_METRICS_LISTEN", new_registry())
    Door(one.address, "TEST_METRICS_LISTEN", CollectorRegistry(), waits=True).close()
    assert is_read(one.address)
    one.close()
    with pytest.raises(httpx.ConnectError):
        is_read(one.address)


def test_connection_is_closed_where_no_other_gives_way(
    opened: Callable[[Clock], Door], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "_cut", lambda connection: None)
    monkeypatch.setattr(door, "_GIVE_WAY_S", 0.01)
    address = opened(Clock()).address
    held = [connected(address) for _ in range(MAX_CONNECTIONS)]
    assert end_of(connected(address)) == b""
    for one in held:
        one.close()
