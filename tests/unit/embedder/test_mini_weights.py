"""Artifacts of museed-mini that are not what they should be."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from services.embedder.artifact import Artifact, write_artifact
from services.embedder.errors import ArtifactInvalid
from services.embedder.mini import MiniEncoder
from services.embedder.mini_weights import MiniConfig, MiniWeights
from tests.fakes.mini import CENTRING, write_mini

LINEAR = "model.conformer.layers.1.self_attn.linear_q.weight"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return write_mini(tmp_path_factory.mktemp("artifacts") / "mini")


def spoiled(tensor: NDArray[Any], value: float) -> NDArray[Any]:
    found = tensor.copy()
    found.flat[-1] = value
    return found


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (LINEAR, None, "is missing"),
        ("heads.embedding.bias", None, "is missing"),
        (CENTRING, None, "is missing"),
        (LINEAR, lambda tensor: tensor[:31], r"has the shape \(31, 32\), the config asks for \(32, 32\)"),
        ("heads.tags.weight", lambda tensor: tensor[:2], r"has the shape \(2, 32\), the config asks for \(3, 32\)"),
        (LINEAR, lambda tensor: tensor.astype(np.int32), "is of int32, float16 and float32 are allowed"),
        (LINEAR, lambda tensor: tensor.astype(np.float64), "is of float64, float16 and float32 are allowed"),
        (LINEAR, lambda tensor: spoiled(tensor, np.nan), "has values that are not finite"),
        (LINEAR, lambda tensor: spoiled(tensor, np.inf), "has values that are not finite"),
        ("model.conv.conv.0.bn1.running_var", lambda tensor: spoiled(tensor, -2), "has a value of -2"),
    ],
)
def test_bad_tensor_is_named(
    artifact: Artifact,
    tmp_path: Path,
    name: str,
    change: Callable[[NDArray[Any]], NDArray[Any]] | None,
    message: str,
) -> None:
    weights = load_file(artifact.weights_path)
    tensor = weights.pop(name)
    if change is not None:
        weights[name] = np.ascontiguousarray(change(tensor))
    bad = write_artifact(tmp_path / "bad", save(weights), artifact.manifest)
    with pytest.raises(ArtifactInvalid, match=f"the tensor {name} {message}") as caught:
        MiniEncoder(bad, threads=1)
    assert (caught.value.reason, caught.value.value) == ("ARTIFACT_INVALID", name)


def test_tensors_of_another_network_are_refused(artifact: Artifact, tmp_path: Path) -> None:
    config = artifact.manifest.config | {"encoder_depth": 1}
    shallow = write_artifact(
        tmp_path / "shallow", artifact.weights_path.read_bytes(), replace(artifact.manifest, config=config)
    )
    wanted = r"the tensor model\.conformer\.layers\.1\.\S+ is one of \d+ that the config has no use for"
    with pytest.raises(ArtifactInvalid, match=wanted):
        MiniEncoder(shallow, threads=1)


def test_empty_tensors_may_stand_beside_the_others(artifact: Artifact, tmp_path: Path) -> None:
    weights = load_file(artifact.weights_path)
    weights["heads.tags.weight"] = weights["heads.tags.weight"][:0]
    weights["heads.tags.bias"] = weights["heads.tags.bias"][:0]
    bare = write_artifact(tmp_path / "bare", save(weights), replace(artifact.manifest, tags=()))
    assert MiniEncoder(bare, threads=1).encode(np.ones((1, 4096), np.float32)).tags.shape == (1, 0)


def test_half_precision_is_widened_exactly(tmp_path: Path) -> None:
    halves = np.array([1.5, 6.1e-5, 65504], np.float16)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(save({"a": halves}))
    taken = MiniWeights(path).take("a", 3)
    assert taken.dtype == np.float32
    np.testing.assert_array_equal(taken, halves.astype(np.float32))


@pytest.mark.parametrize(
    "contents", [b"", b"no tensors", save({"a": np.zeros(2, ml_dtypes.bfloat16)})], ids=["empty", "text", "bfloat16"]
)
def test_file_without_tensors_is_coded(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(contents)
    with pytest.raises(ArtifactInvalid):
        MiniWeights(path).take("a", 2)


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("w2v2_config", "position_embeddings_type"), "relative", "config.w2v2_config.position_embeddings_type"),
        (("w2v2_config", "hidden_act"), "gelu", "config.w2v2_config.hidden_act"),
        (("w2v2_config", "num_attention_heads"), 3, "config.w2v2_config.num_attention_heads"),
        (("w2v2_config", "num_attention_heads"), 0, "config.w2v2_config.num_attention_heads"),
        (("w2v2_config", "num_attention_heads"), 2.5, "config.w2v2_config.num_attention_heads"),
        (("w2v2_config", "num_attention_heads"), True, "config.w2v2_config.num_attention_heads"),
        (("w2v2_config", "conv_depthwise_kernel_size"), 30, "config.w2v2_config.conv_depthwise_kernel_size"),
        (("w2v2_config", "rotary_embedding_base"), 0, "config.w2v2_config.rotary_embedding_base"),
        (("w2v2_config", "rotary_embedding_base"), 10**400, "config.w2v2_config.rotary_embedding_base"),
        (("w2v2_config", "layer_norm_eps"), 0, "config.w2v2_config.layer_norm_eps"),
        (("stat", "melspec_2048_std"), 0, "config.stat.melspec_2048_std"),
        (("stat", "melspec_2048_mean"), "6.8", "config.stat.melspec_2048_mean"),
        (("label_rate",), 50, "config.label_rate"),
        (("n_mels",), 64, "config.n_mels"),
        (("encoder_dim",), "wide", "config.encoder_dim"),
        (("encoder_depth",), None, "config.encoder_depth"),
        (("encoder_depth",), 1e9, "config.encoder_depth"),
        (("w2v2_config",), None, "config.w2v2_config.position_embeddings_type"),
    ],
)
def test_config_that_this_code_does_not_run_is_refused(
    artifact: Artifact, path: tuple[str, ...], value: object, field: str
) -> None:
    options = {key: dict(part) if isinstance(part, dict) else part for key, part in artifact.manifest.config.items()}
    target = options[path[0]] if len(path) == 2 else options
    target[path[-1]] = value
    with pytest.raises(ArtifactInvalid) as caught:
        MiniConfig.of(replace(artifact.manifest, config=options))
    assert caught.value.field == field
    assert caught.value.message.startswith(f"{field} is ")


@pytest.mark.parametrize("missing", ["encoder_dim", "w2v2_config", "stat"])
def test_missing_option_is_named(artifact: Artifact, missing: str) -> None:
    options = {key: value for key, value in artifact.manifest.config.items() if key != missing}
    with pytest.raises(ArtifactInvalid, match=missing):
        MiniConfig.of(replace(artifact.manifest, config=options))


def test_other_rate_is_refused(artifact: Artifact) -> None:
    with pytest.raises(ArtifactInvalid, match="sample_rate_hz is 16000, this code runs 24000"):
        MiniConfig.of(replace(artifact.manifest, sample_rate_hz=16_000))
