"""The served transformer against the one that learns, and what malformed tensors are told."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from services.embedder.aggregation import Aggregator, load_aggregator
from services.embedder.artifact import AGGREGATOR_PREFIX, Artifact, Manifest, Pooling, write_artifact
from services.embedder.errors import ArtifactInvalid
from services.embedder.model import unit
from training.aggregator_config import TransformerConfig
from training.aggregator_network import AggregatorNetwork

DIM = 24
MANIFEST = Manifest(
    name="fake",
    architecture="fake/1",
    dim=DIM,
    sample_rate_hz=1_000,
    window_seconds=10,
    hop_seconds=10,
    weights_sha256="",
    pooling=Pooling(method="transformer"),
)
Tensors = dict[str, NDArray[np.generic]]


@pytest.fixture(scope="module")
def network() -> AggregatorNetwork:
    """Weights so large that every part of it moves the vector."""
    torch.manual_seed(3)
    network = AggregatorNetwork(DIM, TransformerConfig(width=32, hidden=48)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network


def tensors_of(network: AggregatorNetwork, dtype: type[np.floating] = np.float32) -> Tensors:
    state = {name: tensor.numpy().astype(dtype) for name, tensor in network.state_dict().items() if name != "mask"}
    return {AGGREGATOR_PREFIX + name: tensor for name, tensor in state.items()} | {"other": np.zeros(3, np.float32)}


def written(folder: Path, tensors: Tensors) -> Artifact:
    return write_artifact(folder / "model", save(tensors), MANIFEST)


@pytest.fixture(scope="module")
def served(network: AggregatorNetwork, tmp_path_factory: pytest.TempPathFactory) -> Aggregator:
    return load_aggregator(written(tmp_path_factory.mktemp("x"), tensors_of(network)))


def windows(count: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    random = np.random.default_rng([seed, count])
    seconds = np.full(count, 10, np.float32)
    seconds[-1] = 4
    return unit(random.standard_normal((count, DIM)).astype(np.float32)), seconds


def learnt(
    network: AggregatorNetwork, vectors: NDArray[np.float32], seconds: NDArray[np.float32]
) -> NDArray[np.float32]:
    with torch.no_grad():
        summary, _ = network(torch.from_numpy(vectors)[None], torch.from_numpy(seconds)[None])
    return np.array(unit(summary.numpy())[0], np.float32)


@pytest.mark.parametrize("count", [1, 2, 3, 24, 720])
def test_served_vector_is_the_learnt_one(network: AggregatorNetwork, served: Aggregator, count: int) -> None:
    vectors, seconds = windows(count)
    found = served.aggregate(vectors, seconds)
    assert found.dtype == np.float32
    assert abs(np.linalg.norm(found) - 1) < 1e-6
    wanted = learnt(network, vectors, seconds)
    assert float(found @ wanted) >= 0.99999
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_half_precision_is_near_enough(network: AggregatorNetwork, tmp_path: Path) -> None:
    halves = load_aggregator(written(tmp_path, tensors_of(network, np.float16)))
    vectors, seconds = windows(24)
    assert float(halves.aggregate(vectors, seconds) @ learnt(network, vectors, seconds)) >= 0.9999


def test_padding_and_batch_mates_change_nothing(network: AggregatorNetwork, served: Aggregator) -> None:
    tracks = [windows(count, 7) for count in (5, 1, 12, 30)]
    vectors, seconds = torch.randn(4, 30, DIM), torch.zeros(4, 30)  # what stands in the padding does not matter
    for row, (of_track, its_seconds) in enumerate(tracks):
        vectors[row, : len(of_track)] = torch.from_numpy(of_track)
        seconds[row, : len(of_track)] = torch.from_numpy(its_seconds)
    with torch.no_grad():
        together = unit(network(vectors, seconds)[0].numpy())
    for row, track in enumerate(tracks):
        assert float(together[row] @ served.aggregate(*track)) >= 0.99999


def test_a_part_counts_by_its_length(served: Aggregator) -> None:
    vectors, seconds = windows(6)
    without = served.aggregate(vectors[:-1], seconds[:-1])
    seconds[-1] = 1e-6
    np.testing.assert_allclose(served.aggregate(vectors, seconds), without, atol=1e-4)
    seconds[-1] = 10
    assert float(served.aggregate(vectors, seconds) @ without) < 0.9999
    np.testing.assert_allclose(
        served.aggregate(vectors, seconds), served.aggregate(vectors, seconds * np.float32(4)), atol=1e-6
    )


def test_the_order_of_windows_counts(served: Aggregator) -> None:
    vectors, seconds = windows(12)
    seconds[:] = 10
    assert float(served.aggregate(vectors, seconds) @ served.aggregate(vectors[::-1].copy(), seconds)) < 0.9999


@pytest.mark.parametrize(
    ("name", "tensor", "told"),
    [
        ("cls", None, "is missing"),
        ("layers.3.narrow.bias", None, "is missing"),
        ("cls", np.zeros(12, np.float32), r"has the shape \(12,\), it must be a multiple of 8 up to 4096"),
        ("cls", np.zeros((), np.float32), r"has the shape \(\), it must be a multiple of 8"),
        ("input.weight", np.zeros((32, DIM + 1), np.float32), r"has the shape \(32, 25\), \(32, 24\) is needed"),
        ("layers.1.queries_keys_values.weight", np.zeros((32, 32), np.float32), r"\(96, 32\) is needed"),
        ("layers.0.widen.bias", np.zeros((2, 2), np.float32), r"has the shape \(2, 2\), it must be a row"),
        ("output.bias", np.full(DIM, np.nan, np.float32), "has values that are not finite"),
        ("norm.weight", np.ones(32, np.int32), "is of int32, float16 and float32 are allowed"),
        ("layers.4.widen.bias", np.zeros(48, np.float32), "is one of 1 that 4 layers have no use for"),
    ],
)
def test_malformed_tensors_are_named(
    network: AggregatorNetwork, tmp_path: Path, name: str, tensor: NDArray[np.generic] | None, told: str
) -> None:
    tensors = tensors_of(network)
    if tensor is None:
        del tensors[AGGREGATOR_PREFIX + name]
    else:
        tensors[AGGREGATOR_PREFIX + name] = tensor
    artifact = written(tmp_path, tensors)
    with pytest.raises(ArtifactInvalid, match=f"the tensor aggregator.{name} .*{told}") as caught:
        load_aggregator(artifact)
    assert (caught.value.reason, caught.value.field) == ("ARTIFACT_INVALID", "weights")
    assert caught.value.value == f"aggregator.{name}"


def test_weights_without_a_transformer_tell_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=r"has no tensors aggregator\.\*.*python -m training\.aggregator"):
        load_aggregator(written(tmp_path, {"other": np.zeros(3, np.float32)}))


def test_a_file_that_holds_no_tensors_is_refused(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "model", b"no tensors", MANIFEST)
    with pytest.raises(ArtifactInvalid, match="holds no tensors of numpy"):
        load_aggregator(artifact)


def test_other_poolings_read_no_weights(tmp_path: Path) -> None:
    artifact = Artifact(tmp_path / "missing", MANIFEST)
    for method in ("weighted_mean", "max", "middle"):
        manifest = replace(MANIFEST, pooling=Pooling(method=method))
        load_aggregator(replace(artifact, manifest=manifest))
