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

import httpx
import pytest
from grpc_health.v1 import health_pb2

from museed.retriever.v1 import (
    profiles_pb2,
    profiles_pb2_grpc,
    reference_pb2,
    reference_pb2_grpc,
    retriever_pb2,
    retriever_pb2_grpc,
)
from services.chassis import vectors
from services.chassis.bus import Bus
from services.chassis.channel import connect
from services.chassis.errors import DomainError, Unauthenticated, Unavailable
from tests.conftest import NatsServer, free_port
from tests.integration.retriever.conftest import ENCODER_ID, Log, Social, health_of, unit

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
        async with asyncio.timeout(60):
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
        _, text = await asyncio.wait_for(self.process.communicate(), 60)
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
            "RETRIEVER_BLOB_STORE_URL": f"file://{tmp_path}/blobs",
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
    await log.put_profile("user-1", {"t0": 1.0})
    await process.start()
    await process.until_serving()
    hits = await process.stub.Search(retriever_pb2.SearchRequest(track_id="t0", k=5), timeout=30)
    build = retriever_pb2.BuildPlaylistRequest(
        seeds=[retriever_pb2.Seed(track_id="t0")], length=5, arrangement=retriever_pb2.ARRANGEMENT_SIMILARITY
    )
    with pytest.raises(Unauthenticated):
        await process.stub.BuildPlaylist(build, timeout=30)
    metadata = (("authorization", f"Bearer {social.accounts.signer.job_token()}"),)
    playlist = await process.stub.BuildPlaylist(build, timeout=30, metadata=metadata)
    assert [track.track_id for track in playlist.tracks] == [hit.track_id for hit in hits.hits]

    taste = profiles_pb2.RecommendTracksRequest(profile_id="user-1", limit=5, include_known=True)
    profiles = profiles_pb2_grpc.ProfileServiceStub(process.channel)
    async with asyncio.timeout(60):
        while True:  # health does not wait for profiles
            with contextlib.suppress(Unavailable):
                recommended = await profiles.RecommendTracks(taste, timeout=30, metadata=metadata)
                break
            await asyncio.sleep(0.05)
    assert [hit.track_id for hit in recommended.hits] == ["t0", *(hit.track_id for hit in hits.hits[:4])]
    reference = reference_pb2.MatchReferenceRequest(windows=vectors.encode(unit(0)), k=3)
    matched = await reference_pb2_grpc.ReferenceServiceStub(process.channel).MatchReference(
        reference, timeout=30, metadata=metadata
    )
    assert [match.track_id for match in matched.matches] == [hit.track_id for hit in recommended.hits[:3]]
    assert matched.without_windows_count == 10

    status, lines = await process.end(signal.SIGTERM)
    assert status == 0
    assert event(lines, "log_caught_up")["entry_count"] == 10
    assert event(lines, "snapshot_saved")["sequence"] == 10
    assert lines[-1]["event"] == "stopped"
    # Closing the connection to NATS is told like losing it. Where the first question to social takes longer than its
    # 2 s, as on busy cores, that is told as well, and when it is over.
    warned = [line["event"] for line in lines if line["level"] in ("WARNING", "ERROR")]
    assert set(warned) <= {"bus_disconnected", "encoders_stale"}
    assert warned.count("encoders_stale") == sum(line["event"] == "encoders_fresh" for line in lines)

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
        retriever_pb2.SearchRequest(track_id="t0", k=5, exclude_track_ids=["t10"]), timeout=60
    )
    assert list(again.hits) == list(hits.hits)
    status, lines = await process.end(signal.SIGTERM)
    assert status == 0
    assert event(lines, "snapshot_corrupt")["path"] == str(newest)
    assert event(lines, "log_caught_up")["entry_count"] == 11


async def test_sigterm_while_it_waits_for_the_log_ends_it_too(process: Process, nats_server: NatsServer) -> None:
    nats_server.kill()
    await process.start()
    async with asyncio.timeout(60):
        while (health := await process.health()) is None:
            await asyncio.sleep(0.05)
    assert health == health_pb2.HealthCheckResponse.NOT_SERVING
    status, _ = await process.end(signal.SIGTERM)
    assert status == 0


async def test_metrics_tell_of_the_log_and_a_second_process_stays_out_of_the_folder(
    process: Process, log: Log, tmp_path: Path
) -> None:
    for number in range(3):
        await log.put(f"t{number}", number)
    await log.put_raw("noise", b"\xff\xff\xff")
    metrics = f"127.0.0.1:{free_port()}"
    process._environment |= {"RETRIEVER_METRICS_LISTEN": metrics}
    await process.start()
    await process.until_serving()
    async with httpx.AsyncClient() as http:
        text = (await http.get(f"http://{metrics}/metrics")).text
    label = f'{{encoder_id="{ENCODER_ID}"'
    for line in (
        f"museed_retriever_caught_up{label}}} 1.0",
        f"museed_retriever_serving{label}}} 1.0",
        f"museed_retriever_log_pending_messages{label}}} 0.0",
        f"museed_retriever_log_applied_sequence{label}}} 4.0",
        f"museed_retriever_log_silent_seconds{label}}} ",
        f"museed_retriever_snapshot_failures_total{label}}} 0.0",
        f"museed_retriever_merge_failures_total{label}}} 0.0",
        f'museed_retriever_refused_messages_total{label},reason="MALFORMED"}} 1.0',
    ):
        assert line in text

    first = process.process
    elsewhere = {"RETRIEVER_LISTEN": f"127.0.0.1:{free_port()}", "RETRIEVER_METRICS_LISTEN": ""}
    process._environment |= elsewhere
    await process.start()
    assert process.process is not None
    _, said = await asyncio.wait_for(process.process.communicate(), 60)
    assert process.process.returncode == 1
    assert said.decode().splitlines()[-1] == (
        f"{tmp_path}/snapshots is used by another process: each needs a folder of its own"
    )
    process.process = first
    status, lines = await process.end(signal.SIGTERM)
    assert status == 0
    assert event(lines, "snapshot_saved")["sequence"] == 4


async def test_all_bad_settings_are_told_at_once(process: Process) -> None:
    process._environment |= {"RETRIEVER_ENCODER_ID": "a.b", "RETRIEVER_SOCIAL_ADDRESS": ""}
    await process.start()
    assert process.process is not None
    _, text = await asyncio.wait_for(process.process.communicate(), 60)
    assert process.process.returncode == 1
    assert "RETRIEVER_ENCODER_ID:" in text.decode()
    assert "RETRIEVER_SOCIAL_ADDRESS:" in text.decode()
