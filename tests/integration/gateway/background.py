"""A gateway in a thread with a loop of its own, for tests that hypothesis drives and that cannot await."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.integration.gateway.conftest import Gateway, serving_gateway

T = TypeVar("T")


class Background:
    """The gateway, how to call it, and how to run something in its loop."""

    def __init__(self, gateway: Gateway, loop: asyncio.AbstractEventLoop) -> None:
        self.gateway = gateway
        self.http = httpx.Client(base_url=gateway.url, timeout=120)
        self._loop = loop

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something where the gateway runs."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)


@contextmanager
def background_gateway(folder: Path, **changes: Any) -> Iterator[Background]:
    """Serve a gateway until the context ends."""
    found: list[Background] = []
    started, ended = threading.Event(), threading.Event()
    fault: list[BaseException] = []

    async def serve() -> None:
        async with serving_gateway(folder, **changes) as gateway:
            found.append(Background(gateway, asyncio.get_running_loop()))
            started.set()
            await asyncio.to_thread(ended.wait)

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # told to the test
            fault.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="gateway")
    thread.start()
    try:
        assert started.wait(60)
        if fault:
            raise fault[0]
        yield found[0]
    finally:
        ended.set()
        if found:
            found[0].http.close()
        thread.join(60)
    if fault:
        raise fault[0]
