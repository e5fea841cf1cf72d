"""A tiny MuQ that `save_pretrained` wrote, on both runtimes against the code of its authors."""

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
from services.embedder.model import ServedEncoder, centre
from services.embedder.muq import describe_folder, import_folder

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


def load(choice: Path, runtime: str = "auto") -> ServedEncoder:
    return load_encoder(str(choice), artifacts_folder=choice, muq_folder=None, threads=1, runtime=runtime)


@pytest.fixture(scope="module")
def encoder(folder: Path) -> ServedEncoder:
    return load(folder)


def windows(seconds: float, count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(5).uniform(-0.5, 0.5, (count, round(seconds * 24_000))).astype(np.float32)


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
@pytest.mark.parametrize("seconds", [10, 4.3])
def test_vector_is_the_unit_mean_of_the_last_layer_of_muqs_own_code(folder: Path, runtime: str, seconds: float) -> None:
    from muq import MuQ

    sound = windows(seconds, 2)
    with torch.no_grad():
        hidden = MuQ.from_pretrained(str(folder)).eval()(torch.from_numpy(sound)).last_hidden_state
    assert hidden.shape == (2, int(25 * seconds) + (seconds == 4.3), DIM)
    mean = hidden.mean(dim=1).numpy()
    encoded = load(folder, runtime).encode(sound)
    np.testing.assert_allclose(encoded.vectors, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5)
    assert encoded.tags.shape == (2, 0)


def test_manifest_tells_what_moves_the_vector(encoder: ServedEncoder) -> None:
    manifest = encoder.manifest
    assert manifest.encoder_id.startswith("muq-64-")
    assert (manifest.dim, manifest.sample_rate_hz, manifest.window_seconds) == (64, 24_000, 10.0)
    assert manifest.config["encoder_depth"] == 2
    assert manifest.licence == "CC-BY-NC-4.0"
    assert encoder.device in ("cpu", "cuda")


def test_artifact_has_the_same_id_and_vectors(folder: Path, encoder: ServedEncoder, tmp_path: Path) -> None:
    artifact: Artifact = import_folder(folder, tmp_path / "artifact")
    assert open_artifact(artifact.folder).manifest.encoder_id == encoder.manifest.encoder_id
    sound = windows(3, 2)
    np.testing.assert_allclose(load(artifact.folder).encode(sound).vectors, encoder.encode(sound).vectors, atol=1e-6)


def test_centring_of_the_manifest_is_applied(folder: Path, encoder: ServedEncoder, tmp_path: Path) -> None:
    mean = np.full(DIM, 0.05, np.float32)
    weights = save(load_file(folder / "model.safetensors") | {"centring/mean": mean})
    moved = write_artifact(tmp_path / "moved", weights, replace(encoder.manifest, centring="centring/mean"))
    sound = windows(3, 2)
    wanted = centre(encoder.encode(sound).vectors, mean)
    np.testing.assert_allclose(load(moved.folder).encode(sound).vectors, wanted, atol=1e-5)


def test_other_weights_have_another_id(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes() + b" ")
    assert describe_folder(tmp_path).encoder_id != describe_folder(folder).encoder_id


def test_folder_is_served_by_its_path(folder: Path, encoder: ServedEncoder) -> None:
    assert load(folder).manifest.encoder_id == encoder.manifest.encoder_id


def test_auto_takes_muq_where_a_gpu_is(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {}
    for is_there in (True, False):
        monkeypatch.setattr(muq, "is_gpu_at_hand", lambda is_there=is_there: is_there)
        chosen[is_there] = load_encoder(
            "auto", artifacts_folder=tmp_path, muq_folder=folder, threads=1, runtime="onnxruntime"
        ).manifest.name
    assert chosen == {True: "muq-64", False: offline_default()}


def test_torch_is_not_imported_to_look_for_a_gpu_where_no_device_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(muq, "_GPU_DEVICES", ("/no/such/device",))
    assert not muq.is_gpu_at_hand()
    monkeypatch.setattr(muq, "_GPU_DEVICES", ("/no/such/device", "/dev/nul[l]"))
    assert muq.is_gpu_at_hand()


def test_auto_without_weights_is_the_offline_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muq, "find_in_hub_cache", lambda: None)
    assert (
        load_encoder("auto", artifacts_folder=tmp_path, muq_folder=None, threads=1).manifest.name == offline_default()
    )


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_missing_file_is_named(folder: Path, tmp_path: Path, missing: str) -> None:
    for name in {"config.json", "model.safetensors"} - {missing}:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(ArtifactInvalid, match=missing) as caught:
        load(tmp_path)
    assert caught.value.reason == "ARTIFACT_MISSING"


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder_depth": 3}, r"conformer\.layers\.2\.\S+ is missing"),
        ({"encoder_depth": 1}, r"conformer\.layers\.1\.\S+ is one of \d+ that the config has no use for"),
        ({"conv_dim": 16}, r"has the shape \(8\b.*, the config asks for \(16\b"),
    ],
)
def test_config_that_does_not_fit_is_coded(
    folder: Path, tmp_path: Path, change: dict[str, int], message: str, runtime: str
) -> None:
    artifact = import_folder(folder, tmp_path / "artifact")
    write_manifest(artifact.folder, replace(artifact.manifest, config=artifact.manifest.config | change))
    with pytest.raises(ArtifactInvalid, match=message):
        load(artifact.folder, runtime)


def test_missing_torch_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else object())
    with pytest.raises(
        EncoderUnavailable, match=r"not installed: pip install 'museed\[muq\]', or set EMBEDDER_RUNTIME"
    ):
        load(folder, "torch")
    assert load(folder).runtime == "onnxruntime"


def test_unknown_choice_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(
        EncoderUnavailable, match="set EMBEDDER_ENCODER to auto, museed-mini, musicnn-msd, musicnn-mtt, a"
    ):
        load_encoder("nothing-like-that", artifacts_folder=tmp_path, muq_folder=None, threads=1)


def test_artifact_of_another_architecture_is_refused(folder: Path, tmp_path: Path) -> None:
    artifact = import_folder(folder, tmp_path / "artifact")
    write_manifest(artifact.folder, replace(artifact.manifest, architecture="other/1"))
    with pytest.raises(EncoderUnavailable, match="other/1"):
        load(artifact.folder)
