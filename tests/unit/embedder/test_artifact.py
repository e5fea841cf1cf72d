"""Model folders: what moves the encoder id, and what is refused."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from services.embedder.artifact import (
    MANIFEST_FILE,
    POOLING_METHODS,
    WEIGHTS_FILE,
    Artifact,
    Manifest,
    Pooling,
    open_artifact,
    write_artifact,
    write_manifest,
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


@pytest.mark.parametrize(
    ("change", "field", "told"),
    [
        ({"window_seconds": 1e9}, "window_seconds", "is 1000000000.0, it must be a number from 0.1 to 600"),
        ({"window_seconds": 0}, "window_seconds", "is 0, it must be a number from 0.1 to 600"),
        ({"window_seconds": -1}, "window_seconds", "is -1, it must be"),
        ({"window_seconds": "10"}, "window_seconds", "is '10', it must be a number"),
        ({"window_seconds": float("nan")}, "window_seconds", "is nan, it must be"),
        ({"window_seconds": True}, "window_seconds", "is True, it must be"),
        ({"hop_seconds": 0}, "hop_seconds", "is 0, it must be a number from 0.1 to 600"),
        ({"hop_seconds": None}, "hop_seconds", "is None, it must be"),
        ({"dim": 0}, "dim", "is 0, it must be a whole number from 1 to 16384"),
        ({"dim": 4.0}, "dim", "is 4.0, it must be a whole number"),
        ({"dim": 10**400}, "dim", "is 1000"),
        ({"sample_rate_hz": "16000"}, "sample_rate_hz", "is '16000', it must be a whole number from 1 to 384000"),
        ({"tags": [1, 2]}, "tags", r"is \(1, 2\), it must be a list of text"),
        ({"tags": "rock"}, "tags", "is 'rock', it must be a list of text"),
        ({"tags": None}, "tags", "is None, it must be a list of text"),
        ({"config": []}, "config", r"is \[\], it must be an object"),
        ({"centring": 1}, "centring", "is 1, it must be text or null"),
        ({"architecture": 1}, "architecture", "is 1, it must be text"),
        ({"resampler": ["soxr"]}, "resampler", r"is \['soxr'\], it must be text"),
        ({"random_pair_cosine": {"0.5": 10**400}}, "random_pair_cosine", "is {'0.5': 1000"),
        ({"pooling": {"method": 1}}, "pooling.method", "is 1, it must be text"),
        ({"pooling": {"silence_rms": -1}}, "pooling.silence_rms", "is -1, it must be a number from 0 to 1"),
        ({"pooling": {"min_part_seconds": "3"}}, "pooling.min_part_seconds", "is '3', it must be a number"),
    ],
    ids=str,
)
def test_what_no_manifest_can_mean_is_refused_by_name(
    artifact: Artifact, change: dict[str, Any], field: str, told: str
) -> None:
    path = artifact.folder / MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ArtifactInvalid, match=f"{re.escape(str(path))}: {field} {told}") as caught:
        open_artifact(artifact.folder)
    assert (caught.value.reason, caught.value.field) == ("ARTIFACT_INVALID", field)


@pytest.mark.parametrize(
    ("change", "field", "told"),
    [
        (
            {"pooling": Pooling(method="median")},
            "pooling.method",
            "is 'median', it must be weighted_mean, max, middle or transformer",
        ),
        (
            {"pooling": Pooling(method="transformer"), "window_seconds": 4.9, "hop_seconds": 4.9},
            "window_seconds",
            "is 4.9, it must be at least 5 with the pooling transformer",
        ),
        ({"resampler": "foo"}, "resampler", "is 'foo', it must be soxr/HQ"),
        ({"hop_seconds": 5}, "hop_seconds", "is 5, it must be window_seconds, 10"),
    ],
    ids=str,
)
def test_what_the_embedder_does_not_do_is_refused(
    artifact: Artifact, change: dict[str, Any], field: str, told: str
) -> None:
    write_manifest(artifact.folder, dataclasses.replace(artifact.manifest, **change))
    with pytest.raises(ArtifactInvalid, match=f"^{field} {told}") as caught:
        open_artifact(artifact.folder)
    assert (caught.value.reason, caught.value.field) == ("ARTIFACT_INVALID", field)


@pytest.mark.parametrize("method", POOLING_METHODS)
@pytest.mark.parametrize("seconds", [10, 30, 60])
def test_window_lengths_and_poolings_that_are_served(artifact: Artifact, method: str, seconds: float) -> None:
    manifest = dataclasses.replace(
        artifact.manifest, window_seconds=seconds, hop_seconds=seconds, pooling=Pooling(method=method)
    )
    write_manifest(artifact.folder, manifest)
    assert open_artifact(artifact.folder).manifest == manifest


@pytest.mark.parametrize(
    ("method", "why"), [("concatenate", "vectors of different lengths"), ("whole_track", "the square of its length")]
)
def test_poolings_of_evaluation_are_refused_by_name(artifact: Artifact, method: str, why: str) -> None:
    write_manifest(artifact.folder, dataclasses.replace(artifact.manifest, pooling=Pooling(method=method)))
    with pytest.raises(ArtifactInvalid) as caught:
        open_artifact(artifact.folder)
    told = f"pooling.method is '{method}', which exists in evaluation only: "
    assert caught.value.message.startswith(told)
    assert why in caught.value.message
    assert caught.value.reason == "POOLING_NOT_SERVED"
    assert caught.value.metadata == {
        "field": "pooling.method",
        "value": method,
        "limit": "weighted_mean, max, middle or transformer",
    }


@pytest.mark.parametrize("name", [MANIFEST_FILE, WEIGHTS_FILE])
def test_missing_file_is_named(artifact: Artifact, name: str) -> None:
    (artifact.folder / name).unlink()
    with pytest.raises(ArtifactInvalid, match=name) as caught:
        open_artifact(artifact.folder)
    assert caught.value.reason == "ARTIFACT_MISSING"


def test_a_config_without_an_id_is_refused(artifact: Artifact) -> None:
    path = artifact.folder / MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"config": {"layers": float("nan")}}))
    with pytest.raises(ArtifactInvalid, match="is not a manifest"):
        open_artifact(artifact.folder)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "[" * 100_000, '{"encoder_id": "x"}', '{"encoder_id": "x", "pooling": {"a": 1}}'],
    ids=lambda text: text[:30],
)
def test_nonsense_manifest_is_refused(artifact: Artifact, text: str) -> None:
    (artifact.folder / MANIFEST_FILE).write_text(text)
    with pytest.raises(ArtifactInvalid) as caught:
        open_artifact(artifact.folder)
    assert caught.value.reason == "ARTIFACT_INVALID"
