"""Words through social to the embedder's own servicer with a tiny MuQ-MuLan: who may ask, and how words travel.

Takes some seconds, most of them for loading torch.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from museed.embedder.v1 import embedder_pb2
from museed.social.v1 import jobs_pb2
from services.chassis import vectors
from services.chassis.errors import InvalidArgument
from services.embedder import mulan, mulan_folder
from services.embedder.admission import CallLimits
from services.embedder.mulan import MulanEncoder
from services.embedder.servicer import ACCESS, Servicer
from services.embedder.text import TextEmbedder
from services.social.domain.ids import new_id
from services.social.settings import SocialSettings
from tests.conftest import NatsServer
from tests.fakes.mulan import save_tiny_mulan, strip_towers
from tests.integration.social.conftest import Mesh, surrounding, until
from tests.integration.social.fakes import EMBEDDER_ACCESS, FakeEmbedder
from tests.integration.social.test_sounds import hears_words, preview, search

WORDS = "calm piano on a rainy day"


class RealWords(FakeEmbedder):
    """Words and the description are the embedder's own."""

    def __init__(self, servicer: Servicer) -> None:
        super().__init__()
        self._servicer = servicer

    async def DescribeModel(
        self, request: embedder_pb2.DescribeModelRequest, context: object
    ) -> embedder_pb2.DescribeModelResponse:
        return await self._servicer.DescribeModel(request, context)

    async def EmbedText(
        self, request: embedder_pb2.EmbedTextRequest, context: object
    ) -> embedder_pb2.EmbedTextResponse:
        return await self._servicer.EmbedText(request, context)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MulanEncoder:
    folder: Path = tmp_path_factory.mktemp("models") / "mulan"
    folder.mkdir()
    save_tiny_mulan(folder)
    strip_towers(folder)
    return mulan.load(mulan_folder.find(str(folder)))


@pytest.fixture
async def mesh(settings: SocialSettings, nats_server: NatsServer, model: MulanEncoder) -> AsyncIterator[Mesh]:
    text = TextEmbedder(model, max_waiting=8, cached=10)
    limits = CallLimits(files=1, files_of_one=1, batches=1, batch_items=1, idle_s=1)
    servicer = Servicer(model, None, limits, text)  # type: ignore[arg-type]  # audio is the fake's
    async with surrounding(settings, nats_server, RealWords(servicer)) as made:
        yield made
    text.close()


async def test_words_reach_the_text_model_and_its_vector_the_index(mesh: Mesh, model: MulanEncoder) -> None:
    assert {name: ACCESS[name] for name in EMBEDDER_ACCESS} == EMBEDDER_ACCESS
    social = await mesh.start()
    person = await social.sign_up()
    encoder_id = model.manifest.encoder_id

    async def is_known() -> bool:
        return (await social.roles())[0] == encoder_id

    await until(is_known)
    assert await hears_words(social)
    mesh.retriever.track_ids = [new_id(), new_id()]
    korean = "잔잔한 피아노"
    for typed, field in ((WORDS, "calm piano on a rainy day"), (korean, "")):
        found = await search(social, person, words=typed)
        asked = mesh.retriever.searches[-1]
        assert field in found.prompt
        assert "피아노" not in found.prompt
        assert asked.vector == vectors.encode(model.embed_text(found.prompt))
        assert (asked.encoder_id, found.encoder_id) == (encoder_id, encoder_id)
    shown = await preview(social, person, jobs_pb2.GenerationSeed(words=WORDS, weight=2), length=2)
    assert [one.track_id for one in shown.tracks] == mesh.retriever.track_ids
    (seed,) = mesh.retriever.requests[-1].seeds
    assert (seed.vector, seed.weight) == (vectors.encode(model.embed_text((await search(social, person)).prompt)), 2)
    for typed in ("ㅁㄴㅇㄹ", "calm " * 90):
        with pytest.raises(InvalidArgument) as refusal:
            await preview(social, person, jobs_pb2.GenerationSeed(words=typed))
        assert refusal.value.field == "recipe.seeds[0].words"
