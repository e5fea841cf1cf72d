"""museed-mini served from its folder: real files in, without torch in the process."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from services.embedder import choice, muq
from services.embedder.artifact import Artifact
from services.embedder.batcher import Batcher
from services.embedder.choice import load_encoder
from services.embedder.decoder import DecoderPool
from services.embedder.embedding import AudioLimits, TrackEmbedder
from services.embedder.errors import EncoderUnavailable
from services.embedder.lanes import Lane
from services.embedder.model import Encoder, Float32Array
from tests.fakes.mini import RATE, TAGS, sounds, write_mini
from tests.integration.embedder.conftest import opened

LIMITS = AudioLimits(min_seconds=3, max_seconds=600, max_bytes=1 << 30)

NO_TORCH = """
import sys, numpy
from pathlib import Path
from services.embedder.choice import load_encoder
encoder = load_encoder(sys.argv[1], artifacts_folder=Path(sys.argv[2]), muq_folder=None, threads=1)
encoder.encode(numpy.ones((1, 24000), numpy.float32))
print(encoder.manifest.name, "torch" in sys.modules, "muq" in sys.modules)
"""


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return write_mini(tmp_path_factory.mktemp("models") / "museed-mini")


def load(name: str, folder: Path) -> Encoder:
    return load_encoder(name, artifacts_folder=folder, muq_folder=None, threads=2)


def test_folder_is_served_without_torch(artifact: Artifact, tmp_path: Path) -> None:
    command = [sys.executable, "-c", NO_TORCH, str(artifact.folder), str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert found.stdout.split() == ["museed-mini", "False", "False"]


def test_name_is_the_folder_that_ships(artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "MINI_FOLDER", artifact.folder)
    assert load("museed-mini", tmp_path).manifest == artifact.manifest
    monkeypatch.setattr(muq, "find_in_hub_cache", lambda: None)
    assert load("auto", tmp_path).manifest == artifact.manifest


def test_name_without_the_folder_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "MINI_FOLDER", tmp_path / "museed-mini")
    with pytest.raises(EncoderUnavailable, match="install with pip install -e from a checkout, or use musicnn-msd"):
        load("museed-mini", tmp_path)
    monkeypatch.setattr(muq, "find_in_hub_cache", lambda: None)
    assert load("auto", tmp_path).manifest.name == "musicnn-msd"


def test_folder_that_ships_lies_in_the_repository() -> None:
    assert Path("models/museed-mini").absolute() == choice.MINI_FOLDER


@asynccontextmanager
async def embedding_with(encoder: Encoder, decoders: DecoderPool) -> AsyncIterator[TrackEmbedder]:
    batcher = Batcher(encoder, max_batch_seconds=40, max_delay_ms=1, max_queued_seconds=1000)
    running = asyncio.create_task(batcher.run())
    yield TrackEmbedder(encoder, batcher, {lane: decoders for lane in Lane}, seconds_in_flight=40)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    batcher.close()


async def test_file_has_the_pooled_vector_of_its_windows(
    artifact: Artifact, decoders: DecoderPool, tmp_path: Path
) -> None:
    sound = sounds(24, 1)[0]
    soundfile.write(tmp_path / "song.wav", sound, RATE, subtype="FLOAT")
    encoder = load(str(artifact.folder), tmp_path)
    async with embedding_with(encoder, decoders) as tracks:
        with opened(tmp_path / "song.wav") as descriptor:
            embedding = await tracks.embed(descriptor, LIMITS, Lane.INTERACTIVE)
    parts = [sound[:240_000], sound[240_000:480_000], sound[480_000:]]
    wanted = np.concatenate([encoder.encode(part[None]).vectors for part in parts])
    np.testing.assert_allclose(embedding.windows, wanted, atol=1e-4)
    assert {name for name, _ in embedding.tags} == set(TAGS)
    assert embedding.duration_seconds == pytest.approx(24)


async def test_vector_is_the_same_in_any_company_and_after_a_restart(
    artifact: Artifact, decoders: DecoderPool, tmp_path: Path
) -> None:
    lengths = [12.0, 33.5, 20.0, 4.2, 25.0]  # full windows and parts of many lengths
    tracks_sounds = [sounds(seconds, 1, seed=row)[0] for row, seconds in enumerate(lengths)]

    async def cut(sound: Float32Array) -> AsyncIterator[Float32Array]:
        for start in range(0, len(sound), 240_000):
            yield sound[start : start + 240_000]

    async def vector(tracks: TrackEmbedder, row: int, lane: Lane) -> Float32Array:
        sound = tracks_sounds[row]
        return (await tracks.embed_samples(cut(sound), len(sound) / RATE, LIMITS, lane)).vector

    async with embedding_with(load(str(artifact.folder), tmp_path), decoders) as tracks:
        alone = [await vector(tracks, row, Lane.BULK) for row in range(len(lengths))]
    random = np.random.default_rng(3)
    async with embedding_with(load(str(artifact.folder), tmp_path), decoders) as tracks:
        for _ in range(3):
            company = [int(row) for row in random.permutation(len(lengths))]
            lanes = [Lane(int(lane)) for lane in random.integers(0, 2, len(lengths))]
            found = await asyncio.gather(*(vector(tracks, row, lane) for row, lane in zip(company, lanes, strict=True)))
            for row, moved in zip(company, found, strict=True):
                assert moved @ alone[row] >= 1 - 1e-4
