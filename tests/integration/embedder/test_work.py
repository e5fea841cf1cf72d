"""Embedding work on a real NATS, under the embedder's own NATS user: one event for each piece, and nothing lost."""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from nats.js.errors import NotFoundError
from prometheus_client import CollectorRegistry

from museed.embedder.v1 import events_pb2
from museed.social.v1.events_pb2 import EmbedTrack
from services.chassis import vectors
from services.chassis.bus import DEAD_LETTERS, EMBED_WORK, EMBEDDER_EVENTS, Bus, embed_track_subject
from services.chassis.errors import DeadlineExceeded, DomainError, Unavailable
from services.embedder.batcher import Batcher
from services.embedder.consumer import EmbedWork, IsWanted, make_consumer
from services.embedder.decoder import DecodeLimits, DecoderPool
from services.embedder.embedding import AudioLimits, TrackEmbedder
from services.embedder.lanes import Lane
from services.embedder.metrics import EmbedderMetrics, embedder_metrics
from services.embedder.publisher import Publisher
from tests.conftest import NatsServer
from tests.fakes.encoder import MANIFEST, POISON
from tests.fakes.spans import context_of, is_child, recorded_spans
from tests.integration.embedder import audio_files
from tests.integration.embedder.conftest import Rig

LIMITS = AudioLimits(min_seconds=30, max_seconds=600, max_bytes=10_000_000)
ENCODER_ID = MANIFEST.encoder_id
SUBJECT = embed_track_subject(ENCODER_ID)
EMBEDDED = "museed.embedder.v1.track_embedded"
FAILED = "museed.embedder.v1.track_embedding_failed"


@dataclass
class Mesh:
    """Social's side of the bus: sends work, and reads what the embedder tells."""

    bus: Bus
    root: Path

    async def ask(self, name: str, work_id: str, **changes: str) -> EmbedTrack:
        work = EmbedTrack(
            track_id=f"track-{work_id}",
            encoder_id=ENCODER_ID,
            audio_hash=hashlib.sha256(name.encode()).digest(),
            root_location=str(self.root),
            relative_path=os.fsencode(name),
        )
        for field, value in changes.items():
            setattr(work, field, value)
        await self.bus.publish(SUBJECT, work.SerializeToString(), work_id)
        return work

    async def events(self, count: int, subject: str = "museed.embedder.v1.*") -> list[tuple[str, bytes, str]]:
        """Return subject, payload and id of the first events."""
        subscription = await self.bus.jetstream.subscribe(subject, stream=EMBEDDER_EVENTS, ordered_consumer=True)
        messages = [await subscription.next_msg(timeout=60) for _ in range(count)]
        await subscription.unsubscribe()
        return [(message.subject, message.data, (message.headers or {})["Nats-Msg-Id"]) for message in messages]

    async def waiting(self, stream: str = EMBED_WORK) -> int:
        return (await self.bus.jetstream.stream_info(stream)).state.messages

    async def in_hand(self) -> tuple[int, int]:
        """Messages in somebody's hands, and those of them that had been given out before."""
        info = await self.bus.jetstream.consumer_info(EMBED_WORK, f"embedder-{ENCODER_ID}")
        return info.num_ack_pending or 0, info.num_redelivered or 0

    async def until_in_hand(self, count: int) -> None:
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(NotFoundError):
                    if (await self.in_hand())[0] == count:
                        return
                await asyncio.sleep(0.02)

    async def until_all_is_done(self) -> None:
        async with asyncio.timeout(60):
            while await self.waiting():
                await asyncio.sleep(0.02)


@pytest.fixture
def mesh(bus: Bus, tmp_path: Path) -> Mesh:
    root = tmp_path / "music"
    root.mkdir()
    return Mesh(bus, root)


async def wants_everything(work_id: str) -> bool:
    return True


@contextlib.asynccontextmanager
async def working(
    rig: Rig,
    nats_server: NatsServer,
    concurrency: int = 2,
    *,
    ack_wait_s: float = 15.0,
    publisher: type[Publisher] = Publisher,
    is_wanted: IsWanted = wants_everything,
    metrics: EmbedderMetrics | None = None,
    wanted_wait_s: float = 60.0,
) -> AsyncIterator[None]:
    own = await Bus.connect(nats_server.settings("embedder"), "embedder")
    work = EmbedWork(ENCODER_ID, rig.tracks, rig.blobs, publisher(own), LIMITS, is_wanted, metrics, wanted_wait_s)
    consumer = make_consumer(own, work, ENCODER_ID, concurrency, ack_wait_s)
    running = asyncio.create_task(consumer.run())
    try:
        yield
    finally:
        consumer.stop()
        await asyncio.wait_for(running, 60)
        work.close()
        await own.close()


def song(root: Path, name: str, seconds: float = 34, level: float = 0.3) -> None:
    sound = np.full((round(seconds * 2000), 1), level, np.float32)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    audio_files.write(root / name, sound, 2000, format="WAV", subtype="FLOAT")


def track_of(subject: str, payload: bytes) -> str:
    if subject == EMBEDDED:
        return events_pb2.TrackEmbedded.FromString(payload).track_id
    return events_pb2.TrackEmbeddingFailed.FromString(payload).track_id


async def test_track_becomes_an_event_with_its_windows_in_the_blob_store(
    rig: Rig, mesh: Mesh, nats_server: NatsServer
) -> None:
    song(mesh.root, "A/좋은 날.wav")
    work = await mesh.ask("A/좋은 날.wav", "work-1")
    async with working(rig, nats_server):
        ((subject, payload, _),) = await mesh.events(1)
        await mesh.until_all_is_done()
    assert subject == EMBEDDED
    event = events_pb2.TrackEmbedded.FromString(payload)
    assert (event.track_id, event.audio_hash) == (work.track_id, work.audio_hash)
    found = event.embedding
    assert (found.encoder_id, found.window_count, found.duration_seconds) == (ENCODER_ID, 4, 34.0)
    stored = await rig.blobs.get(found.windows_digest)
    windows = np.frombuffer(stored, dtype="<f2").reshape(4, 2)
    np.testing.assert_allclose(windows, np.tile(vectors.decode(found.vector, 2), (4, 1)), atol=1e-3)
    assert [tag.name for tag in found.tags] == ["quiet", "loud"]
    assert (found.descriptors.revision, round(found.descriptors.peak_dbfs, 2)) == (1, -10.46)
    # A file at 2 kHz: what has no meaning there is unset, and not 0.
    assert not any(found.descriptors.HasField(name) for name in ("loudness_lufs", "key_confidence", "energy"))
    assert len(payload) < 64 * 1024


async def test_file_that_cannot_be_embedded_is_an_event_and_no_poison(
    rig: Rig, mesh: Mesh, nats_server: NatsServer
) -> None:
    song(mesh.root, "short.wav", seconds=29)
    song(mesh.root, "silent.wav", level=0)
    (mesh.root / "words.mp3").write_text("no sound\n" * 1000)
    (mesh.root / "empty.ogg").touch()
    (mesh.root.parent / "outside.wav").write_bytes(b"secret")
    (mesh.root / "link.wav").symlink_to(mesh.root.parent / "outside.wav")
    wanted = {
        "short.wav": "AUDIO_TOO_SHORT",
        "silent.wav": "AUDIO_SILENT",
        "words.mp3": "NOT_AUDIO",
        "empty.ogg": "AUDIO_EMPTY",
        "missing.ogg": "MEDIA_NOT_FOUND",
        "../outside.wav": "MEDIA_NOT_FOUND",
        "link.wav": "MEDIA_NOT_FOUND",
    }
    hashes = {(await mesh.ask(name, f"work-{name}")).audio_hash: name for name in wanted}
    async with working(rig, nats_server):
        events = await mesh.events(len(wanted))
        await mesh.until_all_is_done()
    assert {subject for subject, _, _ in events} == {FAILED}
    failures = [events_pb2.TrackEmbeddingFailed.FromString(payload) for _, payload, _ in events]
    assert {hashes[failure.audio_hash]: failure.reason for failure in failures} == wanted
    assert {failure.encoder_id for failure in failures} == {ENCODER_ID}
    short = next(failure for failure in failures if failure.reason == "AUDIO_TOO_SHORT")
    assert short.message == "the audio is 29 s long, at least 30 s are needed"
    assert await mesh.waiting(DEAD_LETTERS) == 0


async def test_good_tracks_go_through_beside_bad_ones(rig: Rig, mesh: Mesh, nats_server: NatsServer) -> None:
    for number in range(6):
        if number % 2:
            (mesh.root / f"{number}.wav").write_bytes(b"bad")
        else:
            song(mesh.root, f"{number}.wav", level=0.1 + number / 10)
        await mesh.ask(f"{number}.wav", f"work-{number}")
    async with working(rig, nats_server):
        events = await mesh.events(6)
    told = sorted((track_of(subject, data), subject) for subject, data, _ in events)
    assert told == [(f"track-work-{number}", FAILED if number % 2 else EMBEDDED) for number in range(6)]


async def test_work_that_comes_twice_is_told_once(rig: Rig, mesh: Mesh, nats_server: NatsServer) -> None:
    song(mesh.root, "a.wav")
    own = await Bus.connect(nats_server.settings("embedder"), "embedder")
    publisher = Publisher(own)
    event = events_pb2.TrackEmbedded(track_id="track-1")
    await publisher.embedded(event, "work-1")
    await publisher.embedded(event, "work-1")
    await publisher.embedded(event, "work-2")
    await own.close()
    assert await mesh.waiting(EMBEDDER_EVENTS) == 2
    first, second = await mesh.events(2)
    assert first[2] != second[2]


async def test_work_for_another_encoder_is_told_as_such(rig: Rig, mesh: Mesh, nats_server: NatsServer) -> None:
    song(mesh.root, "a.wav")
    await mesh.ask("a.wav", "work-1", encoder_id="other-1")
    async with working(rig, nats_server):
        ((_, payload, _),) = await mesh.events(1)
    assert events_pb2.TrackEmbeddingFailed.FromString(payload).reason == "ENCODER_MISMATCH"


async def test_poison_is_set_aside_and_told(
    rig: Rig, mesh: Mesh, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.bus.consume._MAX_RETRY_DELAY_S", 0.01)
    song(mesh.root, "poison.wav", level=POISON)
    song(mesh.root, "good.wav")
    work = await mesh.ask("poison.wav", "work-1")
    await mesh.ask("good.wav", "work-2")
    async with working(rig, nats_server, concurrency=1):
        ((_, good, _),) = await mesh.events(1, EMBEDDED)
        ((_, bad, _),) = await mesh.events(1, FAILED)
        await mesh.until_all_is_done()
    assert events_pb2.TrackEmbedded.FromString(good).track_id == "track-work-2"
    failure = events_pb2.TrackEmbeddingFailed.FromString(bad)
    assert (failure.track_id, failure.reason) == (work.track_id, "EMBEDDING_FAILED")
    assert failure.message == "embedding failed 5 times for a reason that is not the audio's"
    assert await mesh.waiting(DEAD_LETTERS) == 1


async def test_work_survives_a_worker_that_goes_away(rig: Rig, mesh: Mesh, nats_server: NatsServer) -> None:
    song(mesh.root, "a.wav")
    async with working(rig, nats_server):
        pass
    await mesh.ask("a.wav", "work-1")
    async with working(rig, nats_server):
        ((subject, _, _),) = await mesh.events(1)
        await mesh.until_all_is_done()
    assert subject == EMBEDDED


async def test_file_that_takes_longer_than_the_wait_stays_in_hand(
    rig: Rig, mesh: Mesh, nats_server: NatsServer
) -> None:
    song(mesh.root, "long.wav")
    await mesh.ask("long.wav", "work-1")
    rig.encoder.open.clear()
    async with working(rig, nats_server, concurrency=2, ack_wait_s=4.0):
        await mesh.until_in_hand(1)
        await asyncio.sleep(9)  # silence for this long would have it given to the second hand
        assert await mesh.in_hand() == (1, 0)
        rig.encoder.open.set()
        await mesh.events(1)
        await mesh.until_all_is_done()
    assert await mesh.waiting(EMBEDDER_EVENTS) == 1


class CountedDecodings(EmbedderMetrics):
    """Knows how many files were decoded to their end."""

    def __init__(self) -> None:
        self.count = 0

    def decoded(self, seconds: float) -> None:
        self.count += 1


async def test_next_file_is_decoded_while_the_model_works(rig: Rig, mesh: Mesh, nats_server: NatsServer) -> None:
    for number in (1, 2):
        song(mesh.root, f"{number}.wav", seconds=31, level=number / 10)
        await mesh.ask(f"{number}.wav", f"work-{number}")
    decodings = CountedDecodings()
    pool = DecoderPool(1, DecodeLimits(), max_waiting=1, metrics=decodings)
    await pool.start()
    rig.tracks = TrackEmbedder(rig.encoder, rig.batcher, {Lane.BULK: pool}, seconds_in_flight=40)
    rig.encoder.open.clear()
    async with working(rig, nats_server, concurrency=2), asyncio.timeout(60):
        while decodings.count < 2 or not rig.encoder.batches:
            await asyncio.sleep(0.01)
        # One decoder, and a model that holds its first batch: both files are ready, and nothing is told yet.
        assert len(rig.encoder.batches) == 1
        assert await mesh.waiting(EMBEDDER_EVENTS) == 0
        rig.encoder.open.set()
        await mesh.events(2)
        await mesh.until_all_is_done()
    await pool.close()


async def test_work_is_acknowledged_only_after_its_event_was_confirmed(
    rig: Rig, mesh: Mesh, nats_server: NatsServer
) -> None:
    tries: list[str] = []

    class Away(Publisher):
        async def embedded(self, event: events_pb2.TrackEmbedded, work_id: str) -> None:
            tries.append(work_id)
            raise Unavailable("not confirmed")

    song(mesh.root, "a.wav")
    await mesh.ask("a.wav", "work-1")
    async with working(rig, nats_server, concurrency=1, publisher=Away):
        async with asyncio.timeout(60):
            while not tries:
                await asyncio.sleep(0.02)
        assert (await mesh.waiting(EMBED_WORK), await mesh.waiting(EMBEDDER_EVENTS)) == (1, 0)
        assert await mesh.in_hand() == (1, 0)
    # It stopped without a confirmation: the work comes again, to whoever can tell of it.
    async with working(rig, nats_server, concurrency=1):
        ((subject, _, event_id),) = await mesh.events(1)
        await mesh.until_all_is_done()
    assert subject == EMBEDDED
    assert await mesh.waiting(EMBEDDER_EVENTS) == 1
    assert await mesh.waiting(DEAD_LETTERS) == 0
    again = await Bus.connect(nats_server.settings("embedder"), "embedder")
    await Publisher(again).embedded(events_pb2.TrackEmbedded(track_id="track-work-1"), "work-1")
    await again.close()
    assert (await mesh.events(1))[0][2] == event_id
    assert await mesh.waiting(EMBEDDER_EVENTS) == 1


async def test_work_that_nobody_waits_for_is_done_without_being_done(
    rig: Rig, mesh: Mesh, nats_server: NatsServer
) -> None:
    async def is_wanted(work_id: str) -> bool:
        return work_id == "work-new"

    song(mesh.root, "a.wav")
    for work_id in ("work-old", "work-new"):
        await mesh.ask("a.wav", work_id)
    registry = CollectorRegistry()
    async with working(rig, nats_server, is_wanted=is_wanted, metrics=embedder_metrics(registry)):
        await mesh.events(1)
        await mesh.until_all_is_done()
    ((_, payload, _),) = await mesh.events(1)
    assert events_pb2.TrackEmbedded.FromString(payload).track_id == "track-work-new"
    assert await mesh.waiting(EMBEDDER_EVENTS) == 1
    assert sum(len(batch) for batch in rig.encoder.batches) == 4
    assert registry.get_sample_value("museed_embedder_unwanted_total") == 1


async def test_work_is_done_where_social_cannot_say_whether_it_is_wanted(
    rig: Rig, mesh: Mesh, nats_server: NatsServer
) -> None:
    async def is_wanted(work_id: str) -> bool:
        raise DomainError("nobody knows")

    song(mesh.root, "a.wav")
    await mesh.ask("a.wav", "work-1")
    async with working(rig, nats_server, is_wanted=is_wanted):
        ((subject, _, _),) = await mesh.events(1)
        await mesh.until_all_is_done()
    assert subject == EMBEDDED


async def test_work_waits_for_a_social_that_is_away_and_is_not_done_where_it_is_not_wanted(
    rig: Rig, mesh: Mesh, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.bus.consume._FIRST_RETRY_DELAY_S", 0.01)
    asked: list[str] = []

    async def is_wanted(work_id: str) -> bool:
        asked.append(work_id)
        if len(asked) == 1:
            raise Unavailable("social is away")
        if len(asked) == 2:
            raise DeadlineExceeded("its database is")
        return False

    song(mesh.root, "a.wav")
    await mesh.ask("a.wav", "work-1")
    async with working(rig, nats_server, is_wanted=is_wanted):
        await mesh.until_in_hand(0)
        await mesh.until_all_is_done()
    assert asked == ["work-1"] * 3
    assert rig.encoder.batches == []
    assert await mesh.waiting(EMBEDDER_EVENTS) == 0


async def test_social_that_stays_silent_holds_work_up_once_and_not_for_ever(
    rig: Rig, mesh: Mesh, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.bus.consume._FIRST_RETRY_DELAY_S", 0.01)
    asked: list[str] = []

    async def is_wanted(work_id: str) -> bool:
        asked.append(work_id)
        raise Unavailable("social is away")

    for number in (1, 2):
        song(mesh.root, f"{number}.wav", level=number / 10)
        await mesh.ask(f"{number}.wav", f"work-{number}")
    async with working(rig, nats_server, concurrency=1, is_wanted=is_wanted, wanted_wait_s=0.3):
        events = await mesh.events(2)
        await mesh.until_all_is_done()
    assert {subject for subject, _, _ in events} == {EMBEDDED}
    assert asked.count("work-1") > 2
    assert asked.count("work-2") == 1


async def test_silence_of_long_ago_is_no_reason_not_to_wait(rig: Rig, mesh: Mesh) -> None:
    async def is_wanted(work_id: str) -> bool:
        raise Unavailable("social is away")

    work = EmbedWork(ENCODER_ID, rig.tracks, rig.blobs, Publisher(mesh.bus), LIMITS, is_wanted, wanted_wait_s=60)
    with pytest.raises(Unavailable):
        await work._is_waited_for("work-1")
    work._silent_since -= 60  # type: ignore[operator]  # a number by now
    assert await work._is_waited_for("work-1")
    work._silent_at -= 60 + 120
    with pytest.raises(Unavailable):
        await work._is_waited_for("work-2")
    work.close()


async def test_file_is_counted_and_traced_on_its_whole_way(rig: Rig, mesh: Mesh, nats_server: NatsServer) -> None:
    song(mesh.root, "a.wav")
    song(mesh.root, "short.wav", seconds=29)
    for name in ("a.wav", "short.wav"):
        await mesh.ask(name, f"work-{name}")
    registry = CollectorRegistry()
    metrics = embedder_metrics(registry)
    batcher = Batcher(rig.encoder, max_batch_seconds=40, max_delay_ms=1, max_queued_seconds=1000, metrics=metrics)
    batching = asyncio.create_task(batcher.run())
    pool = DecoderPool(1, DecodeLimits(), max_waiting=2, metrics=metrics)
    await pool.start()
    rig.tracks = TrackEmbedder(rig.encoder, batcher, {Lane.BULK: pool}, seconds_in_flight=40, metrics=metrics)
    with recorded_spans() as spans:
        async with working(rig, nats_server, metrics=metrics):
            await mesh.events(2)
            await mesh.until_all_is_done()
    batching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await batching
    batcher.close()
    await pool.close()

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"museed_embedder_{name}", labels)

    assert value("files_total", lane="bulk", outcome="embedded") == 1
    assert value("files_total", lane="bulk", outcome="refused") == 1
    assert value("refusals_total", lane="bulk", reason="AUDIO_TOO_SHORT") == 1
    assert value("embedded_audio_seconds_total", lane="bulk") == 34
    assert value("batch_audio_seconds_sum") == 34
    assert value("batch_items_sum") == value("queue_wait_seconds_count", lane="bulk") == 4
    assert value("queue_items", lane="bulk") == value("queue_audio_seconds", lane="bulk") == 0
    assert value("model_seconds_count") == value("batch_items_count")
    assert value("aggregate_seconds_count") == 1
    assert value("decode_seconds_count") == 2

    (embedded,) = [span for span in spans.all() if span.name == "aggregate"]
    handled = next(span for span in spans.all() if span.name == "process EMBED_WORK" and is_child(embedded, span))
    inside = [span.name for span in spans.all() if is_child(span, handled)]
    assert sorted(inside) == ["aggregate", "decode", *["model"] * 4, "publish", *["queue_wait"] * 4, "store_windows"]
    batches = [span for span in spans.all() if span.name == "batch"]
    assert all(span.parent is None for span in batches)
    linked = [link.context.span_id for span in batches for link in span.links]
    assert linked == [context_of(handled).span_id] * 4
