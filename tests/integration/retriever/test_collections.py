"""Two encoders at once: each index holds its own vectors alone, and the other is served from one moment to the next."""

import asyncio
from pathlib import Path

import pytest

from museed.retriever.v1 import retriever_pb2
from museed.social.v1 import events_pb2
from services.chassis import vectors
from services.chassis.bus import VECTORS, Bus, vector_subject
from services.chassis.errors import FailedPrecondition, Unavailable
from services.retriever.clients import Kept
from tests.conftest import NatsServer
from tests.integration.retriever.conftest import ENCODER_ID, Log, Retriever, running_retriever, unit

OTHER_ID = "other-fedcba9876543210"
OTHER_DIMENSION = 8


async def put_other(log: Log, track_id: str, sound: int) -> int:
    message = events_pb2.TrackVector(
        track_id=track_id,
        encoder_id=OTHER_ID,
        version=1,
        vector=vectors.encode(unit(sound, OTHER_DIMENSION)),
        title=f"other {track_id}",
    )
    return (await log.put_raw(track_id, message.SerializeToString(), OTHER_ID)).sequence


async def hits(retriever: Retriever, encoder_id: str = "", track_id: str = "a") -> tuple[str, dict[str, float]]:
    request = retriever_pb2.SearchRequest(track_id=track_id, encoder_id=encoder_id)
    answer = await retriever.stub.Search(request, timeout=30)
    return answer.encoder_id, {hit.track_id: round(hit.similarity, 5) for hit in answer.hits}


def cosine(left: int, right: int, dimension: int) -> float:
    return round(float(unit(left, dimension) @ unit(right, dimension)), 5)


async def until_held(retriever: Retriever, bus: Bus, track_count: int = 2, dimension: int = OTHER_DIMENSION) -> None:
    """Wait until the other encoder's index has read its log to the end, as social does before it serves it."""
    info = await bus.jetstream.stream_info(VECTORS)
    assert info.created is not None
    point = retriever_pb2.ReadPoint(sequence=info.state.last_seq)
    point.stream_created_at.FromDatetime(info.created)
    request = retriever_pb2.DescribeIndexRequest(encoder_id=OTHER_ID, min_read_point=point)
    async with asyncio.timeout(60):
        while True:
            try:
                answer = await retriever.stub.DescribeIndex(request, timeout=30)
            except (FailedPrecondition, Unavailable):
                await asyncio.sleep(0.05)
            else:
                break
    assert (answer.encoder_id, answer.track_count, answer.dimension) == (OTHER_ID, track_count, dimension)


async def test_second_index_is_built_beside_the_first_and_takes_its_place(
    retriever: Retriever, log: Log, bus: Bus
) -> None:
    for number, track_id in enumerate("abc"):
        await log.put(track_id, number)
    await retriever.until(lambda: retriever.live.position is not None and retriever.live.position.sequence == 3)
    mine = (ENCODER_ID, {"b": cosine(0, 1, 16), "c": cosine(0, 2, 16)})
    assert await hits(retriever) == mine
    with pytest.raises(FailedPrecondition) as refused:
        await hits(retriever, OTHER_ID)
    assert (refused.value.reason, refused.value.limit) == ("ENCODER_MISMATCH", ENCODER_ID)

    await put_other(log, "a", 10)
    await put_other(log, "b", 11)
    retriever.kept = Kept(ENCODER_ID, (OTHER_ID,))
    await until_held(retriever, bus)
    theirs = (OTHER_ID, {"b": cosine(10, 11, OTHER_DIMENSION)})
    assert await hits(retriever) == mine
    assert await hits(retriever, OTHER_ID) == theirs

    retriever.kept = Kept(OTHER_ID, (ENCODER_ID,))
    async with asyncio.timeout(60):
        while (found := await hits(retriever)) == mine:
            await asyncio.sleep(0.02)
    assert found == theirs
    assert await hits(retriever, ENCODER_ID) == mine
    assert retriever.readiness[-1] is True

    other = retriever.collections.of(OTHER_ID)
    retriever.kept = Kept(OTHER_ID)
    async with asyncio.timeout(60):
        while retriever.collections._found.keys() != {OTHER_ID}:
            await asyncio.sleep(0.02)
    with pytest.raises(FailedPrecondition):
        await hits(retriever, ENCODER_ID)
    assert retriever.collections.of("") is other


async def test_index_that_is_served_before_it_is_read_refuses_and_says_so(
    retriever: Retriever, log: Log, nats_server: NatsServer
) -> None:
    await log.put("a", 0)
    await retriever.until(lambda: retriever.live.position is not None and retriever.live.position.sequence == 1)
    nats_server.kill()
    retriever.kept = Kept(OTHER_ID)
    async with asyncio.timeout(60):
        while retriever.collections.serving != OTHER_ID:
            await asyncio.sleep(0.02)
    with pytest.raises(Unavailable) as refused:
        await hits(retriever)
    assert refused.value.reason == "INDEX_LOADING"
    assert retriever.readiness[-1] is False


async def test_index_that_was_dropped_begins_from_its_snapshot_when_it_returns(
    nats_server: NatsServer, bus: Bus, log: Log, tmp_path: Path
) -> None:
    async with running_retriever(nats_server, tmp_path) as running:
        running.kept = Kept(ENCODER_ID, (OTHER_ID,))
        await put_other(log, "a", 10)
        await put_other(log, "b", 11)
        await until_held(running, bus)
        running.kept = Kept(ENCODER_ID)
        async with asyncio.timeout(60):
            while not list((tmp_path / OTHER_ID).glob("*.snapshot")):
                await asyncio.sleep(0.02)
        await bus.jetstream.purge_stream(VECTORS, subject=vector_subject(OTHER_ID, ">"))
        running.kept = Kept(ENCODER_ID, (OTHER_ID,))
        await until_held(running, bus)
        assert await hits(running, OTHER_ID) == (OTHER_ID, {"b": cosine(10, 11, OTHER_DIMENSION)})
