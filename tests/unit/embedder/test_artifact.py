"""Model folders: what moves the encoder id, and what is refused."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from services.embedder.artifact import (
    MANIFEST_FILE,
    WEIGHTS_FILE,
    Artifact,
    Manifest,
    Pooling,
    open_artifact,
    write_artifact,
)
from services.embedder.errors import ArtifactInvalid

MANIFEST = Manifest(
    name="fake",
    architecture="fake/1",
    dim=4,
    sample_rate_hz=16_000,
    window_seconds=10,
    hop_seconds=10,
    weights_sha256="00" * 32,
    config={"layers": 2},
)


@pytest.mark.parametrize(
    "change",
    [
        {"weights_sha256": "01" * 32},
        {"architecture": "fake/2"},
        {"config": {"layers": 3}},
        {"dim": 8},
        {"sample_rate_hz": 24_000},
        {"window_seconds": 5},
        {"hop_seconds": 5},
        {"pooling": Pooling(silence_rms=0.01)},
        {"pooling": Pooling(min_part_seconds=2)},
        {"centring": "mean"},
        {"resampler": "soxr/VHQ"},
    ],
    ids=lambda change: ",".join(change),
)
def test_what_moves_the_vector_moves_the_id(change: dict[str, Any]) -> None:
    assert dataclasses.replace(MANIFEST, **change).encoder_id != MANIFEST.encoder_id


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "fp16"},
        {"licence": "MIT"},
        {"tags": ("rock",)},
        {"random_pair_cosine": {"0.5": 0.3}},
        {"source": "elsewhere"},
        {"revision": "2"},
        {"window_seconds": 10.0},
    ],
    ids=lambda change: ",".join(change),
)
def test_what_does_not_move_the_vector_does_not_move_the_id(change: dict[str, Any]) -> None:
    assert dataclasses.replace(MANIFEST, **change).encoder_id == MANIFEST.encoder_id


def test_id_is_name_and_digest() -> None:
    # Written down: an id that changes with the code would make every stored vector foreign.
    assert MANIFEST.encoder_id == "fake-15251068c223b005"
    assert dataclasses.replace(MANIFEST, name="other").encoder_id == "other-15251068c223b005"


@pytest.mark.parametrize("name", ["", "Fake", "a.b", "a b", "a*", "-a", "a" * 41])
def test_name_must_be_fit_for_a_subject(name: str) -> None:
    with pytest.raises(ArtifactInvalid, match="must match"):
        dataclasses.replace(MANIFEST, name=name)


def test_quantiles_rise() -> None:
    manifest = dataclasses.replace(MANIFEST, random_pair_cosine={"0.999": 0.9, "0.01": -0.25, "0.5": 0.1})
    assert manifest.cosine_quantiles == ((0.01, -0.25), (0.5, 0.1), (0.999, 0.9))
    assert dataclasses.replace(MANIFEST, random_pair_cosine=None).cosine_quantiles == ()


@pytest.mark.parametrize("quantiles", [{"half": 0.1}, {"1.5": 0.1}, {"0.5": 1.5}, {"0.5": None}, {"nan": 0}, [0.5]])
def test_quantiles_must_be_cosines_by_share(quantiles: Any) -> None:
    with pytest.raises(ArtifactInvalid, match="random_pair_cosine is"):
        dataclasses.replace(MANIFEST, random_pair_cosine=quantiles)


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return write_artifact(tmp_path / "models" / "fake", b"weights", MANIFEST)


def test_written_artifact_reads_back(artifact: Artifact) -> None:
    assert open_artifact(artifact.folder) == artifact
    assert artifact.manifest.weights_sha256.startswith("9a129038")
    assert [path.name for path in artifact.folder.parent.iterdir()] == ["fake"]


def test_second_writer_finds_the_first_ones_folder(artifact: Artifact) -> None:
    assert write_artifact(artifact.folder, b"weights", MANIFEST) == artifact
    assert [path.name for path in artifact.folder.parent.iterdir()] == ["fake"]


def test_changed_weights_are_refused(artifact: Artifact) -> None:
    artifact.weights_path.write_bytes(b"weightz")
    with pytest.raises(ArtifactInvalid) as caught:
        open_artifact(artifact.folder)
    assert caught.value.reason == "ARTIFACT_CORRUPT"
    assert caught.value.field == "weights_sha256"
    assert caught.value.limit == artifact.manifest.weights_sha256


def test_changed_manifest_is_refused(artifact: Artifact) -> None:
    path = artifact.folder / MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"hop_seconds": 5}))
    with pytest.raises(ArtifactInvalid) as caught:
        open_artifact(artifact.folder)
    assert (caught.value.reason, caught.value.field) == ("ARTIFACT_CORRUPT", "encoder_id")


@pytest.mark.parametrize("name", [MANIFEST_FILE, WEIGHTS_FILE])
def test_missing_file_is_named(artifact: Artifact, name: str) -> None:
    (artifact.folder / name).unlink()
    with pytest.raises(ArtifactInvalid, match=name) as caught:
        open_artifact(artifact.folder)
    assert caught.value.reason == "ARTIFACT_MISSING"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"encoder_id": "x"}', '{"encoder_id": "x", "pooling": {"a": 1}}'])
def test_nonsense_manifest_is_refused(artifact: Artifact, text: str) -> None:
    (artifact.folder / MANIFEST_FILE).write_text(text)
    with pytest.raises(ArtifactInvalid) as caught:
        open_artifact(artifact.folder)
    assert caught.value.reason == "ARTIFACT_INVALID"
