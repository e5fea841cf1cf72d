"""The RPCs over a real socket: who may call, what comes back, what is refused and how."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest

from museed.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from services.chassis import vectors
from services.chassis.channel import connect
from services.chassis.errors import DomainError
from services.chassis.server import Server
from services.chassis.tokens import TokenVerifier
from services.embedder.admission import CallLimits
from services.embedder.embedding import AudioLimits
from services.embedder.errors import UploadStalled
from services.embedder.intake import Intake
from services.embedder.servicer import ACCESS, Servicer
from tests.fakes.encoder import MANIFEST, POISON
from tests.fakes.tokens import TokenSigner
from tests.integration.embedder import audio_files
from tests.integration.embedder.conftest import Rig, send_audio

LIMITS = AudioLimits(min_seconds=3, max_seconds=60, max_bytes=3_000_000)
SIGNER = TokenSigner()
USER = (("authorization", f"Bearer {SIGNER.token()}"),)
WORKER = (("authorization", f"Bearer {SIGNER.job_token()}"),)
TIMEOUT_S = 60


@dataclass
class Calls:
    """A client of a running embedder."""

    rig: Rig
    stub: "embedder_pb2_grpc.EmbedderServiceAsyncStub"  # a name of the stubs alone

    async def embed(
        self,
        data: bytes,
        *,
        chunk: int = 100_000,
        metadata: tuple[tuple[str, str], ...] = USER,
        **header: float | str,
    ) -> embedder_pb2.Embedding:
        fields = {"size_bytes": len(data)} | header
        first = embedder_pb2.EmbedRequest(header=embedder_pb2.EmbedHeader(**fields))  # type: ignore[arg-type]  # mixed
        rest = [embedder_pb2.EmbedRequest(chunk=data[start : start + chunk]) for start in range(0, len(data), chunk)]
        return await self.send([first, *rest], metadata)

    async def send(
        self, messages: list[embedder_pb2.EmbedRequest], metadata: tuple[tuple[str, str], ...] = USER
    ) -> embedder_pb2.Embedding:
        return await send_audio(self.stub, messages, metadata, TIMEOUT_S)

    async def embed_batch(
        self, requests: AsyncIterator[embedder_pb2.EmbedBatchRequest], metadata: tuple[tuple[str, str], ...] = WORKER
    ) -> list[embedder_pb2.EmbedBatchResponse]:
        responses = self.stub.EmbedBatch(requests, timeout=TIMEOUT_S, metadata=metadata)
        return [response async for response in responses]

    async def embed_blob(
        self, digest: bytes, metadata: tuple[tuple[str, str], ...] = WORKER, encoder_id: str = ""
    ) -> embedder_pb2.Embedding:
        request = embedder_pb2.EmbedBlobRequest(digest=digest, encoder_id=encoder_id)
        return (await self.stub.EmbedBlob(request, timeout=TIMEOUT_S, metadata=metadata)).embedding


@contextlib.asynccontextmanager
async def serving(rig: Rig, idle_s: float, files_of_one: int = 2) -> AsyncIterator[Calls]:
    server = Server("127.0.0.1:0", ACCESS, TokenVerifier(SIGNER.jwks))
    intake = Intake(rig.encoder, rig.tracks, rig.blobs, rig.spool, LIMITS)
    limits = CallLimits(files=2, files_of_one=files_of_one, batches=1, batch_items=2, idle_s=idle_s)
    servicer = Servicer(rig.encoder, intake, limits)
    embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(servicer, server.grpc)
    await server.start()
    await server.set_serving(True)
    async with connect(f"127.0.0.1:{server.port}") as channel:
        yield Calls(rig, embedder_pb2_grpc.EmbedderServiceStub(channel))
    await server.drain(1)


@pytest.fixture
async def calls(rig: Rig) -> AsyncIterator[Calls]:
    """An embedder that waits for its callers longer than any test does."""
    async with serving(rig, idle_s=60) as found:
        yield found


@pytest.fixture
async def impatient(rig: Rig) -> AsyncIterator[Calls]:
    """An embedder that gives up on a stream soon: whatever is sent to it on one may come too late."""
    async with serving(rig, idle_s=0.5) as found:
        yield found


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("song") / "song.ogg"
    return audio_files.write(path, audio_files.music(25)).read_bytes()


async def refusal(call: "asyncio.Future[object] | object") -> DomainError:
    with pytest.raises(DomainError) as caught:
        await call  # type: ignore[misc]  # any awaitable
    return caught.value


async def test_streamed_file_comes_back_as_a_vector(calls: Calls, song: bytes) -> None:
    found = await calls.embed(song)
    assert found.encoder_id == MANIFEST.encoder_id
    assert np.linalg.norm(vectors.decode(found.vector, 2)) == pytest.approx(1)
    assert found.duration_seconds == pytest.approx(25)
    assert found.window_count == 3
    assert found.windows_digest == b""
    assert [tag.name for tag in found.tags] == ["quiet", "loud"]
    assert found.tags[0].score >= found.tags[1].score


async def test_chunks_do_not_matter_and_nothing_stays_on_disk(calls: Calls, song: bytes) -> None:
    whole = await calls.embed(song, chunk=1024 * 1024)
    pieces = await calls.embed(song, chunk=7_001)
    assert whole == pieces
    assert list(calls.rig.spool_folder.iterdir()) == []


async def test_blob_comes_back_as_the_same_vector(calls: Calls, song: bytes) -> None:
    digest = await calls.rig.blobs.put(song)
    streamed = await calls.embed(song)
    calls.rig.spool.close()  # what lies in a local folder already is not copied
    assert await calls.embed_blob(digest) == streamed


async def test_model_is_described_to_everybody(calls: Calls) -> None:
    model = await calls.stub.DescribeModel(embedder_pb2.DescribeModelRequest(), timeout=TIMEOUT_S)
    assert model == embedder_pb2.DescribeModelResponse(
        encoder_id=MANIFEST.encoder_id,
        name="fake",
        dimension=2,
        sample_rate_hz=1000,
        window_seconds=10,
        device="cpu",
        precision="fp32",
        tag_names=["loud", "quiet"],
        random_pair_cosine=[
            embedder_pb2.CosineQuantile(share=0.5, cosine=0.125),
            embedder_pb2.CosineQuantile(share=0.99, cosine=0.75),
        ],
        is_centred=True,
        runtime="onnxruntime",
        parameters=4,
        memory_bytes=16,
        pooling="weighted_mean",
    )


@pytest.mark.parametrize(
    ("metadata", "reason"), [((), "LOGIN_REQUIRED"), (WORKER, "PERMISSION_DENIED")], ids=["guest", "worker"]
)
async def test_stream_is_for_people(
    calls: Calls, song: bytes, metadata: tuple[tuple[str, str], ...], reason: str
) -> None:
    assert (await refusal(calls.embed(song, metadata=metadata))).reason == reason
    assert calls.rig.encoder.batches == []


@pytest.mark.parametrize(
    ("metadata", "reason"), [((), "LOGIN_REQUIRED"), (USER, "PERMISSION_DENIED")], ids=["guest", "user"]
)
async def test_blobs_are_for_workers(
    calls: Calls, song: bytes, metadata: tuple[tuple[str, str], ...], reason: str
) -> None:
    digest = await calls.rig.blobs.put(song)
    assert (await refusal(calls.embed_blob(digest, metadata))).reason == reason
    assert calls.rig.encoder.batches == []


async def test_bad_audio_comes_back_by_code(calls: Calls, song: bytes, tmp_path: Path) -> None:
    silent = audio_files.write(tmp_path / "silent.flac", audio_files.music(5) * 0).read_bytes()
    short = audio_files.write(tmp_path / "short.flac", audio_files.music(2)).read_bytes()
    long = audio_files.write(tmp_path / "long.flac", np.zeros((61 * 44_100, 1), np.float32)).read_bytes()
    reasons = [
        (await refusal(calls.embed(data))).reason
        for data in (b"", b"no sound at all", song[: len(song) // 2], silent, short, long)
    ]
    assert reasons == [
        "AUDIO_EMPTY", "NOT_AUDIO", "AUDIO_TRUNCATED", "AUDIO_SILENT", "AUDIO_TOO_SHORT", "AUDIO_TOO_LONG",
    ]  # fmt: skip
    assert (await calls.embed(song)).window_count == 3


async def test_error_carries_field_value_and_limit(calls: Calls) -> None:
    error = await refusal(calls.embed(b"", size_bytes=3_000_001))
    assert (error.code, error.reason) == ("INVALID_ARGUMENT", "AUDIO_TOO_LARGE")
    assert error.metadata == {"field": "audio", "value": "3000001", "limit": "3000000"}


async def test_large_blob_is_refused_by_its_size(calls: Calls) -> None:
    digest = await calls.rig.blobs.put(b"\0" * 3_000_001)
    assert (await refusal(calls.embed_blob(digest))).reason == "AUDIO_TOO_LARGE"


async def test_unknown_and_malformed_digests(calls: Calls) -> None:
    assert (await refusal(calls.embed_blob(b"\1" * 32))).reason == "BLOB_NOT_FOUND"
    error = await refusal(calls.embed_blob(b"\1" * 31))
    assert (error.field, error.value, error.limit) == ("digest", "31", "32")


async def test_other_encoder_is_a_failed_precondition_naming_the_serving_one(calls: Calls, song: bytes) -> None:
    digest = await calls.rig.blobs.put(song)
    for call in (calls.embed(song, encoder_id="other-1"), calls.embed_blob(digest, encoder_id="other-1")):
        error = await refusal(call)
        assert (error.code, error.reason) == ("FAILED_PRECONDITION", "ENCODER_MISMATCH")
        assert (error.value, error.limit) == ("other-1", MANIFEST.encoder_id)
    assert (await calls.embed(song, encoder_id=MANIFEST.encoder_id)).window_count == 3


@pytest.mark.parametrize(("min_seconds", "is_fine"), [(25.0, True), (3.0, True), (2.9, False), (61.0, False)])
async def test_shortest_length_is_a_choice_within_bounds(
    calls: Calls, song: bytes, min_seconds: float, is_fine: bool
) -> None:
    if is_fine:
        assert (await calls.embed(song, min_seconds=min_seconds)).window_count == 3
        return
    error = await refusal(calls.embed(song, min_seconds=min_seconds))
    assert (error.field, error.limit) == ("header.min_seconds", "3..60")


async def test_not_a_number_is_no_length(calls: Calls, song: bytes) -> None:
    assert (await refusal(calls.embed(song, min_seconds=float("nan")))).field == "header.min_seconds"


async def test_own_shortest_length_is_told(calls: Calls, song: bytes) -> None:
    error = await refusal(calls.embed(song, min_seconds=30))
    assert (error.reason, error.limit) == ("AUDIO_TOO_SHORT", "30")


def chunk(data: bytes) -> embedder_pb2.EmbedRequest:
    return embedder_pb2.EmbedRequest(chunk=data)


def header(size: int) -> embedder_pb2.EmbedRequest:
    return embedder_pb2.EmbedRequest(header=embedder_pb2.EmbedHeader(size_bytes=size))


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [chunk(b"abc")],
        [embedder_pb2.EmbedRequest()],
        [header(-1)],
        [header(3)],
        [header(3), chunk(b"ab")],
        [header(3), chunk(b"abcd")],
        [header(3), chunk(b"ab"), chunk(b"cd")],
        [header(3), header(3)],
        [header(2_000_000), chunk(b"\0" * 1_048_577)],
    ],
    ids=["nothing", "no header", "empty", "negative", "no body", "less", "more", "more later", "twice", "large chunk"],
)
async def test_stream_that_breaks_its_contract_is_refused(
    calls: Calls, messages: list[embedder_pb2.EmbedRequest]
) -> None:
    error = await refusal(calls.send(messages))
    assert (error.code, error.reason) == ("INVALID_ARGUMENT", "UPLOAD_MALFORMED")
    assert list(calls.rig.spool_folder.iterdir()) == []


async def test_more_calls_than_allowed_are_refused_at_once_with_a_hint(calls: Calls, song: bytes) -> None:
    calls.rig.encoder.open.clear()
    held = [asyncio.create_task(calls.embed(song)) for _ in range(2)]
    while not calls.rig.encoder.batches:
        await asyncio.sleep(0.005)
    error = await refusal(calls.embed(b"", size_bytes=1000))
    assert (error.code, error.reason, error.limit) == ("RESOURCE_EXHAUSTED", "EMBEDDER_BUSY", "2")
    assert error.retry_after_ms == 2000
    calls.rig.encoder.open.set()
    assert [found.window_count for found in await asyncio.gather(*held)] == [3, 3]
    assert (await calls.embed(song)).window_count == 3


async def test_one_user_leaves_places_for_others_and_for_workers(rig: Rig, song: bytes) -> None:
    digest = await rig.blobs.put(song)
    other = (("authorization", f"Bearer {SIGNER.token(sub='user-2')}"),)
    rig.encoder.open.clear()
    async with serving(rig, idle_s=60, files_of_one=1) as calls:
        held = asyncio.create_task(calls.embed(song))
        while not rig.encoder.batches:
            await asyncio.sleep(0.005)
        error = await refusal(calls.embed(b"", size_bytes=1000))
        assert (error.code, error.reason, error.value, error.limit) == ("RESOURCE_EXHAUSTED", "EMBEDDER_BUSY", "1", "1")
        assert error.retry_after_ms == 2000
        rig.encoder.open.set()
        assert (await calls.embed_blob(digest)).window_count == 3  # a job of the same user
        assert (await calls.embed(song, metadata=other)).window_count == 3
        assert (await held).window_count == 3


async def test_client_that_goes_away_frees_its_place(calls: Calls, song: bytes) -> None:
    calls.rig.encoder.open.clear()
    held = [asyncio.create_task(calls.embed(song)) for _ in range(2)]
    while not calls.rig.encoder.batches:
        await asyncio.sleep(0.005)
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    calls.rig.encoder.open.set()
    while True:
        with contextlib.suppress(DomainError):
            assert (await calls.embed(song)).window_count == 3
            return
        await asyncio.sleep(0.01)


async def test_deadline_is_kept(calls: Calls, song: bytes) -> None:
    calls.rig.encoder.open.clear()
    digest = await calls.rig.blobs.put(song)
    request = embedder_pb2.EmbedBlobRequest(digest=digest)
    error = await refusal(calls.stub.EmbedBlob(request, timeout=0.3, metadata=WORKER))
    assert error.code == grpc.StatusCode.DEADLINE_EXCEEDED.name
    calls.rig.encoder.open.set()


async def test_windows_of_a_blob_are_kept_for_who_asks_for_them(calls: Calls, song: bytes) -> None:
    blobs = calls.rig.blobs
    digest = await blobs.put(song)
    assert (await calls.embed_blob(digest)).windows_digest == b""
    request = embedder_pb2.EmbedBlobRequest(digest=digest, keep_windows=True)
    found = (await calls.stub.EmbedBlob(request, timeout=TIMEOUT_S, metadata=WORKER)).embedding
    rows = np.frombuffer(await blobs.get(found.windows_digest), dtype="<f2").astype(np.float32)
    dimension = len(found.vector) // 4
    rows = rows.reshape(-1, dimension)
    heard = rows[rows.any(axis=1)]
    assert len(heard) == found.window_count
    np.testing.assert_allclose(np.linalg.norm(heard, axis=1), 1, atol=2e-3)


async def test_samples_have_the_vector_of_their_file(calls: Calls, tmp_path: Path) -> None:
    sound = np.concatenate([np.full(10_000, 0.2), np.full(10_000, 0.4), np.full(4_000, 0.8)]).astype("<f4")
    file = audio_files.write(tmp_path / "levels.wav", sound.repeat(2)[:, None], 2000, subtype="FLOAT").read_bytes()
    decoded = await calls.embed(file)
    for chunk in (100_000, 4_001):
        found = await calls.embed(sound.tobytes(), chunk=chunk, encoding=embedder_pb2.AUDIO_ENCODING_PCM_F32LE)
        np.testing.assert_allclose(vectors.decode(found.vector, 2), vectors.decode(decoded.vector, 2), atol=1e-3)
        assert [tag.name for tag in found.tags] == [tag.name for tag in decoded.tags]
        assert (found.window_count, found.duration_seconds) == (3, 24.0)
        assert not found.HasField("descriptors")
    assert list(calls.rig.spool_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("size_bytes", "encoding", "reason", "field"),
    [
        (4 * 2_999, 1, "AUDIO_TOO_SHORT", "audio"),
        (4 * 60_001, 1, "AUDIO_TOO_LONG", "audio"),
        (4 * 5_000 + 2, 1, "UPLOAD_MALFORMED", "header.size_bytes"),
        (0, 1, "AUDIO_EMPTY", "audio"),
        (20_000, 7, "UPLOAD_MALFORMED", "header.encoding"),
    ],
)
async def test_samples_are_refused_by_their_header(
    calls: Calls, size_bytes: int, encoding: int, reason: str, field: str
) -> None:
    never = asyncio.Event()

    async def header_only() -> AsyncIterator[embedder_pb2.EmbedRequest]:
        header = embedder_pb2.EmbedHeader(size_bytes=size_bytes, encoding=encoding)  # type: ignore[arg-type]
        yield embedder_pb2.EmbedRequest(header=header)
        await never.wait()

    error = await refusal(calls.stub.Embed(header_only(), timeout=TIMEOUT_S, metadata=USER))
    assert (error.reason, error.field) == (reason, field)


async def test_samples_that_are_no_sound_are_refused(calls: Calls) -> None:
    sound = np.full(12_000, 0.5, "<f4")
    sound[11_000] = np.nan
    error = await refusal(calls.embed(sound.tobytes(), encoding=embedder_pb2.AUDIO_ENCODING_PCM_F32LE))
    assert error.reason == "AUDIO_CORRUPT"


async def test_caller_who_stops_sending_loses_the_place(impatient: Calls, song: bytes) -> None:
    digest = await impatient.rig.blobs.put(song)
    never = asyncio.Event()

    async def stalling(*messages: embedder_pb2.EmbedRequest) -> AsyncIterator[embedder_pb2.EmbedRequest]:
        for message in messages:
            yield message
        await never.wait()

    for messages in ([], [header(1000)], [header(1000), chunk(b"abc")]):
        error = await refusal(impatient.stub.Embed(stalling(*messages), timeout=TIMEOUT_S, metadata=USER))
        assert (error.code, error.reason, error.retry_after_ms) == ("DEADLINE_EXCEEDED", "UPLOAD_STALLED", 1000)
        assert error.limit in ("0.5 s", "65536 bytes/s after 0.5 s")  # the pace of the chunk may have run out first
    assert (await impatient.embed_blob(digest)).window_count == 3


async def test_batch_answers_every_item_by_its_key(calls: Calls, song: bytes) -> None:
    digest = await calls.rig.blobs.put(song)
    samples = np.full(12_000, 0.5, "<f4").tobytes()
    Item = embedder_pb2.EmbedBatchRequest

    async def items() -> AsyncIterator[embedder_pb2.EmbedBatchRequest]:
        yield Item(key="blob", digest=digest)
        yield Item(key="file", audio=song)
        yield Item(key="samples", pcm_f32le=samples)
        yield Item(key="no sound", audio=b"just words " * 100)
        yield Item(key="no blob", digest=b"\1" * 32)
        yield Item(key="no digest", digest=b"short")
        yield Item(key="nothing")
        yield Item(key="large", pcm_f32le=b"\0" * (4 * 1024 * 1024 + 4))
        yield Item(key="short", pcm_f32le=samples[:100])
        yield Item(key="longer wanted", pcm_f32le=samples, min_seconds=13)
        yield Item(key="other encoder", audio=song, encoder_id="other-0123456789abcdef")
        yield Item(key="file again", audio=song)

    found = {answer.key: answer for answer in await calls.embed_batch(items())}
    whole = await calls.embed(song)
    for key in ("blob", "file", "file again"):
        assert found[key].embedding == whole
    assert found["samples"].embedding.duration_seconds == 12
    errors = {key: answer.error.reason for key, answer in found.items() if answer.WhichOneof("outcome") == "error"}
    assert errors == {
        "no sound": "NOT_AUDIO",
        "no blob": "BLOB_NOT_FOUND",
        "no digest": "INVALID_ARGUMENT",
        "nothing": "INVALID_ARGUMENT",
        "large": "INVALID_ARGUMENT",
        "short": "AUDIO_TOO_SHORT",
        "longer wanted": "AUDIO_TOO_SHORT",
        "other encoder": "ENCODER_MISMATCH",
    }
    large = found["large"].error
    assert large.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert large.metadata == {"field": "pcm_f32le", "value": "4194308", "limit": "4194304"}
    assert list(calls.rig.spool_folder.iterdir()) == []


async def test_poison_item_fails_alone(calls: Calls) -> None:
    def samples(level: float) -> bytes:
        return np.full(10_000, level, "<f4").tobytes()

    async def items() -> AsyncIterator[embedder_pb2.EmbedBatchRequest]:
        for number in range(9):
            level = POISON if number % 3 == 1 else 0.1 + number / 100
            yield embedder_pb2.EmbedBatchRequest(key=str(number), pcm_f32le=samples(level))

    answers = await calls.embed_batch(items())
    failed = {answer.key: answer.error.reason for answer in answers if answer.HasField("error")}
    assert failed == dict.fromkeys("147", "ENCODING_FAILED")
    assert len(answers) == 9


@pytest.mark.parametrize("key", ["", "k" * 129, "조" * 43])
async def test_batch_ends_at_an_item_that_cannot_be_answered(calls: Calls, key: str) -> None:
    async def items() -> AsyncIterator[embedder_pb2.EmbedBatchRequest]:
        yield embedder_pb2.EmbedBatchRequest(key=key)

    error = await refusal(calls.embed_batch(items()))
    assert (error.code, error.field, error.limit) == ("INVALID_ARGUMENT", "key", "128")


async def one_item_until(over: asyncio.Event) -> AsyncIterator[embedder_pb2.EmbedBatchRequest]:
    yield embedder_pb2.EmbedBatchRequest(key="first", pcm_f32le=np.full(12_000, 0.5, "<f4").tobytes())
    await over.wait()


async def test_batches_are_for_workers_and_bounded(calls: Calls) -> None:
    over = asyncio.Event()
    error = await refusal(calls.embed_batch(one_item_until(over), USER))
    assert error.code == "PERMISSION_DENIED"
    stream = aiter(calls.stub.EmbedBatch(one_item_until(over), timeout=TIMEOUT_S, metadata=WORKER))
    assert (await anext(stream)).key == "first"
    error = await refusal(calls.embed_batch(one_item_until(over)))
    assert (error.code, error.reason, error.limit) == ("RESOURCE_EXHAUSTED", "EMBEDDER_BUSY", "1")
    over.set()
    assert [answer async for answer in stream] == []
    assert [answer.key for answer in await calls.embed_batch(one_item_until(over))] == ["first"]


async def test_batch_that_says_nothing_loses_the_place(impatient: Calls) -> None:
    for _ in range(2):  # of one place
        error = await refusal(impatient.embed_batch(one_item_until(asyncio.Event())))
        assert (error.code, error.reason, error.limit) == ("DEADLINE_EXCEEDED", "UPLOAD_STALLED", "0.5 s")


async def test_long_ids_do_not_hide_the_refusal(calls: Calls, song: bytes) -> None:
    for length in (3_000, 100_000):
        error = await refusal(calls.embed(song, encoder_id="조" * length))
        assert error.reason == "ENCODER_MISMATCH"


async def test_caller_who_leaves_a_batch_ends_its_work(calls: Calls) -> None:
    calls.rig.encoder.open.clear()
    never = asyncio.Event()

    async def held(level: float) -> AsyncIterator[embedder_pb2.EmbedBatchRequest]:
        yield embedder_pb2.EmbedBatchRequest(key="one", pcm_f32le=np.full(12_000, level, "<f4").tobytes())
        await never.wait()

    left = calls.stub.EmbedBatch(held(0.3), timeout=TIMEOUT_S, metadata=WORKER)
    reading = asyncio.ensure_future(anext(aiter(left)))
    while not calls.rig.encoder.batches:
        await asyncio.sleep(0.005)
    reading.cancel()
    left.cancel()
    calls.rig.encoder.open.set()
    while True:  # its place is the only one
        stream = aiter(calls.stub.EmbedBatch(held(0.4), timeout=TIMEOUT_S, metadata=WORKER))
        with contextlib.suppress(DomainError):
            assert (await anext(stream)).HasField("embedding")
            return
        await asyncio.sleep(0.01)


class Reader:
    """A caller's end of a stream: takes so many answers, and then no more."""

    def __init__(self, takes: int) -> None:
        self.taken: list[str] = []
        self._takes = takes

    def done(self) -> bool:
        return False

    async def write(self, answer: embedder_pb2.EmbedBatchResponse) -> None:
        if len(self.taken) == self._takes:
            await asyncio.Event().wait()
        self.taken.append(answer.key)


async def test_reader_of_a_batch_who_stops_reading_loses_the_place(rig: Rig) -> None:
    intake = Intake(rig.encoder, rig.tracks, rig.blobs, rig.spool, LIMITS)
    limits = CallLimits(files=1, files_of_one=1, batches=1, batch_items=1, idle_s=0.1)
    servicer = Servicer(rig.encoder, intake, limits)

    async def items() -> AsyncIterator[embedder_pb2.EmbedBatchRequest]:
        for key in "abc":
            yield embedder_pb2.EmbedBatchRequest(key=key)

    async def answered(reader: Reader) -> None:
        async for _ in servicer.EmbedBatch(items(), reader):  # type: ignore[arg-type]  # as much of it as is used
            pytest.fail("answers are written, and not yielded")

    for _ in range(2):  # of one place
        reader = Reader(takes=1)
        with pytest.raises(UploadStalled) as caught:
            await asyncio.wait_for(answered(reader), 60)
        assert reader.taken == ["a"]
        assert (caught.value.code, caught.value.value, caught.value.limit) == (
            "DEADLINE_EXCEEDED", "over 0.1 s", "0.1 s",
        )  # fmt: skip
        assert caught.value.retry_after_ms == 1000
    reader = Reader(takes=3)
    await answered(reader)
    assert reader.taken == ["a", "b", "c"]
