"""How fast are 20 ranges of audio at once, beside a plain file of the same ASGI server?

Both servers are processes of their own with uvicorn as the gateway has it: one is the gateway over a stand-in for
social, the other Starlette's FileResponse without any door. They are asked in turn over 20 connections each, and the
figures are ratios of the same run.

Usage: python -m benchmarks.gateway_.ranges [--seconds 3] [--rounds 5]
"""

import argparse
import asyncio
import hashlib
import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from museed.social.v1 import catalog_pb2
from services.gateway.signing import StreamSigner
from tests.conftest import free_port
from tests.fakes.tokens import TokenSigner
from tests.fakes.upstreams import new_id, upstreams

CONNECTIONS = 20
FILE_BYTES = 24 * 1024 * 1024
RANGES = (64 * 1024, 1024 * 1024)
GOAL = 0.8
_KEY = "k" * 32
_START_S = 60


async def measure(seconds: float, rounds: int) -> list[tuple[str, str, str]]:
    """Return rows of a table: what, figures, and what they should be."""
    with tempfile.TemporaryDirectory(prefix="museed-bench-") as name:
        folder = Path(name)
        data = secrets.token_bytes(FILE_BYTES)
        await asyncio.to_thread((folder / "song.ogg").write_bytes, data)
        async with _gateway(folder, data) as ours, _plain(folder) as plain:
            rows = []
            for length in RANGES:
                ratios, per_core = [], []
                for _ in range(rounds):
                    before = await _rate(plain, length, seconds / 2)
                    found = await _rate(ours, length, seconds)
                    after = await _rate(plain, length, seconds / 2)
                    ratios.append(2 * found.per_s / (before.per_s + after.per_s))
                    per_core.append(2 * found.per_core_s / (before.per_core_s + after.per_core_s))
                what = f"{CONNECTIONS} ranges of {length // 1024} KiB at once"
                rows.append((what, _told(ratios), f"≥ {GOAL} ×"))
                rows.append(("  by the server's own core-seconds", _told(per_core), ""))
            return rows


def _told(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} × ({min(ratios):.2f} to {max(ratios):.2f})"


class Served(NamedTuple):
    """A file that a process serves."""

    port: int
    path: str
    process: psutil.Process


class Rate(NamedTuple):
    """MiB by the clock, and by what the server itself computed."""

    per_s: float
    per_core_s: float


@asynccontextmanager
async def _gateway(folder: Path, data: bytes) -> AsyncIterator[Served]:
    """Run a gateway; the path is a signed address."""
    port, track_id = free_port(), new_id()
    async with upstreams(TokenSigner()) as behind:
        behind.social.media[track_id] = catalog_pb2.GetTrackMediaResponse(
            root_location=str(folder), relative_path=b"song.ogg", file_hash=hashlib.sha256(data).digest(),
            size_bytes=len(data), content_type="audio/ogg",
        )  # fmt: skip
        environment = {
            "GATEWAY_LISTEN": f"127.0.0.1:{port}",
            "GATEWAY_SOCIAL_ADDRESS": behind.social_address,
            "GATEWAY_RETRIEVER_ADDRESS": behind.retriever_address,
            "GATEWAY_BLOB_STORE_URL": f"file://{folder}/blobs",
            "GATEWAY_TRANSCODE_FOLDER": f"{folder}/transcodes",
            "GATEWAY_URL_SIGNING_KEY": _KEY,
            "GATEWAY_ROUTE_CAPACITY": str(10**12),
            "GATEWAY_LOG_LEVEL": "WARNING",
            "NATS_URL": "nats://127.0.0.1:9",  # nobody listens there
        }
        query = StreamSigner(_KEY.encode(), 900).query(track_id, guest_nonce="bench")
        async with _process(["-m", "services.gateway"], environment, port) as process:
            yield Served(port, f"/tracks/{track_id}/stream?{query}", process)


@asynccontextmanager
async def _plain(folder: Path) -> AsyncIterator[Served]:
    port = free_port()
    arguments = ["-m", "benchmarks.gateway_.ranges", "--serve", str(folder / "song.ogg"), str(port)]
    async with _process(arguments, {}, port) as process:
        yield Served(port, "/", process)


@asynccontextmanager
async def _process(arguments: list[str], environment: dict[str, str], port: int) -> AsyncIterator[psutil.Process]:
    process = await asyncio.to_thread(
        subprocess.Popen, [sys.executable, *arguments], env=os.environ | environment, stderr=subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(_START_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                    continue
                writer.close()
                break
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, _START_S)


async def _rate(served: Served, length: int, seconds: float) -> Rate:
    """Ask over all connections at once."""
    began, worked = time.monotonic(), _core_s(served.process)
    received = await asyncio.gather(*(_ask(served, length, began + seconds, one) for one in range(CONNECTIONS)))
    mib = sum(received) / 2**20
    return Rate(mib / (time.monotonic() - began), mib / (_core_s(served.process) - worked))


def _core_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


async def _ask(served: Served, length: int, until: float, seed: int) -> int:
    """Ask for ranges one after the other; returns the bytes that came."""
    chosen = random.Random(seed)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=2 * max(RANGES))
    received = 0
    while time.monotonic() < until:
        first = chosen.randrange(FILE_BYTES - length)
        head = f"GET {served.path} HTTP/1.1\r\nHost: x\r\nRange: bytes={first}-{first + length - 1}\r\n\r\n"
        writer.write(head.encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 206"):
            raise SystemExit(f"a range was refused: {answer[:200]!r}")
        await reader.readexactly(length)
        received += length
    writer.close()
    return received


def _serve(file: str, port: int) -> None:
    """Serve a plain file as uvicorn does it for the gateway."""

    async def send(request: Request) -> Response:
        return FileResponse(file)

    server = uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=[Route("/", send)]),
            port=port,
            http="httptools",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
        )
    )
    uvloop.run(server.serve())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", nargs=2, metavar=("FILE", "PORT"))
    chosen = parser.parse_args()
    if chosen.serve:
        _serve(chosen.serve[0], int(chosen.serve[1]))
        return
    for what, figure, goal in uvloop.run(measure(chosen.seconds, chosen.rounds)):
        print(f"{what:<34}{figure:<44}{goal}")


if __name__ == "__main__":
    main()
