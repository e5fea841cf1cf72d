"""MusiCNN's served graph against a torch re-implementation, and its windows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from services.embedder import musicnn_wheel
from services.embedder.artifact import Artifact, open_artifact, write_artifact
from services.embedder.errors import ArtifactInvalid, EncoderUnavailable
from services.embedder.model import centre
from services.embedder.musicnn import MusicnnEncoder, patch_starts
from services.embedder.musicnn_wheel import MSD, MTT, NETWORKS, Network, find_checkpoint, import_wheel
from tests.unit.embedder import musicnn_in_torch

RATE = 16_000


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return import_wheel(tmp_path_factory.mktemp("artifacts") / "musicnn-msd")


@pytest.fixture(scope="module")
def encoder(artifact: Artifact) -> MusicnnEncoder:
    return MusicnnEncoder(artifact, threads=1)


def music(seconds: float, seed: int) -> NDArray[np.float32]:
    """Return chords with noise bursts: something with pitch and rhythm."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    chord = sum(np.sin(2 * np.pi * hz * time) for hz in random.uniform(80, 2000, 5))
    bursts = random.standard_normal(len(time)) * np.exp(-8 * (time % random.uniform(0.3, 0.8)))
    return np.asarray(0.1 * chord + 0.2 * bursts, dtype=np.float32)


def rows_cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray(np.sum(a * b, axis=1) / norms, dtype=np.float32)


@pytest.mark.parametrize("frames", [187, 60, 300])
@pytest.mark.parametrize("network", [MSD, MTT], ids=lambda network: network.name)
def test_graph_equals_the_torch_reference(tmp_path: Path, network: Network, frames: int) -> None:
    artifact = import_wheel(tmp_path / network.name, network)
    mel = np.random.default_rng(7).uniform(0, 4, (3, frames, 96)).astype(np.float32)
    penultimate, tags = MusicnnEncoder(artifact, threads=1).run_patches(mel)
    wanted_penultimate, wanted_tags = musicnn_in_torch.run(load_file(artifact.weights_path), mel)
    np.testing.assert_allclose(penultimate, wanted_penultimate, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(tags, wanted_tags, atol=1e-3)
    assert rows_cosine(penultimate, wanted_penultimate).min() >= 0.9999


def test_a_window_is_the_mean_of_its_patches(encoder: MusicnnEncoder) -> None:
    windows = np.stack([music(10, seed) for seed in range(2)])
    mel = encoder.log_mel(windows)
    assert mel.shape == (2, 626, 96)
    for row in range(2):
        penultimate, tags = encoder.run_patches(np.stack([mel[row, start : start + 187] for start in (0, 220, 439)]))
        assert penultimate.shape == (3, 200)
        mean = penultimate.mean(axis=0)
        encoded = encoder.encode(windows)
        np.testing.assert_allclose(encoded.vectors[row], mean / np.linalg.norm(mean), atol=1e-5)
        np.testing.assert_allclose(encoded.tags[row], tags.mean(axis=0), atol=1e-5)


def test_more_patches_than_a_run_come_back_in_order(encoder: MusicnnEncoder) -> None:
    patches = np.random.default_rng(3).uniform(0, 4, (11, 187, 96)).astype(np.float32)
    together = encoder.run_patches(patches)
    alone = [encoder.run_patches(patch[None]) for patch in patches]
    for column in (0, 1):
        wanted = np.concatenate([one[column] for one in alone])
        np.testing.assert_allclose(together[column], wanted, rtol=1e-3, atol=1e-3)


def test_centring_of_the_manifest_is_applied(artifact: Artifact, encoder: MusicnnEncoder, tmp_path: Path) -> None:
    mean = np.full(200, 0.02, np.float32)
    weights = save(load_file(artifact.weights_path) | {"centring/mean": mean})
    moved = write_artifact(tmp_path / "moved", weights, replace(artifact.manifest, centring="centring/mean"))
    sound = music(10, 1)[None]
    wanted = centre(encoder.encode(sound).vectors, mean)
    np.testing.assert_allclose(MusicnnEncoder(moved, threads=1).encode(sound).vectors, wanted, atol=1e-5)
    assert moved.manifest.encoder_id != artifact.manifest.encoder_id
    with pytest.raises(ArtifactInvalid, match="lacks the tensor 'nowhere'"):
        MusicnnEncoder(Artifact(moved.folder, replace(moved.manifest, centring="nowhere")), threads=1)


def test_patches_cover_a_window_evenly() -> None:
    assert patch_starts(626) == [0, 220, 439]
    assert patch_starts(188) == [0]
    assert patch_starts(187) == [0]
    assert patch_starts(100) == [0]
    assert patch_starts(270) == [41]
    assert patch_starts(376) == [0, 189]


@pytest.mark.parametrize(
    ("network", "encoder_id"),
    [(MSD, "musicnn-msd-0d2c9d8c6d1f545b"), (MTT, "musicnn-mtt-f7921ec4cfb2831c")],
    ids=["msd", "mtt"],
)
def test_import_is_repeatable(tmp_path: Path, network: Network, encoder_id: str) -> None:
    first = import_wheel(tmp_path / "first", network)
    again = import_wheel(tmp_path / "again", network)
    assert again.manifest == first.manifest == open_artifact(again.folder).manifest
    assert again.manifest.encoder_id == encoder_id


def test_each_network_has_fifty_tags_and_a_file_of_its_own() -> None:
    for network in NETWORKS.values():
        assert len(network.tags) == len(set(network.tags)) == 50
        assert find_checkpoint(network).is_file()
    assert find_checkpoint(MSD) != find_checkpoint(MTT)


def test_missing_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(musicnn_wheel, "WHEEL", "musicnn-that-is-not-here")
    with pytest.raises(EncoderUnavailable, match="pip install --no-deps") as caught:
        import_wheel(tmp_path / "artifact")
    assert caught.value.reason == "ENCODER_UNAVAILABLE"
    assert list(tmp_path.iterdir()) == []


def test_scales_found_at_run_time_are_those_of_one_patch(artifact: Artifact) -> None:
    encoder = MusicnnEncoder(artifact, threads=1, precision="int8-dynamic")
    patches = np.random.default_rng(3).uniform(0, 4, (3, 187, 96)).astype(np.float32) * [[[1]], [[0.1]], [[3]]]
    together = encoder.run_patches(patches.astype(np.float32))[0]
    alone = [encoder.run_patches(patch[None].astype(np.float32))[0] for patch in patches]
    np.testing.assert_array_equal(together, np.concatenate(alone))
