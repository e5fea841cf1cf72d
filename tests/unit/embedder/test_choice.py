"""Which encoder is served, and how the offline default keeps its artifact; MuQ's side is tested with a real one."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from services.embedder.artifact import MANIFEST_FILE, WEIGHTS_FILE, open_artifact, write_manifest
from services.embedder.choice import load_encoder
from services.embedder.errors import ArtifactInvalid, EncoderUnavailable
from services.embedder.model import Encoder

ENCODER_ID = "musicnn-msd-0d2c9d8c6d1f545b"


def load(folder: Path, choice: str = "musicnn-msd") -> Encoder:
    return load_encoder(choice, artifacts_folder=folder, muq_folder=None, threads=1)


def test_offline_default_is_made_once_and_kept(tmp_path: Path) -> None:
    assert load(tmp_path).manifest.encoder_id == ENCODER_ID
    written = (tmp_path / "musicnn-msd" / WEIGHTS_FILE).stat().st_mtime_ns
    assert load(tmp_path).manifest.encoder_id == ENCODER_ID
    assert (tmp_path / "musicnn-msd" / WEIGHTS_FILE).stat().st_mtime_ns == written


def test_each_network_of_the_wheel_goes_by_its_name(tmp_path: Path) -> None:
    for name in ("musicnn-msd", "musicnn-mtt"):
        assert load(tmp_path, name).manifest.name == name
        assert open_artifact(tmp_path / name).manifest.name == name


@pytest.mark.parametrize("damage", ["weights", "manifest", "missing", "outdated"])
def test_offline_default_is_made_anew_where_it_is_damaged(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    load(tmp_path)
    folder = tmp_path / "musicnn-msd"
    if damage == "weights":
        (folder / WEIGHTS_FILE).write_bytes(b"")
    elif damage == "manifest":
        (folder / MANIFEST_FILE).write_text("")
    elif damage == "missing":
        (folder / MANIFEST_FILE).unlink()
    else:
        write_manifest(folder, replace(open_artifact(folder).manifest, architecture="musicnn/0"))
    with caplog.at_level(logging.WARNING):
        assert load(tmp_path).manifest.encoder_id == ENCODER_ID
    assert [record.message for record in caplog.records] == ["artifact_made_anew"]
    assert open_artifact(folder).manifest.encoder_id == ENCODER_ID


def test_artifact_is_served_by_its_folder(tmp_path: Path) -> None:
    load(tmp_path)
    assert load(tmp_path, str(tmp_path / "musicnn-msd")).manifest.encoder_id == ENCODER_ID


def test_own_folder_is_never_made_anew(tmp_path: Path) -> None:
    load(tmp_path)
    folder = tmp_path / "musicnn-msd"
    (folder / WEIGHTS_FILE).write_bytes(b"other")
    with pytest.raises(ArtifactInvalid):
        load(tmp_path, str(folder))
    assert (folder / WEIGHTS_FILE).read_bytes() == b"other"


@pytest.mark.parametrize("choice", ["", "nothing", "a/b/c", "/no/such/folder", "./none"])
def test_unknown_choice_is_told(tmp_path: Path, choice: str) -> None:
    with pytest.raises(EncoderUnavailable, match="set EMBEDDER_ENCODER to auto, museed-mini, musicnn-msd"):
        load(tmp_path, choice)
