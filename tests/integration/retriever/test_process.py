"""The whole process: settings from the environment, health, SIGTERM, snapshot, restart, kill -9."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2

from museed.retriever.v1 import retriever_pb2, retriever_pb2_grpc
from services.chassis.bus import Bus
from services.chassis.channel import connect
from services.chassis.errors import DomainError, Unauthenticated
from tests.conftest import NatsServer, free_port
from tests.integration.retriever.conftest import ENCODER_ID, Log, Social, health_of

ROOT = Path(__file__).parents[3]


class Process:
    """`python -m services.retriever` and what it logs."""

    def __init__(self, environment: dict[str, str], address: str) -> None:
        self._environment = environment
        self.channel = connect(address)
        self.stub = retriever_pb2_grpc.RetrieverServiceStub(self.channel)
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.retriever",
            cwd=ROOT,
            env=os.environ | self._environment,
            stderr=asyncio.subprocess.PIPE,
        )

    async def until_serving(self) -> None:
        async with asyncio.timeout(30):
            while await self.health() != health_pb2.HealthCheckResponse.SERVING:
                await asyncio.sleep(0.05)

    async def health(self) -> int | None:
        """What it says of itself, None while it does not listen."""
        with contextlib.suppress(DomainError):
            return await health_of(self.channel)
        return None

    async def end(self, number: signal.Signals) -> tuple[int, list[dict[str, Any]]]:
        """Send a signal, and return exit status and log lines."""
        assert self.process is not None
        self.process.send_signal(number)
        _, text = await asyncio.wait_for(self.process.communicate(), 20)
        assert self.process.returncode is not None
        return self.process.returncode, [json.loads(line) for line in text.decode().splitlines()]


@pytest.fixture
async def process(nats_server: NatsServer, bus: Bus, social: Social, tmp_path: Path) -> AsyncIterator[Process]:
    nats = nats_server.settings("retriever")
    address = f"127.0.0.1:{free_port()}"
    found = Process(
        {
            "RETRIEVER_LISTEN": address,
            "RETRIEVER_SOCIAL_ADDRESS": social.address,
            "RETRIEVER_ENCODER_ID": ENCODER_ID,
            "RETRIEVER_SNAPSHOT_FOLDER": str(tmp_path / "snapshots"),
            "NATS_URL": nats.url,
            "NATS_USER": nats.user,
            "NATS_PASSWORD": nats.password,
        },
        address,
    )
    yield found
    await found.channel.close()
    if found.process is not None and found.process.returncode is None:
        found.process.kill()
        await found.process.communicate()


def event(lines: list[dict[str, Any]], name: str) -> dict[str, Any]:
    found = [line for line in lines if line["event"] == name]
    assert found, f"{name} is not among {[line['event'] for line in lines]}"
    return found[0]


async def test_a_life_with_sigterm_and_kill(process: Process, log: Log, social: Social, tmp_path: Path) -> None:
    for number in range(10):
        await log.put(f"t{number}", number)
    await process.start()
    await process.until_serving()
    hits = await process.stub.Search(retriever_pb2.SearchRequest(track_id="t0", k=5), timeout=5)
    build = retriever_pb2.BuildPlaylistRequest(seeds=[retriever_pb2.Seed(track_id="t0")], length=5)
    with pytest.raises(Unauthenticated):
        await process.stub.BuildPlaylist(build, timeout=5)
    metadata = (("authorization", f"Bearer {social.accounts.signer.job_token()}"),)
    playlist = await process.stub.BuildPlaylist(build, timeout=5, metadata=metadata)
    assert [track.track_id for track in playlist.tracks] == [hit.track_id for hit in hits.hits]

    status, lines = await process.end(signal.SIGTERM)
    assert status == 0
    assert event(lines, "log_caught_up")["entry_count"] == 10
    assert event(lines, "snapshot_saved")["sequence"] == 10
    assert lines[-1]["event"] == "stopped"
    # Closing the connection to NATS is told like losing it.
    assert {line["event"] for line in lines if line["level"] in ("WARNING", "ERROR")} <= {"bus_disconnected"}

    await log.put("t10", 10)
    await process.start()
    await process.until_serving()
    status, lines = await process.end(signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert event(lines, "snapshot_restored")["track_count"] == 10
    assert event(lines, "log_caught_up")["entry_count"] == 1

    newest = max((tmp_path / "snapshots" / ENCODER_ID).glob("*.snapshot"))
    newest.write_bytes(newest.read_bytes()[:-1])
    await process.start()
    await process.until_serving()
    again = await process.stub.Search(
        retriever_pb2.SearchRequest(track_id="t0", k=5, exclude_track_ids=["t10"]), timeout=5
    )
    assert list(again.hits) == list(hits.hits)
    status, lines = await process.end(signal.SIGTERM)
    assert status == 0
    assert event(lines, "snapshot_corrupt")["path"] == str(newest)
    assert event(lines, "log_caught_up")["entry_count"] == 11


async def test_sigterm_while_it_waits_for_the_log_ends_it_too(process: Process, nats_server: NatsServer) -> None:
    nats_server.kill()
    await process.start()
    async with asyncio.timeout(30):
        while (health := await process.health()) is None:
            await asyncio.sleep(0.05)
    assert health == health_pb2.HealthCheckResponse.NOT_SERVING
    status, _ = await process.end(signal.SIGTERM)
    assert status == 0


async def test_all_bad_settings_are_told_at_once(process: Process) -> None:
    process._environment |= {"RETRIEVER_ENCODER_ID": "a.b", "RETRIEVER_SOCIAL_ADDRESS": ""}
    await process.start()
    assert process.process is not None
    _, text = await asyncio.wait_for(process.process.communicate(), 20)
    assert process.process.returncode == 1
    assert "RETRIEVER_ENCODER_ID:" in text.decode()
    assert "RETRIEVER_SOCIAL_ADDRESS:" in text.decode()
