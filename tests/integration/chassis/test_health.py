"""The command that containers' health checks run, against real servers."""

import asyncio
import contextlib
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from services.chassis import health
from services.chassis.server import Server


async def test_process_that_serves_is_healthy_and_one_that_does_not_is_told() -> None:
    server = Server("127.0.0.1:0", {})
    await server.start()
    address = f"127.0.0.1:{server.port}"
    try:
        assert await health.fault_of(address) == "NOT_SERVING"
        await server.set_serving(True)
        assert await health.fault_of(address) is None
        command = [sys.executable, "-m", "services.chassis.health", address]
        process = await asyncio.create_subprocess_exec(*command)
        assert await process.wait() == 0
    finally:
        await server.drain(0)
    fault = await health.fault_of(address)
    assert fault is not None
    assert "connect" in fault.lower()


@contextlib.contextmanager
def answering(status: int) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/readyz"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "fault"), [(200, None), (204, "status 204"), (503, "status 503")])
def test_door_is_asked_by_http(status: int, fault: str | None) -> None:
    with answering(status) as url:
        assert health.http_fault_of(url) == fault


def test_fault_is_one_line_and_status_1() -> None:
    command = [sys.executable, "-m", "services.chassis.health"]
    done = subprocess.run([*command, "http://127.0.0.1:1/readyz"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "http://127.0.0.1:1/readyz: <urlopen error [Errno 111] Connection refused>",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "give one address: host:port, or http://host:port/path\n")
