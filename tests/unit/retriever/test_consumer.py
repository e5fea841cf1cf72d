"""What a message of the log does to the index; the log itself is in the integration tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from museed.social.v1 import catalog_pb2, events_pb2
from services.chassis import vectors
from services.chassis.bus import LogBatch, LogEntry, LogPosition, vector_subject
from services.chassis.errors import InvalidArgument
from services.chassis.telemetry import tracing
from services.retriever.consumer import LogConsumer, apply_entry
from services.retriever.filters import Interval, TrackFilter
from services.retriever.index import track_records
from services.retriever.index.index import TrackIndex
from services.retriever.live.live import LiveIndex
from services.retriever.tracks import Track
from tests.fakes.spans import is_child, recorded_spans

VECTOR = np.array([0.6, 0.8, 0], np.float32)


def message(track_id: str = "a", **changes: Any) -> LogEntry:
    fields: dict[str, Any] = {
        "track_id": track_id,
        "encoder_id": "enc",
        "version": 3,
        "vector": vectors.encode(VECTOR),
        "title": "Song",
        "artist": "Band",
        "album": "Album",
        "folder": "k/p",
        "genre": "Rock",
        "year": 1999,
        "duration_seconds": 200.5,
        "audio_hash": b"h" * 32,
        "tags": ["loud", "fast"],
    } | changes
    payload = events_pb2.TrackVector(**fields).SerializeToString()
    return LogEntry(vector_subject("enc", track_id), 1, payload)


def test_a_message_is_indexed_with_all_that_it_says() -> None:
    index = TrackIndex("enc")
    assert apply_entry(index, message())
    assert index.track("a") == Track(
        "a", 3, "Song", "Band", "Album", "k/p", "Rock", 1999, 200.5, b"h" * 32, ("loud", "fast")
    )
    assert index.vector("a") == pytest.approx(VECTOR)


def test_a_changed_genre_reaches_the_index() -> None:
    index = TrackIndex("enc")
    apply_entry(index, message())
    assert apply_entry(index, message(version=4, genre="Jazz"))
    track = index.track("a")
    assert track is not None
    assert track.genre == "Jazz"


def test_an_empty_body_removes_the_track() -> None:
    index = TrackIndex("enc")
    apply_entry(index, message())
    tombstone = LogEntry(vector_subject("enc", "a"), 2, b"")
    assert apply_entry(index, tombstone) is True
    assert apply_entry(index, tombstone) is False
    assert len(index) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder_id": "other"},
        {"track_id": "b"},
        {"vector": b""},
        {"vector": vectors.encode(VECTOR)[:-1]},
        {"vector": vectors.encode(np.array([np.nan, 0, 1], np.float32))},
        {"vector": vectors.encode(np.array([0, 0, 0], np.float32))},
        {"vector": vectors.encode(2 * VECTOR)},
        {"vector": vectors.encode(np.array([1, 0], np.float32))},
        {"audio_hash": b"short"},
        {"duration_seconds": float("nan")},
        {"duration_seconds": -1.0},
        {"vector": vectors.encode(np.full(3, np.finfo(np.float32).max))},
        {"tags": ["loud"] * 101},
        {"tags": ["x" * 5001]},
        {"title": "x" * 5001},
        {"folder": "x" * 5001},
    ],
)
def test_a_malformed_message_is_refused_and_changes_nothing(changes: dict[str, Any]) -> None:
    index = TrackIndex("enc")
    apply_entry(index, message(version=1))
    before = index.track("a")
    refused = message(version=2, **{key: value for key, value in changes.items() if key != "track_id"})
    if "track_id" in changes:
        refused = LogEntry(vector_subject("enc", "a"), 2, message("b", version=2).payload)
    with pytest.raises(InvalidArgument):
        apply_entry(index, refused)
    assert index.track("a") == before
    assert len(index) == 1
    assert index.vector("a") == pytest.approx(VECTOR)


def test_a_vector_of_hostile_length_does_not_decide_the_dimension() -> None:
    index = TrackIndex("enc")
    vector = np.zeros(16_385, np.float32)
    vector[0] = 1
    with pytest.raises(InvalidArgument, match="dimensions of vector is 16385, 1 to 16384 is allowed"):
        apply_entry(index, message(vector=vectors.encode(vector)))
    assert apply_entry(index, message())
    assert index.dimension == 3


def test_an_id_that_no_request_could_name_is_refused() -> None:
    index = TrackIndex("enc")
    assert apply_entry(index, message("a" * 100))
    with pytest.raises(InvalidArgument, match="length of track_id is 101, 1 to 100 is allowed"):
        apply_entry(index, message("a" * 101))


TEXT = st.text(max_size=12)
VECTORS = st.one_of(st.binary(max_size=24), st.integers(0, 2).map(lambda axis: vectors.encode(np.eye(3)[axis])))
NUMBERS = st.floats(width=32)
ENTRIES = st.builds(
    lambda track_id, payload: LogEntry(vector_subject("enc", track_id), 1, payload),
    st.sampled_from("abc"),
    st.one_of(
        st.binary(max_size=40),
        st.builds(
            events_pb2.TrackVector,
            track_id=st.sampled_from("abc"),
            encoder_id=st.sampled_from(["enc", "enc", "enc", "other"]),
            version=st.integers(-(2**63), 2**63 - 1),
            vector=VECTORS,
            title=TEXT,
            artist=TEXT,
            folder=TEXT,
            genre=TEXT,
            year=st.integers(-(2**31), 2**31 - 1),
            duration_seconds=NUMBERS,
            tags=st.lists(TEXT, max_size=3),
            descriptors=st.builds(catalog_pb2.Descriptors, tempo_bpm=NUMBERS, energy=NUMBERS, key=TEXT),
        ).map(lambda found: found.SerializeToString()),
    ),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(ENTRIES, max_size=5))
def test_whatever_a_message_says_it_is_indexed_or_refused(entries: list[LogEntry]) -> None:
    index = TrackIndex("enc")
    for entry in entries:
        with contextlib.suppress(InvalidArgument):
            apply_entry(index, entry)
    for track in index.tracks:
        assert np.linalg.norm(index.vector(track.track_id)) == pytest.approx(1)
        assert track_records.decode(track_records.encode(track)) == track
    index.labels_where(TrackFilter(genres=frozenset({"x"}), year=Interval(0, 9)))


@pytest.fixture
async def live() -> AsyncIterator[LiveIndex]:
    found = LiveIndex(TrackIndex("enc"))
    yield found
    found.close()


BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def batch(*entries: LogEntry, is_reset: bool = False, is_caught_up: bool = True, pending: int = 0) -> LogBatch:
    position = LogPosition(BEGUN, entries[-1].sequence if entries else 0)
    return LogBatch(position, list(entries), is_reset, is_caught_up, pending)


async def test_what_is_news_is_applied_in_the_trace_that_caused_it(live: LiveIndex) -> None:
    async def on_ready(is_ready: bool) -> None: ...

    consumer = LogConsumer(live, on_ready)
    consumer.expect(None, is_filling=False)
    with recorded_spans() as spans:
        with tracing.span("cause"):
            cause = tracing.parent_header()

        def entry(number: int, traceparent: str) -> LogEntry:
            payload = message(f"t{number}").payload
            return LogEntry(vector_subject("enc", f"t{number}"), number, payload, traceparent)

        # A log that is read from its beginning, one that is not read to its end, what is news, what tells no trace.
        await consumer._take(batch(entry(1, cause), is_reset=True, is_caught_up=False))
        await consumer._take(batch(entry(2, cause)))
        await consumer._take(batch(entry(3, cause), entry(4, "")))
        await consumer._take(batch(entry(5, cause), is_reset=True))
    applied = [span for span in spans.all() if span.name != "cause"]
    assert [(span.name, is_child(span, spans.named("cause"))) for span in applied] == [("process VECTORS", True)]
    assert await live.run(len) == 1


async def test_searches_come_between_the_parts_of_a_batch(live: LiveIndex) -> None:
    told: list[tuple[bool, bool]] = []

    async def on_ready(is_ready: bool) -> None:
        told.append((is_ready, live.is_caught_up))

    consumer = LogConsumer(live, on_ready)
    consumer.expect(BEGUN, is_filling=False)
    await consumer._take(batch(is_reset=True, is_caught_up=False, pending=250))
    assert (consumer.pending_count, told) == (250, [])
    counts: list[tuple[int, int]] = []
    advance = live.advance

    async def counted(*arguments: Any, **named: Any) -> None:
        await advance(*arguments, **named)
        assert live.position is not None
        counts.append((live.position.sequence, await live.run(len)))

    live.advance = counted  # type: ignore[method-assign]  # only counts
    entries = [
        LogEntry(vector_subject("enc", f"t{number}"), number, message(f"t{number}").payload) for number in range(1, 251)
    ]
    pending: list[int] = []
    for part in batch(*entries).parts(100):
        await consumer._take(part)
        pending.append(consumer.pending_count)
    assert counts == [(100, 100), (200, 200), (250, 250)]
    assert (pending, told) == ([150, 50, 0], [(True, True)])
    # A sign of life changes nothing and wakes nobody.
    heard_at = consumer.heard_at
    await consumer._take(LogBatch(LogPosition(BEGUN, 250), [], is_reset=False, is_caught_up=True))
    assert len(counts) == 3
    assert heard_at is not None
    assert consumer.heard_at is not None
    assert consumer.heard_at >= heard_at
    await consumer._take(batch(is_reset=True, is_caught_up=False))
    assert told == [(True, True), (False, False)]
    assert await live.run(len) == 0


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20])
def test_the_parts_of_a_batch_are_the_batch(count: int) -> None:
    entries = [LogEntry("s", number, b"") for number in range(1, count + 1)]
    whole = LogBatch(LogPosition(BEGUN, count), entries, is_reset=True, is_caught_up=True, pending_count=7)
    parts = list(whole.parts(10))
    assert [entry for part in parts for entry in part.entries] == entries
    assert len(parts) == max(1, -(-count // 10))
    assert [part.is_reset for part in parts] == [True] + [False] * (len(parts) - 1)
    assert [part.is_caught_up for part in parts] == [False] * (len(parts) - 1) + [True]
    assert [part.position.sequence + part.pending_count for part in parts] == [count + 7] * len(parts)
    assert all(part.position.sequence == (part.entries[-1].sequence if part.entries else 0) for part in parts)


async def test_the_end_of_a_log_that_is_not_full_yet_makes_no_index_complete(live: LiveIndex) -> None:
    told: list[bool] = []

    async def on_ready(is_ready: bool) -> None:
        await asyncio.sleep(0)
        told.append(is_ready)

    consumer = LogConsumer(live, on_ready)
    consumer.expect(BEGUN - timedelta(hours=1), is_filling=False)  # social has not seen that it was lost
    await consumer._take(batch(is_reset=True))
    assert (live.is_caught_up, told) == (False, [])
    consumer.expect(BEGUN, is_filling=True)
    await consumer._take(batch(message()))
    assert (live.is_caught_up, await live.run(len)) == (False, 1)
    consumer.expect(BEGUN, is_filling=False)
    idle = LogBatch(LogPosition(BEGUN, 1), [], is_reset=False, is_caught_up=True)
    await consumer._take(idle)
    assert (live.is_caught_up, told) == (True, [True])
    # Told again although it is the same stream: all is known here.
    consumer.expect(BEGUN, is_filling=True)
    await consumer._take(idle)
    assert (live.is_caught_up, told) == (True, [True])
    await consumer._take(batch(is_reset=True))
    assert (live.is_caught_up, told) == (False, [True, False])
    consumer.expect(None, is_filling=False)
    await consumer._take(batch(message()))
    assert told == [True, False, True]


async def test_a_log_read_from_its_beginning_makes_no_index_complete_before_social_was_asked(live: LiveIndex) -> None:
    async def on_ready(is_ready: bool) -> None: ...

    consumer = LogConsumer(live, on_ready)
    await consumer._take(batch(is_reset=True))  # lost, and empty since
    assert not live.is_caught_up
    consumer.expect(BEGUN, is_filling=True)
    await consumer._take(batch(message()))
    assert not live.is_caught_up
    consumer.expect(BEGUN, is_filling=False)
    await consumer._take(LogBatch(LogPosition(BEGUN, 1), [], is_reset=False, is_caught_up=True))
    assert live.is_caught_up


async def test_a_log_that_goes_on_behind_a_snapshot_needs_nobody(live: LiveIndex) -> None:
    async def on_ready(is_ready: bool) -> None: ...

    consumer = LogConsumer(live, on_ready)
    await consumer._take(batch(message()))
    assert live.is_caught_up


async def test_refused_messages_are_counted_by_reason_and_not_all_named(
    live: LiveIndex, caplog: pytest.LogCaptureFixture
) -> None:
    async def on_ready(is_ready: bool) -> None: ...

    consumer = LogConsumer(live, on_ready)
    consumer.expect(BEGUN, is_filling=False)
    noise = [LogEntry(vector_subject("enc", "a"), number, b"\xff\xff\xff") for number in range(1, 151)]
    foreign = LogEntry(vector_subject("enc", "a"), 151, message(encoder_id="other").payload)
    await consumer._take(batch(*noise, foreign, is_reset=True))
    assert consumer.refused == {"MALFORMED": 150, "ENCODER_MISMATCH": 1}
    assert consumer.refused_count == 151
    named = [record.__dict__["reason"] for record in caplog.records if record.message == "vector_refused"]
    assert named == ["MALFORMED"] * 100 + ["ENCODER_MISMATCH"]
    assert (live.position, live.is_caught_up) == (LogPosition(BEGUN, 151), True)


def test_noise_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        apply_entry(TrackIndex("enc"), LogEntry(vector_subject("enc", "a"), 1, b"\xff\xff\xff"))
