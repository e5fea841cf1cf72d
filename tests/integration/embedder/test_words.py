"""EmbedText and TagTrack over a real socket: a tiny MuQ-MuLan beside an encoder, as the encoder, and none."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from museed.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from services.chassis import vectors
from services.chassis.channel import connect
from services.chassis.errors import DomainError
from services.chassis.server import Server
from services.chassis.telemetry import Metrics
from services.chassis.tokens import TokenVerifier
from services.embedder import mulan, mulan_folder
from services.embedder.__main__ import Embedder, prepare_words, start_decoders
from services.embedder.admission import CallLimits
from services.embedder.axes import AXES, score
from services.embedder.batcher import Batcher
from services.embedder.decoder import DecoderPool
from services.embedder.embedding import AudioLimits, TrackEmbedder
from services.embedder.intake import Intake
from services.embedder.lanes import Lane
from services.embedder.metrics import EmbedderMetrics
from services.embedder.model import ServedEncoder
from services.embedder.mulan import MulanEncoder
from services.embedder.servicer import ACCESS, Servicer
from services.embedder.settings import EmbedderSettings
from services.embedder.tagging import AxisScorer, Tagger
from services.embedder.text import TextEmbedder
from tests.conftest import NatsServer, free_port
from tests.fakes.encoder import MANIFEST, FakeEncoder
from tests.fakes.mulan import DIM, save_tiny_mulan, strip_towers
from tests.fakes.tokens import TokenSigner
from tests.integration.embedder import audio_files
from tests.integration.embedder.conftest import Rig

LIMITS = AudioLimits(min_seconds=3, max_seconds=60, max_bytes=3_000_000)
SIGNER = TokenSigner()
USER = (("authorization", f"Bearer {SIGNER.token()}"),)
WORKER = (("authorization", f"Bearer {SIGNER.job_token()}"),)
TIMEOUT_S = 60
MAX_WAITING = 8
CALLS = CallLimits(files=2, files_of_one=2, batches=1, batch_items=2, idle_s=0.5)


@dataclass
class Words:
    """A client of a running embedder."""

    rig: Rig
    stub: "embedder_pb2_grpc.EmbedderServiceAsyncStub"  # a name of the stubs alone

    async def embed(
        self,
        text: str,
        encoder_id: str = "",
        metadata: tuple[tuple[str, str], ...] = WORKER,
        timeout_s: float = TIMEOUT_S,
    ) -> embedder_pb2.EmbedTextResponse:
        request = embedder_pb2.EmbedTextRequest(text=text, encoder_id=encoder_id)
        return await self.stub.EmbedText(request, timeout=timeout_s, metadata=metadata)

    async def tag(
        self, digest: bytes, limit: int = 0, metadata: tuple[tuple[str, str], ...] = WORKER
    ) -> embedder_pb2.TagTrackResponse:
        request = embedder_pb2.TagTrackRequest(digest=digest, limit=limit)
        return await self.stub.TagTrack(request, timeout=TIMEOUT_S, metadata=metadata)

    async def embed_blob(self, digest: bytes) -> embedder_pb2.Embedding:
        request = embedder_pb2.EmbedBlobRequest(digest=digest)
        return (await self.stub.EmbedBlob(request, timeout=TIMEOUT_S, metadata=WORKER)).embedding

    async def describe(self) -> embedder_pb2.DescribeModelResponse:
        return await self.stub.DescribeModel(embedder_pb2.DescribeModelRequest(), timeout=TIMEOUT_S)


@contextlib.asynccontextmanager
async def serving(servicer: Servicer, rig: Rig) -> AsyncIterator[Words]:
    server = Server("127.0.0.1:0", ACCESS, TokenVerifier(SIGNER.jwks))
    embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(servicer, server.grpc)
    await server.start()
    await server.set_serving(True)
    async with connect(f"127.0.0.1:{server.port}") as channel:
        yield Words(rig, embedder_pb2_grpc.EmbedderServiceStub(channel))
    await server.drain(1)


@contextlib.asynccontextmanager
async def taking_in(encoder: ServedEncoder, decoders: DecoderPool, rig: Rig) -> AsyncIterator[Intake]:
    batcher = Batcher(encoder, max_batch_seconds=40, max_delay_ms=1, max_queued_seconds=1000)
    running = asyncio.create_task(batcher.run())
    tracks = TrackEmbedder(encoder, batcher, {Lane.INTERACTIVE: decoders, Lane.BULK: decoders}, seconds_in_flight=20)
    yield Intake(encoder, tracks, rig.blobs, rig.spool, LIMITS)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    batcher.close()
    tracks.close()


@pytest.fixture
def own(rig: Rig) -> Intake:
    """Embeds with the fake encoder."""
    return Intake(rig.encoder, rig.tracks, rig.blobs, rig.spool, LIMITS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "mulan"
    folder.mkdir()
    save_tiny_mulan(folder)
    strip_towers(folder)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> MulanEncoder:
    return mulan.load(mulan_folder.find(str(folder)))


@pytest.fixture(scope="module")
def axes(model: MulanEncoder) -> AxisScorer:
    return AxisScorer(model)


@pytest.fixture
def text(model: MulanEncoder) -> Iterator[TextEmbedder]:
    embedder = TextEmbedder(model, max_waiting=MAX_WAITING, cached=100)
    yield embedder
    embedder.close()


@pytest.fixture
async def bare(rig: Rig, own: Intake) -> AsyncIterator[Words]:
    """An embedder without a text model."""
    async with serving(Servicer(rig.encoder, own, CALLS), rig) as words:
        yield words


@pytest.fixture
async def beside(
    rig: Rig, own: Intake, decoders: DecoderPool, model: MulanEncoder, text: TextEmbedder, axes: AxisScorer
) -> AsyncIterator[Words]:
    """An embedder of the fake encoder, with MuQ-MuLan beside it."""
    async with taking_in(model, decoders, rig) as axis_intake:
        tagger = Tagger(rig.encoder, own, axes, axis_intake)
        async with serving(Servicer(rig.encoder, own, CALLS, text, tagger), rig) as words:
            yield words


@pytest.fixture
async def served(
    rig: Rig, decoders: DecoderPool, model: MulanEncoder, text: TextEmbedder, axes: AxisScorer
) -> AsyncIterator[Words]:
    """An embedder of MuQ-MuLan itself."""
    async with taking_in(model, decoders, rig) as intake:
        servicer = Servicer(model, intake, CALLS, text, Tagger(model, intake, axes))
        async with serving(servicer, rig) as words:
            yield words


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("song") / "song.ogg"
    return audio_files.write(path, audio_files.music(25)).read_bytes()


@pytest.fixture
def held(model: MulanEncoder, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, list[str]]]:
    """Holds the text model at its first prompt until the event is set, and tells which prompts it ran."""
    gate, prompts = threading.Event(), list[str]()
    real: Callable[[str], object] = model.embed_text

    def embed_text(prompt: str) -> object:
        prompts.append(prompt)
        gate.wait()
        return real(prompt)

    monkeypatch.setitem(vars(model), "embed_text", embed_text)  # setattr would leave the real one there, for good
    yield gate, prompts
    gate.set()


async def refusal(call: "asyncio.Future[object] | object") -> DomainError:
    with pytest.raises(DomainError) as caught:
        await call  # type: ignore[misc]  # any awaitable
    return caught.value


async def test_words_and_sound_lie_in_one_space(served: Words, song: bytes) -> None:
    found, track = await served.embed("calm piano"), await served.embed_blob(await served.rig.blobs.put(song))
    described = await served.describe()
    assert found.encoder_id == track.encoder_id == described.encoder_id == described.text_encoder_id
    assert found.prompt == "calm piano"
    pair = [vectors.decode(data, DIM) for data in (found.vector, track.vector)]  # which checks the norm
    assert np.linalg.norm(pair, axis=1) == pytest.approx([1, 1], abs=1e-6)
    assert track.window_count == 3


async def test_vector_does_not_depend_on_order_and_company(beside: Words, model: MulanEncoder) -> None:
    prompts = ["a", "calm piano and a very long line of words", "metal", "悲伤的音乐", "sad"]
    alone = [vectors.encode(model.embed_text(prompt)) for prompt in prompts]
    together = await asyncio.gather(*(beside.embed(prompt) for prompt in reversed(prompts)))
    assert [found.vector for found in reversed(together)] == alone
    assert len(set(alone)) == len(prompts)


async def test_korean_is_embedded_as_english(beside: Words) -> None:
    found = await beside.embed("비 오는 날 카페에서 듣는 잔잔한 노래")
    assert found.prompt == (
        "rainy day music, mellow and melancholic, cozy cafe music, soft jazz and acoustic, calm gentle music"
    )
    assert found.vector == (await beside.embed(found.prompt)).vector


async def test_text_model_beside_has_its_own_encoder_id(beside: Words, model: MulanEncoder) -> None:
    described = await beside.describe()
    assert (described.encoder_id, described.text_encoder_id) == (MANIFEST.encoder_id, model.manifest.encoder_id)
    assert (await beside.embed("calm", model.manifest.encoder_id)).encoder_id == model.manifest.encoder_id
    error = await refusal(beside.embed("calm", MANIFEST.encoder_id))
    assert (error.code, error.reason, error.field) == ("FAILED_PRECONDITION", "ENCODER_MISMATCH", "encoder_id")
    assert (error.value, error.limit) == (MANIFEST.encoder_id, model.manifest.encoder_id)


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", "TEXT_INVALID"),
        (" \n ", "TEXT_INVALID"),
        ("a" * 501, "TEXT_INVALID"),
        ("calm\0piano", "TEXT_INVALID"),
        ("a" * 300, "TEXT_INVALID"),  # more tokens than this model reads
        ("슬프지 않은 노래", "WORDS_UNKNOWN"),
    ],
    ids=["empty", "blank", "long", "control", "tokens", "Korean"],
)
async def test_bad_text_is_refused_by_code_and_field(beside: Words, typed: str, reason: str) -> None:
    error = await refusal(beside.embed(typed))
    assert (error.code, error.reason, error.field) == ("INVALID_ARGUMENT", reason, "text")


async def test_without_a_text_model_the_setting_is_named(bare: Words) -> None:
    error = await refusal(bare.embed("calm"))
    assert (error.code, error.field) == ("UNIMPLEMENTED", "EMBEDDER_MULAN")
    assert error.message == "no text model is loaded: set EMBEDDER_MULAN"
    assert (await bare.describe()).text_encoder_id == ""


@pytest.mark.parametrize(
    ("metadata", "reason"), [((), "LOGIN_REQUIRED"), (USER, "PERMISSION_DENIED")], ids=["guest", "user"]
)
async def test_words_are_for_workers(beside: Words, metadata: tuple[tuple[str, str], ...], reason: str) -> None:
    assert (await refusal(beside.embed("calm", metadata=metadata))).reason == reason


async def test_full_queue_refuses_at_once_and_the_loop_goes_on(
    beside: Words, text: TextEmbedder, held: tuple[threading.Event, list[str]]
) -> None:
    gate, prompts = held
    waiting = [asyncio.create_task(beside.embed(f"prompt {number}")) for number in range(MAX_WAITING)]
    while text.waiting < MAX_WAITING:
        await asyncio.sleep(0.005)
    error = await refusal(beside.embed("one too many"))
    assert (error.code, error.reason, error.limit) == ("RESOURCE_EXHAUSTED", "EMBEDDER_BUSY", str(MAX_WAITING))
    assert error.retry_after_ms is not None
    assert error.retry_after_ms >= 100
    assert (await beside.describe()).text_encoder_id
    gate.set()
    await asyncio.gather(*waiting)
    assert sorted(prompts) == [f"prompt {number}" for number in range(MAX_WAITING)]


async def test_prompt_of_a_caller_that_left_is_never_run(
    beside: Words, held: tuple[threading.Event, list[str]]
) -> None:
    gate, prompts = held
    first = asyncio.create_task(beside.embed("first"))
    while not prompts:
        await asyncio.sleep(0.005)
    assert (await refusal(beside.embed("expired", timeout_s=0.1))).code == "DEADLINE_EXCEEDED"
    gate.set()
    await first
    await beside.embed("last")
    assert prompts == ["first", "last"]


async def test_tags_are_those_that_an_embedding_gives(beside: Words, bare: Words, song: bytes) -> None:
    digest = await beside.rig.blobs.put(song)
    wanted = await beside.embed_blob(digest)
    for words in (beside, bare):
        found = await words.tag(digest)
        assert found.encoder_id == wanted.encoder_id
        assert list(found.tags) == list(wanted.tags)
        assert [tag.name for tag in found.tags] == ["quiet", "loud"]
    assert [axis.name for axis in (await bare.tag(digest)).axes] == []
    assert list(beside.rig.spool_folder.iterdir()) == []


async def test_axes_are_those_of_the_tracks_vector(
    beside: Words, served: Words, model: MulanEncoder, song: bytes
) -> None:
    digest = await beside.rig.blobs.put(song)
    track = vectors.decode((await served.embed_blob(digest)).vector, DIM)
    for words in (beside, served):
        found = await words.tag(digest, limit=1)
        assert [axis.name for axis in found.axes] == [axis.name for axis in AXES]
        for axis, told in zip(AXES, found.axes, strict=True):
            prompts = np.stack([model.embed_text(prompt) for prompt in axis.prompts.values()])
            wanted = score(axis, track, prompts)
            assert [tag.name for tag in told.tags] == [name for name, _ in wanted]
            assert [tag.score for tag in told.tags] == pytest.approx([value for _, value in wanted], abs=1e-5)
            assert sum(tag.score for tag in told.tags) == pytest.approx(1, abs=1e-6)
            assert max(tag.score for tag in told.tags) > 1.05 / len(told.tags)  # or it would tell nothing


async def test_encoder_without_tags_gives_axes_alone(served: Words, model: MulanEncoder, song: bytes) -> None:
    found = await served.tag(await served.rig.blobs.put(song))
    assert (found.encoder_id, list(found.tags), len(found.axes)) == (model.manifest.encoder_id, [], 5)
    assert served.rig.encoder.batches == []


async def test_encoder_without_tags_and_text_model_says_what_to_set(
    rig: Rig, decoders: DecoderPool, model: MulanEncoder, song: bytes
) -> None:
    digest = await rig.blobs.put(song)
    async with taking_in(model, decoders, rig) as intake:
        async with serving(Servicer(model, intake, CALLS), rig) as words:
            error = await refusal(words.tag(digest))
    assert (error.code, error.field) == ("UNIMPLEMENTED", "EMBEDDER_MULAN")
    assert "has no tags and no text model is loaded: set EMBEDDER_MULAN" in error.message


@pytest.mark.parametrize(("limit", "names"), [(0, ["quiet", "loud"]), (1, ["quiet"]), (9, ["quiet", "loud"])])
async def test_limit_keeps_the_best(bare: Words, song: bytes, limit: int, names: list[str]) -> None:
    found = await bare.tag(await bare.rig.blobs.put(song), limit)
    assert [tag.name for tag in found.tags] == names


async def test_bad_requests_for_tags_are_coded(beside: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = audio_files.write(tmp_path / "silent.flac", audio_files.music(5) * 0).read_bytes()
    error = await refusal(beside.tag(b"\1" * 32, limit=-1))
    assert (error.code, error.field, error.value) == ("INVALID_ARGUMENT", "limit", "-1")
    assert (await refusal(beside.tag(b"\1" * 31))).field == "digest"
    assert (await refusal(beside.tag(b"\1" * 32))).reason == "BLOB_NOT_FOUND"
    assert (await refusal(beside.tag(await beside.rig.blobs.put(silent)))).reason == "AUDIO_SILENT"
    large = await beside.rig.blobs.put(b"\0" * 3_000_001)
    monkeypatch.setattr(beside.rig.blobs, "stream", unreadable)
    assert (await refusal(beside.tag(large))).reason == "AUDIO_TOO_LARGE"


async def unreadable(digest: bytes) -> AsyncIterator[bytes]:
    raise AssertionError("read before it was refused")
    yield digest


@pytest.mark.parametrize(
    ("metadata", "reason"), [((), "LOGIN_REQUIRED"), (USER, "PERMISSION_DENIED")], ids=["guest", "user"]
)
async def test_tags_are_for_workers(
    beside: Words, song: bytes, metadata: tuple[tuple[str, str], ...], reason: str
) -> None:
    digest = await beside.rig.blobs.put(song)
    assert (await refusal(beside.tag(digest, metadata=metadata))).reason == reason
    assert beside.rig.encoder.batches == []


async def test_words_and_tags_at_once_are_right(served: Words, model: MulanEncoder, song: bytes) -> None:
    digest = await served.rig.blobs.put(song)
    wanted, alone = scores(await served.tag(digest)), vectors.encode(model.embed_text("at once"))
    tags = asyncio.gather(served.tag(digest), served.tag(digest))
    texts = asyncio.gather(*(served.embed("at once") for _ in range(5)))
    assert {found.vector for found in await texts} == {alone}
    for found in await tags:
        assert scores(found) == pytest.approx(wanted, abs=1e-5)


def scores(found: embedder_pb2.TagTrackResponse) -> dict[str, float]:
    return {f"{axis.name}/{tag.name}": tag.score for axis in found.axes for tag in axis.tags}


async def test_process_is_wired_with_its_text_model(
    tmp_path: Path, nats_server: NatsServer, model: MulanEncoder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    threads = list[str]()
    real: Callable[..., object] = MulanEncoder.embed_text

    def embed_text(mulan: MulanEncoder, prompt: str) -> object:
        threads.append(threading.current_thread().name)
        return real(mulan, prompt)

    monkeypatch.setattr(MulanEncoder, "embed_text", embed_text)
    chosen = EmbedderSettings(
        listen=f"127.0.0.1:{port}",
        social_address=f"127.0.0.1:{free_port()}",
        blob_store_url=f"file://{tmp_path / 'blobs'}",
        interactive_files=1,
        bulk_files=1,
        mulan=str(folder),
        max_waiting_texts=5,
        cached_texts=7,
        drain_timeout_s=0.2,
    )
    cases: list[tuple[ServedEncoder, list[str]]] = [(FakeEncoder(), ["axis-batcher", "batcher"]), (model, ["batcher"])]
    for encoder, batchers in cases:
        metrics = EmbedderMetrics()
        decoders = await start_decoders(chosen, metrics)
        words = await asyncio.to_thread(prepare_words, chosen, encoder)
        embedder = Embedder(chosen, nats_server.settings("embedder"), encoder, decoders, Metrics(), metrics, words)
        async with started(embedder) as tasks:
            assert sorted(name for name in tasks if name.endswith("batcher")) == batchers
            async with connect(f"127.0.0.1:{port}") as channel:
                stub = embedder_pb2_grpc.EmbedderServiceStub(channel)
                described = await stub.DescribeModel(embedder_pb2.DescribeModelRequest(), timeout=TIMEOUT_S)
        assert described.encoder_id == encoder.manifest.encoder_id
        assert described.text_encoder_id == model.manifest.encoder_id
    # The prompts of the axes, which take seconds, keep no call waiting.
    assert len(threads) == len(cases) * sum(len(axis.prompts) for axis in AXES)
    assert threading.current_thread().name not in threads


@contextlib.asynccontextmanager
async def started(embedder: Embedder) -> AsyncIterator[list[str]]:
    """Run an embedder, and give the names of its tasks."""
    await embedder.server.start()
    running = asyncio.create_task(embedder.serve())
    try:
        names: list[str] = []
        while "loop-lag" not in names:  # which is begun last
            await asyncio.sleep(0.02)
            names = [task.get_name() for task in asyncio.all_tasks()]
        yield names
        await embedder.drain()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await embedder.close()
