"""Streams and dead letters over HTTP: counts, pages, another try; for admins."""

from datetime import UTC, datetime

import pytest

from museed.social.v1 import work_pb2
from services.chassis.errors import Unavailable
from tests.fakes.upstreams import make_track, timestamp
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAMS = """{ streams { name messageCount sizeBytes createdAt
  consumers { name waitingCount inHandCount repeatedCount } } }"""
LETTERS = """query($first: Int!, $after: String) { deadLetters(first: $first, after: $after) {
  pageInfo { hasNextPage endCursor }
  nodes { letterId stream attemptCount code reason message setAsideAt trackId encoderId requestId payloadBytes
    track { title } } } }"""
REPLAY = """mutation($input: ReplayDeadLettersInput!) { replayDeadLetters(input: $input) { __typename
  ... on ReplayDeadLettersSuccess { letters { letterId outcome reason message } }
  ... on UserError { code message field value limit } } }"""


def letter(number: int, track_id: str = "") -> work_pb2.DeadLetter:
    return work_pb2.DeadLetter(
        letter_id=f"{number}.event-{number}",
        stream="EMBED_WORK",
        subject="museed.social.v1.embed_track.fake-1",
        attempt_count=5,
        code="INTERNAL",
        reason="ENCODING_FAILED",
        message="the model failed on this audio",
        set_aside_at=timestamp(datetime(2026, 1, 2, tzinfo=UTC)),
        track_id=track_id,
        encoder_id="fake-1",
        request_id="request-1",
        payload_bytes=120,
    )


async def test_admin_sees_every_stream_with_who_works_it_off(gateway: Gateway) -> None:
    gateway.social.streams = [
        work_pb2.Stream(
            name="EMBED_WORK",
            message_count=3,
            size_bytes=5_000_000_000,
            created_at=timestamp(datetime(2026, 1, 2, tzinfo=UTC)),
            consumers=[work_pb2.StreamConsumer(name="embedder-1", waiting_count=1, in_hand_count=2, repeated_count=1)],
        ),
        work_pb2.Stream(name="VECTORS"),
    ]
    consumer = {"name": "embedder-1", "waitingCount": 1, "inHandCount": 2, "repeatedCount": 1}
    assert await gateway.data(STREAMS, headers=gateway.bearer(role="admin")) == {
        "streams": [
            {
                "name": "EMBED_WORK",
                "messageCount": 3,
                "sizeBytes": 5_000_000_000,
                "createdAt": "2026-01-02T00:00:00+00:00",
                "consumers": [consumer],
            },
            {"name": "VECTORS", "messageCount": 0, "sizeBytes": 0, "createdAt": None, "consumers": []},
        ]
    }


async def test_letters_come_in_pages_with_their_tracks(gateway: Gateway) -> None:
    track = make_track("Broken")
    gateway.social.tracks[track.track_id] = track
    gateway.social.letters = [letter(3, track.track_id), letter(2), letter(1)]
    admin = gateway.bearer(role="admin")
    first = (await gateway.data(LETTERS, {"first": 2}, admin))["deadLetters"]
    assert first["nodes"][0] == {
        "letterId": "3.event-3",
        "stream": "EMBED_WORK",
        "attemptCount": 5,
        "code": "INTERNAL",
        "reason": "ENCODING_FAILED",
        "message": "the model failed on this audio",
        "setAsideAt": "2026-01-02T00:00:00+00:00",
        "trackId": track.track_id,
        "encoderId": "fake-1",
        "requestId": "request-1",
        "payloadBytes": 120,
        "track": {"title": "Broken"},
    }
    assert (first["nodes"][1]["trackId"], first["nodes"][1]["track"]) == (None, None)
    assert first["pageInfo"]["hasNextPage"] is True
    after = first["pageInfo"]["endCursor"]
    second = (await gateway.data(LETTERS, {"first": 2, "after": after}, admin))["deadLetters"]
    assert [node["letterId"] for node in second["nodes"]] == ["1.event-1"]
    assert second["pageInfo"]["hasNextPage"] is False


async def test_replay_tells_what_became_of_each_letter(gateway: Gateway) -> None:
    gateway.social.letters = [letter(1)]
    variables = {"input": {"letterIds": ["1.event-1", "9.none"]}}
    found = (await gateway.data(REPLAY, variables, gateway.bearer(role="admin")))["replayDeadLetters"]
    assert found["letters"] == [
        {"letterId": "1.event-1", "outcome": "SENT", "reason": None, "message": None},
        {"letterId": "9.none", "outcome": "GONE", "reason": None, "message": None},
    ]


async def test_too_many_letters_are_refused_here(gateway: Gateway) -> None:
    variables = {"input": {"letterIds": ["1.x"] * 101}}
    found = (await gateway.data(REPLAY, variables, gateway.bearer(role="admin")))["replayDeadLetters"]
    assert found == {
        "__typename": "InvalidInputError",
        "code": "TOO_MANY_LETTERS",
        "message": "101 letters, the limit is 100",
        "field": "letterIds",
        "value": "101",
        "limit": "100",
    }
    assert gateway.social.calls["ReplayDeadLetters"] == 0


async def test_nats_that_is_away_is_told(gateway: Gateway) -> None:
    gateway.social.faults["ReplayDeadLetters"] = Unavailable("NATS cannot be reached now", reason="BUS_UNAVAILABLE")
    found = await gateway.data(REPLAY, {"input": {"letterIds": ["1.x"]}}, gateway.bearer(role="admin"))
    assert found["replayDeadLetters"]["__typename"] == "UnavailableError"
    assert found["replayDeadLetters"]["code"] == "BUS_UNAVAILABLE"


async def test_work_is_for_admins(gateway: Gateway) -> None:
    for document, variables in ((STREAMS, {}), (LETTERS, {"first": 2})):
        body = await gateway.run(document, variables, gateway.bearer())
        assert body["errors"][0]["extensions"]["code"] == "PERMISSION_DENIED"
    (found,) = (await gateway.data(REPLAY, {"input": {"letterIds": ["1.x"]}}, gateway.bearer())).values()
    assert found["code"] == "PERMISSION_DENIED"
    assert gateway.behind.spent() == {}
