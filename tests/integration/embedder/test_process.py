"""The embedder as a process: `python -m services.embedder` with the real MusiCNN, its start, its end, its children."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from grpc_health.v1 import health_pb2

from museed.embedder.v1 import embedder_pb2, embedder_pb2_grpc, events_pb2
from museed.social.v1.events_pb2 import EmbedTrack
from services.chassis.bus import EMBED_WORK, EMBEDDER_EVENTS, Bus, embed_track_subject
from services.chassis.channel import connect
from services.chassis.errors import DomainError
from services.embedder import mulan_folder
from services.embedder.artifact import open_artifact
from services.embedder.choice import MINI_FOLDER
from tests.conftest import NatsServer, free_port
from tests.fakes.mulan import save_tiny_mulan, strip_towers
from tests.fakes.spans import collector
from tests.integration.embedder import audio_files

START_TIMEOUT_S = 60


class EmbedderProcess:
    """A started embedder."""

    def __init__(self, folder: Path, nats_server: NatsServer) -> None:
        self.port = free_port()
        self.log = folder / "log"
        bus = nats_server.settings("embedder")
        self.environment = {
            "EMBEDDER_LISTEN": f"127.0.0.1:{self.port}",
            "EMBEDDER_SOCIAL_ADDRESS": f"127.0.0.1:{free_port()}",
            "EMBEDDER_ENCODER": "auto",
            "EMBEDDER_ARTIFACT_FOLDER": str(folder / "artifacts"),
            "EMBEDDER_WANTED_WAIT_S": "0",  # there is no social
            "EMBEDDER_BLOB_STORE_URL": f"file://{folder / 'blobs'}",
            "EMBEDDER_BULK_FILES": "1",
            "EMBEDDER_INTERACTIVE_FILES": "1",
            "EMBEDDER_LIBRARY_MIN_SECONDS": "10",
            "NATS_URL": bus.url,
            "NATS_USER": bus.user,
            "NATS_PASSWORD": bus.password,
            "HF_HUB_CACHE": str(folder / "no-hub"),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "subprocess.Popen[bytes]":
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.embedder"],
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": os.environ.get("PYTHONPATH", ""),  # of a checkout that is not the installed one
                    **self.environment,
                },
                stdout=log,
                stderr=log,
            )
        return self.process

    async def serving(self) -> embedder_pb2.DescribeModelResponse:
        """Wait until health says SERVING, and return what is served."""
        async with connect(f"127.0.0.1:{self.port}") as channel, asyncio.timeout(START_TIMEOUT_S):
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            while True:
                assert self.process is not None
                assert self.process.poll() is None, self.log.read_text()
                try:
                    answer = await check(health_pb2.HealthCheckRequest(), timeout=30)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        break
                except DomainError:
                    pass
                await asyncio.sleep(0.05)
            stub = embedder_pb2_grpc.EmbedderServiceStub(channel)
            return await stub.DescribeModel(embedder_pb2.DescribeModelRequest(), timeout=30)

    def children(self) -> list[psutil.Process]:
        assert self.process is not None
        return psutil.Process(self.process.pid).children()


@pytest.fixture
def embedder(tmp_path: Path, nats_server: NatsServer) -> Iterator[EmbedderProcess]:
    started = EmbedderProcess(tmp_path, nats_server)
    yield started
    if started.process is not None:
        started.process.kill()
        started.process.wait(60)


async def test_serves_the_offline_default_takes_work_and_ends_cleanly(
    embedder: EmbedderProcess, bus: Bus, tmp_path: Path
) -> None:
    process = embedder.start()
    model = await embedder.serving()
    assert model.encoder_id == open_artifact(MINI_FOLDER).manifest.encoder_id
    assert (model.dimension, model.sample_rate_hz, len(model.tag_names)) == (400, 24_000, 61)
    assert (model.device, model.runtime, model.license) == ("cpu", "onnxruntime", "Apache-2.0")
    # Without instructions for products of 8 bits a processor is no quicker in them.
    assert model.precision in ("int8", "fp32")
    assert 9e6 < model.parameters < 9.5e6
    assert model.memory_bytes < 4.1 * model.parameters

    audio_files.write(tmp_path / "a.ogg", audio_files.music(12))
    work = EmbedTrack(
        track_id="track-1",
        encoder_id=model.encoder_id,
        audio_hash=b"\1" * 32,
        root_location=str(tmp_path),
        relative_path=b"a.ogg",
    )
    await bus.publish(embed_track_subject(model.encoder_id), work.SerializeToString(), "work-1")
    subscription = await bus.jetstream.subscribe(
        "museed.embedder.v1.track_embedded", stream=EMBEDDER_EVENTS, ordered_consumer=True
    )
    message = await subscription.next_msg(timeout=30)
    event = events_pb2.TrackEmbedded.FromString(message.data)
    assert (event.track_id, event.embedding.window_count, len(event.embedding.vector)) == (
        "track-1",
        1,
        4 * model.dimension,
    )
    await subscription.unsubscribe()

    children = embedder.children()
    assert sorted(child.nice() - os.nice(0) for child in children) == [0, 10]  # callers, and the library
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0, embedder.log.read_text()
    assert not any(child.is_running() for child in children)
    log = embedder.log.read_text()
    assert '"event": "stopped"' in log
    assert "Traceback" not in log


async def test_killed_process_takes_its_children_along(embedder: EmbedderProcess) -> None:
    process = embedder.start()
    await embedder.serving()
    children = embedder.children()
    for child in children:
        child.suspend()  # as one that is busy: it cannot notice by itself
    process.kill()
    process.wait(60)
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []


def stopped_with(embedder: EmbedderProcess) -> str:
    process = embedder.start()
    assert process.wait(START_TIMEOUT_S) == 1
    return embedder.log.read_text()


def test_all_bad_settings_are_told_at_once(embedder: EmbedderProcess) -> None:
    del embedder.environment["EMBEDDER_SOCIAL_ADDRESS"]
    embedder.environment["EMBEDDER_BLOB_STORE_URL"] = "ftp://nowhere"
    embedder.environment["EMBEDDER_MAX_BATCH_SECONDS"] = "0"
    text = stopped_with(embedder)
    for name in ("EMBEDDER_SOCIAL_ADDRESS", "EMBEDDER_BLOB_STORE_URL", "EMBEDDER_MAX_BATCH_SECONDS"):
        assert name in text
    assert "Traceback" not in text


def test_unknown_encoder_is_told(embedder: EmbedderProcess) -> None:
    embedder.environment["EMBEDDER_ENCODER"] = "no-such-thing"
    text = stopped_with(embedder)
    names = "auto, museed-mini, musicnn-msd, musicnn-mtt"
    assert f"ENCODER_UNAVAILABLE: no encoder 'no-such-thing': set EMBEDDER_ENCODER to {names}, a model folder" in text


def test_precision_that_moves_vectors_too_far_is_told(embedder: EmbedderProcess) -> None:
    embedder.environment |= {"EMBEDDER_ENCODER": "musicnn-msd", "EMBEDDER_PRECISION": "int8-dynamic"}
    text = stopped_with(embedder)
    assert "PRECISION_REFUSED: EMBEDDER_PRECISION is int8-dynamic: musicnn-msd then has a cosine of 0.9" in text
    assert "Traceback" not in text


def test_unknown_precision_and_runtime_are_told(embedder: EmbedderProcess) -> None:
    embedder.environment |= {"EMBEDDER_PRECISION": "int4", "EMBEDDER_RUNTIME": "jax"}
    text = stopped_with(embedder)
    assert "EMBEDDER_PRECISION" in text
    assert "EMBEDDER_RUNTIME" in text


def test_damaged_artifact_is_told(embedder: EmbedderProcess, tmp_path: Path) -> None:
    folder = tmp_path / "own-model"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    (folder / "weights.safetensors").write_bytes(b"")
    embedder.environment["EMBEDDER_ENCODER"] = str(folder)
    assert "ARTIFACT_INVALID" in stopped_with(embedder)


@pytest.mark.long
async def test_text_model_is_loaded_beside_the_encoder(embedder: EmbedderProcess, tmp_path: Path) -> None:
    folder = tmp_path / "mulan"
    folder.mkdir()
    save_tiny_mulan(folder)
    strip_towers(folder)
    embedder.environment["EMBEDDER_MULAN"] = str(folder)
    process = embedder.start()
    model = await embedder.serving()
    assert model.encoder_id == open_artifact(MINI_FOLDER).manifest.encoder_id
    assert model.text_encoder_id == mulan_folder.find(str(folder)).describe().encoder_id
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0, embedder.log.read_text()
    log = embedder.log.read_text()
    assert '"event": "text_model_loaded"' in log
    assert "Traceback" not in log


def test_missing_text_model_is_told_with_its_setting(embedder: EmbedderProcess, tmp_path: Path) -> None:
    embedder.environment["EMBEDDER_MULAN"] = str(tmp_path / "none")
    text = stopped_with(embedder)
    assert (
        f"EMBEDDER_MULAN: ARTIFACT_MISSING: {tmp_path / 'none' / 'config.json'} is missing: put config.json of" in text
    )
    assert "Traceback" not in text


async def test_work_of_a_killed_process_is_done_once_by_the_next(
    embedder: EmbedderProcess, bus: Bus, tmp_path: Path
) -> None:
    embedder.environment["EMBEDDER_WORK_ACK_WAIT_S"] = "1"
    process = embedder.start()
    model = await embedder.serving()
    for number in range(4):
        audio_files.write(tmp_path / f"{number}.flac", audio_files.music(40, seed=number))
        work = EmbedTrack(
            track_id=f"track-{number}",
            encoder_id=model.encoder_id,
            audio_hash=bytes([number]) * 32,
            root_location=str(tmp_path),
            relative_path=b"%d.flac" % number,
        )
        await bus.publish(embed_track_subject(model.encoder_id), work.SerializeToString(), f"work-{number}")
    durable = f"embedder-{model.encoder_id}"
    async with asyncio.timeout(60):
        while not (await bus.jetstream.consumer_info(EMBED_WORK, durable)).num_ack_pending:
            await asyncio.sleep(0.005)
    children = embedder.children()
    process.kill()
    process.wait(60)
    _, alive = psutil.wait_procs(children, timeout=60)
    assert (len(children), alive) == (2, [])
    left = (await bus.jetstream.stream_info(EMBED_WORK)).state.messages
    assert left > 0

    embedder.start()
    await embedder.serving()
    async with asyncio.timeout(60):
        while (await bus.jetstream.stream_info(EMBED_WORK)).state.messages:
            await asyncio.sleep(0.05)
    info = await bus.jetstream.stream_info(EMBEDDER_EVENTS)
    told = []
    for sequence in range(1, info.state.last_seq + 1):
        message = await bus.jetstream.get_msg(EMBEDDER_EVENTS, sequence)
        told.append(events_pb2.TrackEmbedded.FromString(message.data or b"").track_id)
    assert sorted(told) == [f"track-{number}" for number in range(4)]
    assert len(embedder.children()) == 2


async def test_process_tells_of_its_work_by_metrics_and_spans(
    embedder: EmbedderProcess, bus: Bus, tmp_path: Path
) -> None:
    metrics, otlp = (f"127.0.0.1:{free_port()}" for _ in range(2))
    embedder.environment |= {"EMBEDDER_METRICS_LISTEN": metrics, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{otlp}"}
    async with collector(otlp) as served, httpx.AsyncClient() as http:
        process = embedder.start()
        model = await embedder.serving()
        audio_files.write(tmp_path / "a.ogg", audio_files.music(12))
        (tmp_path / "b.ogg").write_text("no sound")
        for name in ("a", "b"):
            work = EmbedTrack(
                encoder_id=model.encoder_id, root_location=str(tmp_path), relative_path=b"%s.ogg" % name.encode()
            )
            await bus.publish(embed_track_subject(model.encoder_id), work.SerializeToString(), f"work-{name}")
        async with asyncio.timeout(60):
            while (await bus.jetstream.stream_info(EMBED_WORK)).state.messages:
                await asyncio.sleep(0.05)
        text = (await http.get(f"http://{metrics}/metrics")).text
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 60) == 0, embedder.log.read_text()
    for line in (
        'museed_bus_handled_total{outcome="acked",stream="EMBED_WORK"} 2.0',
        'museed_bus_published_total{outcome="stored",stream="EMBEDDER_EVENTS"} 2.0',
        "museed_embedder_decoder_starts_total 2.0",
        "museed_embedder_decode_seconds_count 2.0",
        'code="OK",method="/museed.embedder.v1.EmbedderService/DescribeModel",reason=""} 1.0',
        "museed_event_loop_lag_seconds_count",
    ):
        assert line in text
    assert f'encoder_id="{model.encoder_id}"' in text
    names = served.spans["embedder"]
    assert names.count("process EMBED_WORK") == 2
    assert "museed.embedder.v1.EmbedderService/DescribeModel" in names
    log = embedder.log.read_text()
    assert '"trace_id"' in log
    assert "Traceback" not in log


def test_taken_metrics_port_is_named(embedder: EmbedderProcess) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        embedder.environment["EMBEDDER_METRICS_LISTEN"] = listen
        text = stopped_with(embedder)
    assert f"EMBEDDER_METRICS_LISTEN: cannot serve metrics on {listen}" in text
    assert "Traceback" not in text
