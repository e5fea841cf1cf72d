"""The real loading code of MuQ on a tiny one that `save_pretrained` wrote."""

import importlib.util
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save

from services.embedder import muq
from services.embedder.artifact import Artifact, open_artifact, write_artifact, write_manifest
from services.embedder.choice import load_encoder, offline_default
from services.embedder.errors import ArtifactInvalid, EncoderUnavailable
from services.embedder.model import centre
from services.embedder.muq import MuqEncoder, describe_folder, import_folder, load_folder

DIM = 64
WAV2VEC2 = {
    "activation_dropout": 0.0,
    "apply_spec_augment": False,
    "attention_dropout": 0.0,
    "conformer_conv_dropout": 0.0,
    "conv_depthwise_kernel_size": 31,
    "feat_extract_activation": "gelu",
    "feat_extract_norm": "group",
    "feat_proj_dropout": 0.0,
    "final_dropout": 0.0,
    "hidden_act": "swish",
    "hidden_dropout": 0.0,
    "hidden_size": DIM,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "layer_norm_eps": 1e-5,
    "layerdrop": 0.0,
    "max_source_positions": 5000,
    "num_attention_heads": 4,
    "num_conv_pos_embedding_groups": 4,
    "num_conv_pos_embeddings": 16,
    "num_hidden_layers": 2,
    "position_embeddings_type": "rotary",
    "rotary_embedding_base": 10000,
}


@pytest.fixture(scope="module", autouse=True)
def _quiet_dependencies() -> None:
    # muq, x_clip and transformers warn at import of what is not ours to change.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import muq as _  # noqa: F401


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, _quiet_dependencies: None) -> Path:
    from muq import MuQ, MuQConfig

    torch.manual_seed(0)
    config = MuQConfig(
        encoder_dim=DIM,
        encoder_depth=2,
        conv_dim=8,
        codebook_size=16,
        w2v2_config=WAV2VEC2,
        stat={"melspec_2048_mean": 6.8, "melspec_2048_std": 18.4},
    )
    path = tmp_path_factory.mktemp("models") / "tiny"
    MuQ(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def encoder(folder: Path) -> MuqEncoder:
    return load_folder(folder)


def windows(seconds: float, count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(5).uniform(-0.5, 0.5, (count, round(seconds * 24_000))).astype(np.float32)


def test_vector_is_the_unit_mean_of_the_last_layer(encoder: MuqEncoder) -> None:
    sound = windows(10, 2)
    encoded = encoder.encode(sound)
    with torch.no_grad():
        hidden = encoder._model(torch.from_numpy(sound)).last_hidden_state
    assert hidden.shape == (2, 250, DIM)
    mean = hidden.mean(dim=1).numpy()
    np.testing.assert_allclose(encoded.vectors, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5)
    assert encoded.vectors.dtype == np.float32
    assert encoded.tags.shape == (2, 0)


@pytest.mark.parametrize("seconds", [10.0, 4.3])
def test_a_window_has_the_same_vector_alone_and_in_any_batch(encoder: MuqEncoder, seconds: float) -> None:
    sound = windows(seconds, 5)
    together = encoder.encode(sound).vectors
    alone = np.concatenate([encoder.encode(window[None]).vectors for window in sound])
    assert np.sum(together * alone, axis=1).min() >= 1 - 1e-4


def test_shortest_window_is_encoded(encoder: MuqEncoder) -> None:
    assert np.isfinite(encoder.encode(windows(1, 1)[:, : encoder.min_samples]).vectors).all()


def test_manifest_tells_what_moves_the_vector(encoder: MuqEncoder) -> None:
    manifest = encoder.manifest
    assert manifest.encoder_id.startswith("muq-64-")
    assert (manifest.dim, manifest.sample_rate_hz, manifest.window_seconds) == (64, 24_000, 10.0)
    assert manifest.config["encoder_depth"] == 2
    assert manifest.licence == "CC-BY-NC-4.0"
    assert encoder.device in ("cpu", "cuda")


def test_artifact_has_the_same_id_and_vectors(folder: Path, encoder: MuqEncoder, tmp_path: Path) -> None:
    artifact: Artifact = import_folder(folder, tmp_path / "artifact")
    assert open_artifact(artifact.folder).manifest.encoder_id == encoder.manifest.encoder_id
    loaded = load_encoder(str(artifact.folder), artifacts_folder=tmp_path, muq_folder=None, threads=1)
    sound = windows(3, 2)
    np.testing.assert_allclose(loaded.encode(sound).vectors, encoder.encode(sound).vectors, atol=1e-6)


def test_centring_of_the_manifest_is_applied(folder: Path, encoder: MuqEncoder, tmp_path: Path) -> None:
    mean = np.full(DIM, 0.05, np.float32)
    weights = save(load_file(folder / "model.safetensors") | {"centring/mean": mean})
    moved = write_artifact(tmp_path / "moved", weights, replace(encoder.manifest, centring="centring/mean"))
    sound = windows(3, 2)
    wanted = centre(encoder.encode(sound).vectors, mean)
    np.testing.assert_allclose(muq.load_artifact(moved).encode(sound).vectors, wanted, atol=1e-5)


def test_other_weights_have_another_id(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes() + b" ")
    assert describe_folder(tmp_path).encoder_id != describe_folder(folder).encoder_id


def test_folder_is_served_by_its_path(folder: Path, encoder: MuqEncoder, tmp_path: Path) -> None:
    loaded = load_encoder(str(folder), artifacts_folder=tmp_path, muq_folder=None, threads=1)
    assert loaded.manifest.encoder_id == encoder.manifest.encoder_id


def test_auto_takes_muq_where_a_gpu_is(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {}
    for is_there in (True, False):
        monkeypatch.setattr(muq, "is_gpu_at_hand", lambda is_there=is_there: is_there)
        monkeypatch.setattr(muq, "_serve", lambda model, manifest, mean=None: MuqEncoder(model.eval(), manifest, "cpu"))
        chosen[is_there] = load_encoder("auto", artifacts_folder=tmp_path, muq_folder=folder, threads=1).manifest.name
    assert chosen == {True: "muq-64", False: offline_default()}


def test_auto_without_weights_is_the_offline_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muq, "find_in_hub_cache", lambda: None)
    monkeypatch.setattr(muq, "is_gpu_at_hand", lambda: pytest.fail("torch is imported for nothing"))
    assert (
        load_encoder("auto", artifacts_folder=tmp_path, muq_folder=None, threads=1).manifest.name == offline_default()
    )


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_missing_file_is_named(folder: Path, tmp_path: Path, missing: str) -> None:
    for name in {"config.json", "model.safetensors"} - {missing}:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(ArtifactInvalid, match=missing) as caught:
        load_encoder(str(tmp_path), artifacts_folder=tmp_path, muq_folder=None, threads=1)
    assert caught.value.reason == "ARTIFACT_MISSING"


def test_config_that_does_not_fit_is_coded(folder: Path, tmp_path: Path) -> None:
    artifact = import_folder(folder, tmp_path / "artifact")
    config = artifact.manifest.config | {"encoder_depth": 3, "conv_dim": 16}
    with pytest.raises(ArtifactInvalid, match="do not fit"):
        muq.load_artifact(Artifact(artifact.folder, replace(artifact.manifest, config=config)))


def test_missing_package_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else object())
    with pytest.raises(EncoderUnavailable, match=r"needs torch: pip install 'museed\[muq\]'") as caught:
        load_folder(folder)
    assert caught.value.reason == "ENCODER_UNAVAILABLE"


def test_unknown_choice_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailable, match="use auto, museed-mini, musicnn-msd, musicnn-mtt, a model folder"):
        load_encoder("nothing-like-that", artifacts_folder=tmp_path, muq_folder=None, threads=1)


def test_artifact_of_another_architecture_is_refused(folder: Path, tmp_path: Path) -> None:
    artifact = import_folder(folder, tmp_path / "artifact")
    write_manifest(artifact.folder, replace(artifact.manifest, architecture="other/1"))
    with pytest.raises(EncoderUnavailable, match="other/1"):
        load_encoder(str(artifact.folder), artifacts_folder=tmp_path, muq_folder=None, threads=1)
