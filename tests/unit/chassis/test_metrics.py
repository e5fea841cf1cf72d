import asyncio
import socket
import subprocess
import sys
import time

import httpx
import pytest

from services.chassis.bus.streams import STREAMS, embed_track_subject, stream_of, vector_subject
from services.chassis.telemetry.metrics import Metrics, watch_lag


def read(metrics: Metrics) -> dict[str, float]:
    """Return samples by name and labels, as Prometheus reads them."""
    text = httpx.get(f"http://{metrics.address}/metrics").raise_for_status().text
    rows = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in rows}


def test_without_a_door_nothing_is_counted() -> None:
    metrics = Metrics.open("", "TEST_METRICS_LISTEN")
    metrics.rpc.began("/a/B")
    metrics.rpc.ended("/a/B", "OK", "", 0.1)
    metrics.bus.published("EMBED_WORK", "stored")
    metrics.loop.lagged(0.1)
    assert (metrics.registry, metrics.address) == (None, "")
    metrics.close()


def test_calls_and_messages_are_read_over_http() -> None:
    metrics = Metrics.open("127.0.0.1:0", "TEST_METRICS_LISTEN")
    try:
        metrics.rpc.began("/a/B")
        metrics.rpc.began("/a/B")
        metrics.rpc.ended("/a/B", "NOT_FOUND", "TRACK_NOT_FOUND", 0.2)
        metrics.bus.published("EMBED_WORK", "duplicate")
        metrics.bus.delivered("EMBED_WORK", is_repeated=False)
        metrics.bus.delivered("EMBED_WORK", is_repeated=True)
        metrics.bus.handled("EMBED_WORK", "dead_lettered", 3.0)
        metrics.loop.lagged(0.03)
        found = read(metrics)
    finally:
        metrics.close()
    refusal = '{code="NOT_FOUND",method="/a/B",reason="TRACK_NOT_FOUND"}'
    assert found[f"museed_rpc_handled_total{refusal}"] == 1
    assert found['museed_rpc_in_flight{method="/a/B"}'] == 1
    assert found['museed_rpc_duration_seconds_bucket{le="0.1",method="/a/B"}'] == 0
    assert found['museed_rpc_duration_seconds_bucket{le="0.25",method="/a/B"}'] == 1
    assert found['museed_bus_published_total{outcome="duplicate",stream="EMBED_WORK"}'] == 1
    assert found['museed_bus_deliveries_total{stream="EMBED_WORK"}'] == 2
    assert found['museed_bus_redeliveries_total{stream="EMBED_WORK"}'] == 1
    assert found['museed_bus_in_flight{stream="EMBED_WORK"}'] == 1
    assert found['museed_bus_handled_total{outcome="dead_lettered",stream="EMBED_WORK"}'] == 1
    assert found['museed_event_loop_lag_seconds_bucket{le="0.025"}'] == 0
    assert found['museed_event_loop_lag_seconds_bucket{le="0.05"}'] == 1
    assert found["process_resident_memory_bytes"] > 0


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "127.0.0.1:99999", "192.0.2.1:0"])
def test_address_that_cannot_be_had_is_named_with_its_setting(address: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = address.format(port=taken.getsockname()[1])
        with pytest.raises(SystemExit, match=rf"TEST_METRICS_LISTEN: cannot serve metrics on {listen}"):
            Metrics.open(listen, "TEST_METRICS_LISTEN")


def test_closed_door_lets_go_of_its_port() -> None:
    first = Metrics.open("127.0.0.1:0", "TEST_METRICS_LISTEN")
    first.close()
    again = Metrics.open(first.address, "TEST_METRICS_LISTEN")
    assert again.address == first.address
    again.close()


async def test_lag_is_what_the_loop_was_held_up_by() -> None:
    told: list[float] = []
    watching = asyncio.create_task(watch_lag(told.append, 0.001))
    await asyncio.sleep(0)
    time.sleep(0.05)  # noqa: ASYNC251  # as somebody who blocks the loop
    while not told:
        await asyncio.sleep(0)
    watching.cancel()
    assert told[0] >= 0.049


def test_every_subject_counts_for_its_stream() -> None:
    assert stream_of(embed_track_subject("museed-mini-0123")) == "EMBED_WORK"
    assert stream_of(vector_subject("museed-mini-0123", "track-1")) == "VECTORS"
    assert stream_of("museed.embedder.v1.track_embedding_failed") == "EMBEDDER_EVENTS"
    assert stream_of("museed.dead_letters.EMBED_WORK") == "DEAD_LETTERS"
    assert stream_of("museed.unknown") == "other"
    assert {stream_of(subject) for one in STREAMS.values() for subject in one.subjects or ()} == set(STREAMS)


def test_libraries_are_not_loaded_before_somebody_asks_for_them() -> None:
    """They cost a third of a second at the start of each process."""
    program = "import sys, services.embedder.clients, services.embedder.consumer; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "grpc" in loaded
    assert not loaded & {"opentelemetry", "prometheus_client"}
