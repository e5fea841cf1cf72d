"""The network of museed-mini on both runtimes against muq's own classes, and what moves its vectors."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from services.embedder.artifact import Artifact, write_artifact
from services.embedder.mel import power_spectra
from services.embedder.mini import MiniEncoder
from services.embedder.mini_graph import HOP, N_FFT, build_graph
from services.embedder.mini_weights import MiniConfig, MiniWeights
from services.embedder.model import Encoder, centre
from services.embedder.torch_encoder import TorchEncoder
from tests.fakes.mini import CENTRING, DIM, FULL, RATE, TAGS, TINY, MiniInTorch, sounds, write_mini

SHORTEST_S = MiniEncoder.min_samples / RATE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="module")
def tiny(folder: Path) -> Artifact:
    return write_mini(folder / "tiny", TINY)


@pytest.fixture(scope="module")
def full(folder: Path) -> Artifact:
    return write_mini(folder / "full", FULL, seed=1)


def in_onnx(artifact: Artifact) -> Encoder:
    return MiniEncoder(artifact, threads=2)


def in_torch(artifact: Artifact) -> Encoder:
    return TorchEncoder(artifact, "cpu")


BOTH = pytest.mark.parametrize("make", [in_onnx, in_torch])


def rows_cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.sum(a * b, axis=1), dtype=np.float32)


@pytest.mark.parametrize("seconds", [10.0, 4.3, SHORTEST_S])
@pytest.mark.parametrize("size", ["tiny", "full"])
@BOTH
def test_network_equals_the_one_of_muqs_authors(
    request: pytest.FixtureRequest, make: Callable[[Artifact], Encoder], size: str, seconds: float
) -> None:
    artifact: Artifact = request.getfixturevalue(size)
    windows = sounds(seconds, 3, seed=5)
    found, wanted = make(artifact).encode(windows), MiniInTorch(artifact).encode(windows)
    # Found 1 - 1e-7. An error in the base of the rotary positions costs 1e-5, one frame of padding 1e-4.
    assert rows_cosine(found.vectors, wanted.vectors).min() >= 1 - 1e-6
    np.testing.assert_allclose(found.tags, wanted.tags, atol=1e-5)


def test_the_graph_takes_any_batch(tiny: Artifact) -> None:
    graph = build_graph(MiniConfig.of(tiny.manifest), MiniWeights(tiny.weights_path))
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    power = power_spectra(sounds(2, 3), N_FFT, HOP, frames=200)
    together, tags = session.run(["embedding", "tags"], {"power": power})
    assert (together.shape, tags.shape) == ((3, DIM), (3, len(TAGS)))
    alone = [session.run(["embedding"], {"power": row[None]})[0] for row in power]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-4, atol=1e-5)


@BOTH
def test_silence_and_full_scale_equal_it_too(tiny: Artifact, make: Callable[[Artifact], Encoder]) -> None:
    square = np.where(np.arange(RATE) % 50 < 25, 1, -1)
    half_silent = np.where(np.arange(RATE) < RATE / 2, 0, 0.1 * square)
    extremes = np.stack([np.zeros(RATE), half_silent, square]).astype(np.float32)
    found, wanted = make(tiny).encode(extremes), MiniInTorch(tiny).encode(extremes)
    assert rows_cosine(found.vectors, wanted.vectors).min() >= 1 - 1e-6


def test_precision_of_the_stored_weights_hardly_moves_a_vector(folder: Path, full: Artifact) -> None:
    exact = write_mini(folder / "exact", FULL, seed=1, dtype=torch.float32)
    assert (full.manifest.precision, exact.manifest.precision) == ("fp16", "fp32")
    windows = sounds(4, 3)
    found, wanted = (MiniEncoder(artifact, threads=1).encode(windows).vectors for artifact in (full, exact))
    assert rows_cosine(found, wanted).min() >= 0.999


def test_vector_follows_the_centring_of_the_manifest(tiny: Artifact, tmp_path: Path) -> None:
    weights = load_file(tiny.weights_path)
    mean = weights.pop(CENTRING).astype(np.float32)
    bare = write_artifact(tmp_path / "bare", save(weights), replace(tiny.manifest, centring=None))
    windows = sounds(2, 2)
    wanted = centre(MiniEncoder(bare, threads=1).encode(windows).vectors, mean)
    np.testing.assert_allclose(MiniEncoder(tiny, threads=1).encode(windows).vectors, wanted, atol=1e-5)


def test_rotary_frequencies_are_of_the_config_and_not_of_the_file(tiny: Artifact, tmp_path: Path) -> None:
    weights = load_file(tiny.weights_path)
    weights["model.conformer.embed_positions.inv_freq"] = np.full(4, 9, np.float16)
    other = write_artifact(tmp_path / "other", save(weights), tiny.manifest)
    windows = sounds(2, 1)
    found, wanted = (MiniEncoder(artifact, threads=1).encode(windows).vectors for artifact in (other, tiny))
    np.testing.assert_array_equal(found, wanted)


@BOTH
def test_encoder_without_tags(tiny: Artifact, tmp_path: Path, make: Callable[[Artifact], Encoder]) -> None:
    weights = {name: tensor for name, tensor in load_file(tiny.weights_path).items() if "tags" not in name}
    bare = write_artifact(tmp_path / "bare", save(weights), replace(tiny.manifest, tags=()))
    windows = sounds(2, 2)
    encoded = make(bare).encode(windows)
    assert encoded.tags.shape == (2, 0)
    np.testing.assert_array_equal(encoded.vectors, make(tiny).encode(windows).vectors)
