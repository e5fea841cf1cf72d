"""Social, NATS and the embedder's consumer together: every sound is embedded once, whatever comes twice.

PostgreSQL, NATS, decoding processes and sockets are real; the model counts what it hears.
"""

import asyncio
import contextlib
import hashlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from museed.embedder.v1 import embedder_pb2
from museed.embedder.v1.events_pb2 import TrackEmbedded, TrackEmbeddingFailed
from museed.social.v1 import catalog_pb2, work_pb2, work_pb2_grpc
from museed.social.v1.events_pb2 import EmbedTrack
from services.chassis import vectors
from services.chassis.blobs import open_blob_store
from services.chassis.bus import (
    DEAD_LETTERS,
    EMBED_WORK,
    EMBEDDER_EVENTS,
    STREAMS,
    Bus,
    DeadLetter,
    embed_track_subject,
)
from services.chassis.channel import connect
from services.chassis.errors import DomainError, Unavailable
from services.chassis.telemetry import tracing
from services.embedder.batcher import Batcher
from services.embedder.clients import IDEMPOTENT, Work
from services.embedder.consumer import EmbedWork, make_consumer
from services.embedder.decoder import DecodeLimits, DecoderPool
from services.embedder.embedding import AudioLimits, TrackEmbedder
from services.embedder.lanes import Lane
from services.embedder.publisher import Publisher
from services.social.consumer import EMBEDDED, EmbedderEvents
from services.social.store import work
from services.social.store.database import Database
from services.social.workers.letter_keeper import LETTER_SWEEP
from tests.fakes.encoder import MANIFEST, POISON, FakeEncoder, vector_of
from tests.fakes.spans import is_child, recorded_spans, trace_of
from tests.integration.embedder.test_work import song
from tests.integration.social.conftest import (
    EMBEDDING_FAILED,
    TIMEOUT_S,
    Client,
    Mesh,
    Person,
    Sql,
    registration,
    until,
)
from tests.integration.social.fakes import FakeEmbedder

LIMITS = AudioLimits(min_seconds=30, max_seconds=600, max_bytes=10_000_000)
ENCODER_ID = MANIFEST.encoder_id
SUBJECT = embed_track_subject(ENCODER_ID)


class Describing(FakeEmbedder):
    """Says of itself what the consumer below is."""

    async def DescribeModel(
        self, request: embedder_pb2.DescribeModelRequest, context: object
    ) -> embedder_pb2.DescribeModelResponse:
        return embedder_pb2.DescribeModelResponse(encoder_id=ENCODER_ID, name="fake", dimension=MANIFEST.dim)


@dataclass
class Whole:
    """A mesh with a model behind a real consumer."""

    mesh: Mesh
    social: Client
    encoder: FakeEncoder
    root: Path
    admin: Person
    root_id: str
    sql: Sql

    def heard(self) -> int:
        """Files that the model heard: each has three windows."""
        windows = sum(len(batch) for batch in self.encoder.batches)
        assert windows % 3 == 0
        return windows // 3

    async def register(self, *names: str) -> list[catalog_pb2.RegisteredTrack]:
        """Register files, whose sound follows from their bytes."""
        files = []
        for name in names:
            audio_hash = hashlib.sha256((self.root / name).read_bytes()).digest()
            hashes = {"file_hash": audio_hash, "audio_hash": audio_hash}
            files.append(registration(name, relative_path=name.encode(), **hashes))
        return await self.social.register(self.admin, self.root_id, files)

    async def until_indexed(self, count: int, failed: int = 0) -> None:
        async def is_done() -> bool:
            request = catalog_pb2.GetIngestProgressRequest(root_id=self.root_id)
            found = await self.social.catalog.GetIngestProgress(
                request, timeout=TIMEOUT_S, metadata=self.admin.metadata
            )
            return (found.indexed, found.failed) == (count, failed)

        await until(is_done, timeout_s=60)

    async def until_queue_is_empty(self, bus: Bus) -> None:
        async def is_empty() -> bool:
            return (await bus.jetstream.stream_info(EMBED_WORK)).state.messages == 0

        await until(is_empty, timeout_s=60)

    @property
    def work(self) -> "work_pb2_grpc.WorkServiceAsyncStub":
        return work_pb2_grpc.WorkServiceStub(self.social.channel)

    async def letters(self) -> list[work_pb2.DeadLetter]:
        request = work_pb2.ListDeadLettersRequest()
        answer = await self.work.ListDeadLetters(request, timeout=TIMEOUT_S, metadata=self.admin.metadata)
        assert answer.total_count == len(answer.letters)
        return list(answer.letters)

    async def replay(self, *letter_ids: str) -> list[tuple[str, str]]:
        """Replay letters and return outcome and reason of each."""
        request = work_pb2.ReplayDeadLettersRequest(letter_ids=letter_ids)
        answer = await self.work.ReplayDeadLetters(request, timeout=TIMEOUT_S, metadata=self.admin.metadata)
        prefix = "REPLAY_OUTCOME_"
        return [(work_pb2.ReplayOutcome.Name(one.outcome).removeprefix(prefix), one.reason) for one in answer.letters]

    @contextlib.asynccontextmanager
    async def embedding(self, publisher: type[Publisher] = Publisher) -> AsyncIterator[None]:
        """Run the embedder's consumer."""
        pool = DecoderPool(1, DecodeLimits(), max_waiting=2)
        await pool.start()
        batcher = Batcher(self.encoder, max_batch_seconds=40, max_delay_ms=1, max_queued_seconds=1000)
        batching = asyncio.create_task(batcher.run())
        bus = await Bus.connect(self.mesh.nats.settings("embedder"), "embedder")
        tracks = TrackEmbedder(self.encoder, batcher, {Lane.BULK: pool}, seconds_in_flight=40)
        blobs = open_blob_store(f"file://{self.root.parent / 'blobs'}")
        wanted = Work(self.social.channel).is_wanted
        work = EmbedWork(ENCODER_ID, tracks, blobs, publisher(bus), LIMITS, wanted)
        consumer = make_consumer(bus, work, ENCODER_ID, 2, ack_wait_s=1.0)
        consuming = asyncio.create_task(consumer.run())
        try:
            yield
        finally:
            consumer.stop()
            await asyncio.wait_for(consuming, 60)
            work.close()
            await bus.close()
            batching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await batching
            batcher.close()
            await pool.close()


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.integration.social.conftest.FakeEmbedder", Describing)


@pytest.fixture
async def whole(described: None, mesh: Mesh, social: Client, sql: Sql, tmp_path: Path) -> Whole:
    root = tmp_path / "music"
    root.mkdir()
    for name, level in (("a.wav", 0.1), ("b.wav", 0.2)):
        song(root, name, seconds=30, level=level)
    shutil.copy(root / "a.wav", root / "copy of a.wav")
    song(root, "poison.wav", seconds=30, level=POISON)
    admin = await social.sign_up("admin")
    root_id = await social.register_root(admin, str(root))

    async def is_encoder_known() -> bool:
        return (await social.roles())[0] != ""

    await until(is_encoder_known)
    bus = await mesh.bus("social")

    async def are_streams_there() -> bool:
        return await bus.stream_created_at(list(STREAMS)[-1]) is not None

    await until(are_streams_there)
    return Whole(mesh, social, FakeEncoder(), root, admin, root_id, sql)


async def test_duplicates_and_repetitions_are_heard_once(whole: Whole) -> None:
    async with whole.embedding():
        # Two calls at once bring the same sound under two names.
        await asyncio.gather(whole.register("a.wav", "b.wav"), whole.register("copy of a.wav"))
        await whole.until_indexed(3)
        assert whole.heard() == 2
        await whole.register("a.wav", "b.wav", "copy of a.wav")
        shutil.copy(whole.root / "b.wav", whole.root / "copy of b.wav")
        await whole.register("copy of b.wav")
        await whole.until_indexed(4)
        await whole.until_queue_is_empty(await whole.mesh.bus("social"))
    assert whole.heard() == 2


async def test_lost_store_has_nothing_heard_again(whole: Whole) -> None:
    async with whole.embedding():
        await whole.register("a.wav", "b.wav")
        await whole.until_indexed(2)
        bus = await whole.mesh.bus("social")
        before = await bus.stream_created_at("VECTORS")
        whole.mesh.nats.kill()
        shutil.rmtree(whole.mesh.nats.store)
        whole.mesh.nats.start()

        async def is_whole_again() -> bool:
            with contextlib.suppress(Unavailable):
                if await bus.stream_created_at("VECTORS") in (before, None):
                    return False
                return bool(await whole.sql.fetchval("SELECT count(*) = 2 FROM track_embeddings WHERE sequence > 0"))
            return False

        await until(is_whole_again, timeout_s=60)
        await whole.until_indexed(2)
        # The embedder works with the new store as well, and only on what is new.
        song(whole.root, "c.wav", seconds=30, level=0.3)
        await whole.register("c.wav")
        await whole.until_indexed(3)
    assert whole.heard() == 3


async def test_store_of_an_earlier_day_has_nothing_heard_again(whole: Whole) -> None:
    """A queue that came back from a backup gives out work that was done since."""
    bus = await whole.mesh.bus("social")
    await whole.register("a.wav", "b.wav")
    await until(lambda: whole.sql.fetchval("SELECT count(*) = 2 FROM embedding_work WHERE sequence IS NOT NULL"))
    info = await bus.jetstream.stream_info(EMBED_WORK)
    backup = [await bus.jetstream.get_msg(EMBED_WORK, sequence) for sequence in range(1, info.state.last_seq + 1)]
    async with whole.embedding():
        await whole.until_indexed(2)
        await whole.until_queue_is_empty(bus)
    # Made anew, the stream does not know the ids of what it is given back.
    await bus.jetstream.delete_stream(EMBED_WORK)
    await bus.ensure_streams([EMBED_WORK])
    for message in backup:
        await bus.jetstream.publish(SUBJECT, message.data or b"", headers=message.headers)
    assert (await bus.jetstream.stream_info(EMBED_WORK)).state.messages == 2
    async with whole.embedding():
        await whole.until_queue_is_empty(bus)
    assert whole.heard() == 2
    assert (await bus.jetstream.stream_info(EMBEDDER_EVENTS)).state.messages == 2


async def test_crash_between_event_and_acknowledgement_has_nothing_heard_again(whole: Whole) -> None:
    told = asyncio.Event()

    class Dying(Publisher):
        """Confirms the event, and then never comes back, as a process that is killed there."""

        async def embedded(self, event: object, work_id: str) -> None:
            await super().embedded(event, work_id)  # type: ignore[arg-type]  # as it came
            told.set()
            raise asyncio.CancelledError

    bus = await whole.mesh.bus("social")
    await whole.register("a.wav")
    with contextlib.suppress(asyncio.CancelledError):
        async with whole.embedding(Dying):
            async with asyncio.timeout(60):
                await told.wait()
    await whole.until_indexed(1)
    assert (await bus.jetstream.stream_info(EMBED_WORK)).state.messages == 1
    async with whole.embedding():
        await whole.until_queue_is_empty(bus)
    assert whole.heard() == 1
    assert (await bus.jetstream.stream_info(EMBEDDER_EVENTS)).state.messages == 1


async def test_one_trace_goes_from_the_caller_through_social_and_nats_to_the_embedder_and_back(whole: Whole) -> None:
    with recorded_spans() as spans:
        async with whole.embedding():
            with tracing.span("gateway"):
                await whole.register("a.wav")
            await whole.until_indexed(1)
        found = [span for span in spans.all() if trace_of(span) == trace_of(spans.named("gateway"))]
    names = [(span.name, span.kind.name) for span in found]
    rpc = "museed.social.v1.CatalogService/RegisterTracks"
    for step in (
        (rpc, "CLIENT"),
        (rpc, "SERVER"),
        ("publish EMBED_WORK", "PRODUCER"),
        ("process EMBED_WORK", "CONSUMER"),
        ("museed.social.v1.WorkService/FilterWanted", "SERVER"),
        ("decode", "INTERNAL"),
        ("publish", "INTERNAL"),
        ("publish EMBEDDER_EVENTS", "PRODUCER"),
        ("process EMBEDDER_EVENTS", "CONSUMER"),
        ("publish VECTORS", "PRODUCER"),
    ):
        assert names.count(step) == 1, step
    by_step = dict(zip(names, found, strict=True))
    assert is_child(by_step["publish EMBED_WORK", "PRODUCER"], by_step[rpc, "SERVER"])
    assert is_child(by_step["process EMBED_WORK", "CONSUMER"], by_step["publish EMBED_WORK", "PRODUCER"])
    assert is_child(by_step["process EMBEDDER_EVENTS", "CONSUMER"], by_step["publish EMBEDDER_EVENTS", "PRODUCER"])


@pytest.fixture
async def poisoned(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> Whole:
    """One track is fine; another one was set aside, and its failure is written."""
    monkeypatch.setattr("services.chassis.bus.consume._MAX_RETRY_DELAY_S", 0.01)
    async with whole.embedding():
        await whole.register("a.wav", "poison.wav")
        await whole.until_indexed(1, failed=1)
        await whole.until_queue_is_empty(await whole.mesh.bus("social"))
    return whole


async def test_dead_letter_tells_its_track_and_reason_and_is_heard_after_a_replay(
    poisoned: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = poisoned
    (letter,) = await whole.letters()
    track_id = str(await whole.sql.fetchval("SELECT track_id FROM track_embeddings WHERE state = 'FAILED'"))
    assert (letter.stream, letter.track_id, letter.encoder_id) == (EMBED_WORK, track_id, ENCODER_ID)
    assert (letter.code, letter.reason, letter.attempt_count) == ("INTERNAL", "ENCODING_FAILED", 5)
    assert letter.message == "the model failed on this audio"
    assert letter.request_id

    # The model is mended: the same bytes are heard.
    whole.encoder.batches.clear()
    monkeypatch.setattr("tests.fakes.encoder.POISON", -1.0)
    assert await whole.replay(letter.letter_id) == [("SENT", "")]
    assert await whole.replay(letter.letter_id) == [("GONE", "")]
    noted = "SELECT actor_id::text, subject_kind, subject_id FROM audit_log WHERE action = 'replay_dead_letter'"
    assert [tuple(row) for row in await whole.sql.fetch(noted)] == [
        (whole.admin.user_id, "DEAD_LETTER", letter.letter_id)
    ]
    assert await whole.letters() == []
    async with whole.embedding():
        await whole.until_indexed(2)
    assert whole.heard() == 1
    assert await whole.sql.fetchval("SELECT count(*) FROM embedding_failures") == 0


async def test_of_ten_tracks_each_one_is_poison_and_exactly_those_are_set_aside_and_heard_after_a_replay(
    whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.bus.consume._MAX_RETRY_DELAY_S", 0.01)
    names = [f"{number}.wav" for number in range(30)]
    for number, name in enumerate(names):
        is_poison = number % 10 == 5
        song(whole.root, name, seconds=30, level=POISON + number / 1e6 if is_poison else 0.01 * (number + 1))
    async with whole.embedding():
        tracks = await whole.register(*names)
        poison = {track.track_id for track in tracks[5::10]}
        assert len(poison) == 3
        # All others are heard, though the poison comes again and again.
        await whole.until_indexed(27, failed=3)
        await whole.until_queue_is_empty(await whole.mesh.bus("social"))
        letters = await whole.letters()
        assert {letter.track_id for letter in letters} == poison
        assert len(letters) == 3
        assert all(letter.payload_bytes for letter in letters)
        failed = "SELECT track_id::text FROM track_embeddings WHERE state = 'FAILED'"
        assert {row["track_id"] for row in await whole.sql.fetch(failed)} == poison
        # The model is mended: nothing but the letters is needed.
        monkeypatch.setattr("tests.fakes.encoder.POISON", -1.0)
        assert await whole.replay(*(letter.letter_id for letter in letters)) == [("SENT", "")] * 3
        await whole.until_indexed(30)
    assert await whole.letters() == []
    assert await whole.sql.fetchval("SELECT count(*) FROM embeddings") == 30


async def test_letters_outlive_a_lost_store_but_not_their_replay(
    poisoned: Whole, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = poisoned
    (letter,) = await whole.letters()
    bus = await whole.mesh.bus("social")
    unreadable = await bus.publish(f"museed.dead_letters.{EMBED_WORK}", b"\xff\xff", "dead-1")
    await until(lambda: whole.sql.fetchval("SELECT count(*) = 2 FROM dead_letters"))

    async def lose() -> None:
        whole.mesh.nats.kill()
        shutil.rmtree(whole.mesh.nats.store)
        whole.mesh.nats.start()

    async def count() -> int:
        with contextlib.suppress(DomainError):
            return len(await whole.letters())
        return -1

    async def are(wanted: int) -> bool:
        return await count() == wanted

    await lose()
    await until(lambda: are(2), 60)
    found = {one.reason: one for one in await whole.letters()}
    again = found["ENCODING_FAILED"]
    assert (again.track_id, again.message, again.attempt_count, again.request_id, again.set_aside_at) == (
        letter.track_id,
        letter.message,
        letter.attempt_count,
        letter.request_id,
        letter.set_aside_at,
    )
    assert await whole.replay(found[""].letter_id) == [("KEPT", "DEAD_LETTER_UNREADABLE")]
    monkeypatch.setattr("tests.fakes.encoder.POISON", -1.0)
    assert await whole.replay(again.letter_id) == [("SENT", "")]
    async with whole.embedding():
        await whole.until_indexed(2)
    # What was replayed does not come back; what was kept does.
    kept = await whole.sql.fetch("SELECT message_id FROM dead_letters")
    assert [row["message_id"] for row in kept] == ["dead-1"]
    await lose()
    await until(lambda: are(1), 60)
    assert unreadable.stream == DEAD_LETTERS
    await LETTER_SWEEP.run(database, datetime.now(UTC) + timedelta(days=89))
    assert await whole.sql.fetchval("SELECT count(*) FROM dead_letters") == 1
    await LETTER_SWEEP.run(database, datetime.now(UTC) + timedelta(days=91))
    assert await whole.sql.fetchval("SELECT count(*) FROM dead_letters") == 0


async def test_replay_of_what_still_fails_makes_a_letter_of_its_own(poisoned: Whole) -> None:
    (first,) = await poisoned.letters()
    async with poisoned.embedding():
        assert await poisoned.replay(first.letter_id) == [("SENT", "")]
        await poisoned.until_indexed(1, failed=1)
        (second,) = await poisoned.letters()
    assert second.letter_id != first.letter_id
    assert second.reason == "ENCODING_FAILED"


async def test_replay_is_kept_while_it_cannot_be_done(poisoned: Whole) -> None:
    whole = poisoned
    (letter,) = await whole.letters()
    row = await whole.sql.fetchrow("SELECT audio_hash FROM embedding_failures")
    assert row is not None
    event_id = letter.letter_id.partition(".")[2]
    # As if its failure was not read yet: the work is still out under the letter's id.
    await whole.sql.execute(
        "INSERT INTO embedding_work (encoder_id, audio_hash, track_id, event_id) VALUES ($1, $2, $3, $4)",
        ENCODER_ID, row["audio_hash"], letter.track_id, event_id,
    )  # fmt: skip
    assert await whole.replay(letter.letter_id) == [("KEPT", "FAILURE_ON_ITS_WAY")]
    assert len(await whole.letters()) == 1
    # As if somebody wants the sound anew since: then there is nothing to do.
    await whole.sql.execute("UPDATE embedding_work SET event_id = uuidv7()")
    assert await whole.replay(letter.letter_id, "99.none") == [("SETTLED", ""), ("GONE", "")]
    assert await whole.letters() == []


async def test_letters_that_nobody_can_read_are_kept(whole: Whole) -> None:
    bus = await whole.mesh.bus("social")
    await bus.publish(f"museed.dead_letters.{EMBED_WORK}", b"\xff\xff", "dead-1")
    await bus.publish(f"museed.dead_letters.{EMBEDDER_EVENTS}", b"", "dead-2")
    await bus.publish("museed.dead_letters.UNKNOWN", b"", "dead-3")
    retired = EmbedTrack(encoder_id="retired-1", track_id="no id")
    await bus.publish(f"museed.dead_letters.{EMBED_WORK}", retired.SerializeToString(), "dead-4")
    letters = await whole.letters()
    assert [(one.stream, one.track_id, one.encoder_id) for one in letters] == [
        (EMBED_WORK, "", "retired-1"),
        ("UNKNOWN", "", ""),
        (EMBEDDER_EVENTS, "", ""),
        (EMBED_WORK, "", ""),
    ]
    assert await whole.replay(*(one.letter_id for one in letters)) == [
        ("KEPT", "ENCODER_NOT_KEPT"),
        ("KEPT", "NOT_REPLAYABLE"),
        ("KEPT", "NOT_REPLAYABLE"),
        ("KEPT", "DEAD_LETTER_UNREADABLE"),
    ]
    assert (await bus.jetstream.stream_info(DEAD_LETTERS)).state.messages == 4


async def test_event_that_social_could_not_store_is_stored_by_a_replay(whole: Whole) -> None:
    """As after a fault in social, mended by a new version: the letter holds the embedder's event."""
    (track,) = await whole.register("a.wav")
    event = TrackEmbedded(
        track_id=track.track_id,
        audio_hash=hashlib.sha256((whole.root / "a.wav").read_bytes()).digest(),
        embedding=embedder_pb2.Embedding(encoder_id=ENCODER_ID, vector=vectors.encode(vector_of(0.1))),
    )
    letter = DeadLetter(
        EMBEDDED,
        event.SerializeToString(),
        "event-1",
        EMBEDDER_EVENTS,
        5,
        "INTERNAL",
        "KeyError",
        "",
        datetime.now(UTC),
    )
    bus = await whole.mesh.bus("social")
    await bus.publish(f"museed.dead_letters.{EMBEDDER_EVENTS}", letter.payload, "dead-1", headers=letter.headers())
    (found,) = await whole.letters()
    assert (found.track_id, found.reason) == (track.track_id, "KeyError")
    assert await whole.replay(found.letter_id) == [("SETTLED", "")]
    await whole.until_indexed(1)
    assert await whole.letters() == []
    assert whole.heard() == 0


async def test_event_that_social_still_cannot_store_is_kept_and_the_next_is_stored(
    whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks = await whole.register("a.wav", "b.wav")
    bus = await whole.mesh.bus("social")
    for number, (track, level) in enumerate(zip(tracks, (0.1, 0.2), strict=True)):
        name = ("a.wav", "b.wav")[number]
        event = TrackEmbedded(
            track_id=track.track_id,
            audio_hash=hashlib.sha256((whole.root / name).read_bytes()).digest(),
            embedding=embedder_pb2.Embedding(encoder_id=ENCODER_ID, vector=vectors.encode(vector_of(level))),
        )
        letter = DeadLetter(
            EMBEDDED, event.SerializeToString(), f"event-{number}", EMBEDDER_EVENTS, 5, "INTERNAL", "KeyError", "",
            datetime.now(UTC),
        )  # fmt: skip
        subject = f"museed.dead_letters.{EMBEDDER_EVENTS}"
        await bus.publish(subject, letter.payload, f"dead-{number}", headers=letter.headers())
    store = EmbedderEvents._embedded

    async def store_most(events: EmbedderEvents, event: TrackEmbedded) -> None:
        if event.track_id == tracks[1].track_id:
            raise KeyError("x")
        await store(events, event)

    monkeypatch.setattr(EmbedderEvents, "_embedded", store_most)
    newest, oldest = await whole.letters()
    assert await whole.replay(newest.letter_id, oldest.letter_id) == [("KEPT", "KeyError"), ("SETTLED", "")]
    await whole.until_indexed(1)
    assert [one.letter_id for one in await whole.letters()] == [newest.letter_id]


async def test_work_on_a_file_that_sounds_otherwise_by_now_is_not_wanted(whole: Whole) -> None:
    first, second = await whole.register("a.wav", "copy of a.wav")
    sound = hashlib.sha256((whole.root / "a.wav").read_bytes()).digest()
    await until(lambda: whole.sql.fetchval("SELECT count(*) = 1 FROM embedding_work WHERE sequence IS NOT NULL"))
    row = await whole.sql.fetchrow("SELECT event_id, track_id FROM embedding_work")
    assert row is not None
    assert str(row["track_id"]) == min(first.track_id, second.track_id)
    name = "a.wav" if first.track_id < second.track_id else "copy of a.wav"

    async def wanted() -> list[str]:
        request = work_pb2.FilterWantedRequest(work_ids=[str(row["event_id"])])
        return list((await whole.work.FilterWanted(request, timeout=TIMEOUT_S)).work_ids)

    assert await wanted() == [str(row["event_id"])]
    await whole.sql.execute("UPDATE track_embeddings SET state = 'FAILED'")  # nobody waits
    assert await wanted() == []
    await whole.sql.execute("UPDATE track_embeddings SET state = 'PENDING'")
    shutil.copy(whole.root / "b.wav", whole.root / name)
    await whole.register(name)
    assert await wanted() == []
    async with whole.embedding():
        await whole.until_indexed(1)
        await whole.until_queue_is_empty(await whole.mesh.bus("social"))
        assert await whole.sql.fetchval("SELECT count(*) FROM embeddings WHERE audio_hash = $1", sound) == 0
        # The other file has that sound: it is chosen when the work is looked for.
        database = await Database.connect(
            whole.mesh.settings.database_url.get_secret_value(), size=1, statement_timeout_ms=10_000
        )
        async with database.transaction() as connection:
            now = await work.database_time(connection)
            assert await work.resend(connection, now, first_sequence=None, most_losses=3) == 1
        await database.close()
        await whole.until_indexed(2)
    assert await whole.sql.fetchval("SELECT count(*) FROM embeddings WHERE audio_hash = $1", sound) == 1
    assert whole.heard() == 2


async def test_restored_queue_waits_for_social_and_has_nothing_heard_again(
    whole: Whole, caplog: pytest.LogCaptureFixture
) -> None:
    bus = await whole.mesh.bus("social")
    await whole.register("a.wav")
    await until(lambda: whole.sql.fetchval("SELECT count(*) = 1 FROM embedding_work WHERE sequence IS NOT NULL"))
    backup = await bus.jetstream.get_msg(EMBED_WORK, 1)
    async with whole.embedding():
        await whole.until_indexed(1)
        await whole.until_queue_is_empty(bus)
    # Everything stops; then the embedder takes work before social is there.
    await whole.mesh.stack.aclose()
    bus = await whole.mesh.bus("social")
    await bus.jetstream.delete_stream(EMBED_WORK)
    await bus.ensure_streams([EMBED_WORK])
    await bus.jetstream.publish(SUBJECT, backup.data or b"", headers=backup.headers)
    async with connect(whole.mesh.settings.listen, idempotent=IDEMPOTENT) as channel:
        whole.social = Client(channel)
        async with whole.embedding():
            await until(lambda: "handler_waits" in caplog.text)
            await whole.mesh.start()
            await whole.until_queue_is_empty(bus)
    assert whole.heard() == 1


async def test_old_failure_does_no_harm_to_work_that_was_promised_since(whole: Whole) -> None:
    await whole.register("a.wav")
    row = await whole.sql.fetchrow("SELECT event_id, track_id, audio_hash FROM embedding_work")
    assert row is not None
    bus, social = await whole.mesh.bus("embedder"), await whole.mesh.bus("social")
    handled = 0

    async def fail(work_id: str, reason: str) -> tuple[str, str]:
        """Tell a failure; return state and reason of the track after it was heard."""
        nonlocal handled
        handled += 1
        event = TrackEmbeddingFailed(
            track_id=str(row["track_id"]),
            audio_hash=row["audio_hash"],
            encoder_id=ENCODER_ID,
            reason=reason,
            work_id=work_id,
        )
        ack = await bus.publish(EMBEDDING_FAILED, event.SerializeToString(), f"failure-{handled}")

        async def is_heard() -> bool:
            found = await social.jetstream.consumers_info(EMBEDDER_EVENTS)
            return [one.ack_floor.stream_seq for one in found if one.ack_floor is not None] == [ack.sequence]

        await until(is_heard)
        found = await whole.sql.fetchrow("SELECT state, failure_reason FROM track_embeddings")
        assert found is not None
        return found["state"], found["failure_reason"]

    for reason in ("EMBEDDING_FAILED", "MEDIA_NOT_FOUND"):
        assert await fail("0190a0a0-0000-7000-8000-000000000000", reason) == ("PENDING", "")
        assert await whole.sql.fetchval("SELECT event_id FROM embedding_work") == row["event_id"]
    assert await fail(str(row["event_id"]), "AUDIO_SILENT") == ("FAILED", "AUDIO_SILENT")
    assert await whole.sql.fetchval("SELECT count(*) FROM embedding_work") == 0


async def test_file_that_is_overwritten_for_a_while_gets_its_own_vector(whole: Whole) -> None:
    await whole.register("a.wav")
    registered = (whole.root / "a.wav").read_bytes()
    shutil.copy(whole.root / "b.wav", whole.root / "a.wav")
    async with whole.embedding():
        await whole.until_indexed(0, failed=1)
        assert whole.heard() == 0
        reasons = [
            row["failure_reason"] for row in await whole.sql.fetch("SELECT failure_reason FROM track_embeddings")
        ]
        assert reasons == ["MEDIA_CHANGED"]
        (whole.root / "a.wav").write_bytes(registered)
        (again,) = await whole.register("a.wav")
        assert again.outcome == catalog_pb2.REGISTRATION_OUTCOME_UNCHANGED
        await whole.until_indexed(1)
    assert whole.heard() == 1


async def test_streams_are_told_with_who_works_them_off(whole: Whole) -> None:
    await whole.register("a.wav")
    await until(lambda: whole.sql.fetchval("SELECT count(*) = 1 FROM embedding_work WHERE sequence IS NOT NULL"))
    request = work_pb2.ListStreamsRequest()

    async def listed() -> dict[str, work_pb2.Stream]:
        answer = await whole.work.ListStreams(request, timeout=TIMEOUT_S, metadata=whole.admin.metadata)
        return {one.name: one for one in answer.streams}

    found = await listed()
    assert list(found) == list(STREAMS)
    assert (found[EMBED_WORK].message_count, len(found[EMBED_WORK].consumers)) == (1, 0)
    async with whole.embedding():
        await whole.until_indexed(1)
    found = await listed()
    (consumer,) = found[EMBED_WORK].consumers
    assert (consumer.name, consumer.waiting_count) == (f"embedder-{ENCODER_ID}", 0)
    assert [one.name for one in found[EMBEDDER_EVENTS].consumers] == ["social"]
    assert found[EMBEDDER_EVENTS].created_at.seconds > 0
