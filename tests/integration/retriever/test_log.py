"""The index follows the VECTORS log of a real NATS, whatever happens to either of them."""

import asyncio
import contextlib
import logging
import shutil
import time
from datetime import UTC
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2

from museed.retriever.v1 import retriever_pb2
from services.chassis import vectors
from services.chassis.bus import VECTORS, Bus, vector_subject
from services.chassis.errors import Unavailable
from services.retriever.clients import Kept
from tests.conftest import NatsServer
from tests.integration.retriever.conftest import ENCODER_ID, Log, Retriever, health_of, running_retriever, unit


async def search(retriever: Retriever, sound: int, **fields: object) -> list[str]:
    request = retriever_pb2.SearchRequest(vector=vectors.encode(unit(sound)))
    request.MergeFrom(retriever_pb2.SearchRequest(**fields))  # type: ignore[arg-type]  # any field of the message
    response = await retriever.stub.Search(request, timeout=30)
    return [hit.track_id for hit in response.hits]


async def describe(retriever: Retriever) -> retriever_pb2.DescribeIndexResponse:
    return await retriever.stub.DescribeIndex(retriever_pb2.DescribeIndexRequest(), timeout=30)


async def read_point(bus: Bus, sequence: int) -> retriever_pb2.ReadPoint:
    created_at = await bus.stream_created_at(VECTORS)
    assert created_at is not None
    point = retriever_pb2.ReadPoint(sequence=sequence)
    point.stream_created_at.FromDatetime(created_at.astimezone(UTC))
    return point


async def begin_anew(bus: Bus, nats_server: NatsServer) -> None:
    """Rob NATS of its store and provision the streams again."""
    nats_server.kill()
    shutil.rmtree(nats_server.store)
    nats_server.start()
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(Unavailable):
                await bus.ensure_streams()
                return
            await asyncio.sleep(0.05)


async def test_what_the_log_holds_is_replayed(
    bus: Bus, log: Log, nats_server: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for number in range(30):
        await log.put(f"t{number:02d}", number)
    await log.put_raw("t05", b"")
    await log.put("t06", 106, version=2)
    async with running_retriever(nats_server, tmp_path) as retriever:
        await retriever.until(lambda: retriever.live.is_caught_up)
        assert await retriever.ids() == {f"t{number:02d}" for number in range(30) if number != 5}
        assert (await search(retriever, 106))[0] == "t06"
        found = await describe(retriever)
        assert (found.encoder_id, found.dimension, found.track_count) == (ENCODER_ID, 16, 29)
        assert (found.kind, found.is_caught_up, found.refused_count) == ("flat", True, 0)
        assert found.applied == await read_point(bus, 32)
    assert replayed(caplog) == [30]  # compacted: one message a track is left


async def test_nothing_is_served_before_there_is_a_log_to_read(nats_server: NatsServer, tmp_path: Path) -> None:
    async with running_retriever(nats_server, tmp_path) as retriever:
        assert await health_of(retriever.channel) == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(Unavailable) as refused:
            await search(retriever, 1)
        assert (refused.value.reason, refused.value.retry_after_ms) == ("INDEX_LOADING", 500)
        found = await describe(retriever)
        assert (found.is_caught_up, found.HasField("applied"), found.dimension) == (False, False, 0)
        bus = await Bus.connect(nats_server.settings("social"), "social")
        await bus.ensure_streams()
        await retriever.until(lambda: retriever.live.is_caught_up)
        assert await search(retriever, 1) == []
        async with asyncio.timeout(60):
            while await health_of(retriever.channel) != health_pb2.HealthCheckResponse.SERVING:
                await asyncio.sleep(0.01)
        await bus.close()


def replayed(caplog: pytest.LogCaptureFixture) -> list[int]:
    """Return how many entries were read until the log was caught up, for each time that it was."""
    return [record.__dict__["entry_count"] for record in caplog.records if record.message == "log_caught_up"]


async def test_the_retriever_may_not_write_the_log(bus: Bus, log: Log, nats_server: NatsServer) -> None:
    await log.put("a", 1)
    ours = await Bus.connect(nats_server.settings("retriever"), "retriever")
    for subject in (vector_subject(ENCODER_ID, "a"), "$JS.API.STREAM.DELETE.VECTORS", "$JS.API.STREAM.PURGE.VECTORS"):
        await ours.client.publish(subject, b"")
    await ours.client.flush()
    await ours.close()
    state = (await bus.jetstream.stream_info(VECTORS)).state
    assert (state.last_seq, state.messages) == (1, 1)


async def test_an_added_track_is_found_soon_and_a_removed_one_is_not(bus: Bus, log: Log, retriever: Retriever) -> None:
    assert await search(retriever, 7) == []
    began = time.perf_counter()
    ack = await log.put("new", 7)
    published = time.perf_counter()
    assert await search(retriever, 7, min_read_point=await read_point(bus, ack.sequence)) == ["new"]
    done = time.perf_counter()
    print(f"publish {1e3 * (published - began):.1f} ms, then found after {1e3 * (done - published):.1f} ms")
    ack = await log.put_raw("new", b"")
    assert await search(retriever, 7, min_read_point=await read_point(bus, ack.sequence)) == []


async def test_a_changed_description_reaches_the_index(bus: Bus, log: Log, retriever: Retriever) -> None:
    await log.put("a", 1, genre="Rock")
    await log.put("a", 1, version=3, genre="Jazz")
    await log.put("a", 1, version=2, genre="Pop")
    await retriever.until(lambda: retriever.live.position is not None and retriever.live.position.sequence == 3)
    track = await retriever.live.run(lambda index: index.track("a"))
    assert track is not None
    assert (track.version, track.genre) == (3, "Jazz")


async def test_malformed_messages_are_counted_named_and_passed_over(
    bus: Bus, log: Log, retriever: Retriever, caplog: pytest.LogCaptureFixture
) -> None:
    await log.put("good", 1)
    await log.put_raw("noise", b"\xff\xff\xff")
    await log.put("short", 2, vector=b"1234")
    await log.put("foreign", 3, encoder_id="enc-fedcba9876543210")
    ack = await log.put("also-good", 4)
    found = await search(retriever, 1, min_read_point=await read_point(bus, ack.sequence))
    assert sorted(found) == ["also-good", "good"]
    assert (await describe(retriever)).refused_count == 3
    named = [record.__dict__["sequence"] for record in caplog.records if record.message == "vector_refused"]
    assert named == [2, 3, 4]


async def test_vectors_of_another_encoder_on_the_same_stream_are_not_mixed_in(
    bus: Bus, log: Log, retriever: Retriever
) -> None:
    await log.put("mine", 1)
    ack = await log.put_raw("theirs", b"whatever", encoder_id="enc-fedcba9876543210")
    # The position moves past what is not ours, so that a read point there is reached too.
    assert await search(retriever, 1, min_read_point=await read_point(bus, ack.sequence)) == ["mine"]
    assert (await describe(retriever)).refused_count == 0


async def test_a_read_point_that_is_not_reached_is_refused_within_the_deadline(
    bus: Bus, log: Log, retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    ack = await log.put("a", 1)
    request = retriever_pb2.SearchRequest(track_id="a", min_read_point=await read_point(bus, ack.sequence + 1))
    # Of the caller's time all but a moment is kept for the answer: else the caller would hear DEADLINE_EXCEEDED.
    monkeypatch.setattr("services.retriever.servicer.waiting._ANSWER_S", 59.5)
    with pytest.raises(Unavailable) as refused:
        await retriever.stub.Search(request, timeout=60)
    assert (refused.value.reason, refused.value.field, refused.value.retry_after_ms) == (
        "INDEX_BEHIND",
        "min_read_point",
        500,
    )


async def test_a_log_that_began_anew_is_read_from_its_beginning(
    bus: Bus, log: Log, nats_server: NatsServer, retriever: Retriever
) -> None:
    for number in range(5):
        await log.put(f"old{number}", number)
    await retriever.until(lambda: retriever.live.position is not None and retriever.live.position.sequence == 5)
    await begin_anew(bus, nats_server)
    ack = await log.put("new", 1)
    # A point of the new log is waited for, although the index stands at a higher one of the old log.
    found = await search(retriever, 1, min_read_point=await read_point(bus, ack.sequence))
    assert found == ["new"]
    assert await retriever.ids() == {"new"}
    assert retriever.readiness in ([True], [True, False, True])


async def test_a_lost_log_is_not_served_before_social_has_filled_the_new_one(
    bus: Bus, log: Log, nats_server: NatsServer, retriever: Retriever
) -> None:
    retriever.kept = Kept(ENCODER_ID, log_created_at=await bus.stream_created_at(VECTORS))
    await log.put("a", 1)
    await log.put("b", 2)
    await retriever.until(lambda: retriever.live.position is not None and retriever.live.position.sequence == 2)
    await begin_anew(bus, nats_server)
    await retriever.until(lambda: not retriever.live.is_caught_up)
    again = await bus.stream_created_at(VECTORS)
    retriever.kept = Kept(ENCODER_ID, log_created_at=again, is_log_filling=True)
    await log.put("a", 1)
    await retriever.until(lambda: retriever.live.position is not None and retriever.live.position.sequence == 1)
    with pytest.raises(Unavailable) as refused:
        await search(retriever, 1)
    assert refused.value.reason == "INDEX_LOADING"
    assert await health_of(retriever.channel) == health_pb2.HealthCheckResponse.NOT_SERVING
    await log.put("b", 2)
    retriever.kept = Kept(ENCODER_ID, log_created_at=again)
    await retriever.until(lambda: retriever.live.is_caught_up)
    assert sorted(await search(retriever, 1)) == ["a", "b"]
    assert retriever.readiness == [True, False, True]


async def test_a_restart_reads_only_what_came_after_the_snapshot(
    bus: Bus, log: Log, nats_server: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for number in range(20):
        await log.put(f"t{number:02d}", number)
    async with running_retriever(nats_server, tmp_path) as retriever:
        await retriever.until(lambda: retriever.live.is_caught_up)
    await log.put("t20", 20)
    await log.put_raw("t03", b"")
    await log.put("t04", 104, version=2)
    async with running_retriever(nats_server, tmp_path) as retriever:
        await retriever.until(lambda: retriever.live.is_caught_up)
        assert await retriever.ids() == {f"t{number:02d}" for number in range(21) if number != 3}
        assert (await search(retriever, 104))[0] == "t04"
        hits_before = await search(retriever, 1, k=10)
    assert replayed(caplog) == [20, 3]
    async with running_retriever(nats_server, tmp_path) as retriever:
        await retriever.until(lambda: retriever.live.is_caught_up)
        assert await search(retriever, 1, k=10) == hits_before
    assert replayed(caplog) == [20, 3, 0]


async def test_a_snapshot_of_a_lost_log_is_not_served(
    bus: Bus, log: Log, nats_server: NatsServer, tmp_path: Path
) -> None:
    for number in range(5):
        await log.put(f"old{number}", number)
    async with running_retriever(nats_server, tmp_path) as retriever:
        await retriever.until(lambda: retriever.live.is_caught_up)
    await begin_anew(bus, nats_server)
    for number in range(8):  # past the snapshot's sequence
        await log.put(f"new{number}", number)
    async with running_retriever(nats_server, tmp_path) as retriever:
        await retriever.until(lambda: retriever.live.is_caught_up)
        assert await retriever.ids() == {f"new{number}" for number in range(8)}


async def test_the_index_stays_while_nats_is_away_and_goes_on_afterwards(
    bus: Bus, log: Log, nats_server: NatsServer, retriever: Retriever
) -> None:
    await log.put("before", 1)
    await retriever.until(lambda: retriever.live.position is not None and retriever.live.position.sequence == 1)
    nats_server.kill()
    assert await search(retriever, 1) == ["before"]
    nats_server.start()
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(Unavailable):
                ack = await log.put("after", 2)
                break
    found = await search(retriever, 2, min_read_point=await read_point(bus, ack.sequence))
    assert found == ["after", "before"]
    assert retriever.readiness == [True]
