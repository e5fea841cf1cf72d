"""A library keeps a copy of the model that it began with, so that the next version's does not lock it out."""

from pathlib import Path

import pytest

from deploy.local.process import StartError
from deploy.local.shipped_model import keep_shipped, startable
from deploy.local.state import State
from services.embedder.artifact import Artifact, Manifest, open_artifact, write_artifact

EARLIER = "museed-mini-0123456789abcdef"


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State.open(tmp_path / "state")


@pytest.fixture
def shipped(tmp_path: Path) -> Artifact:
    manifest = Manifest("museed-mini", "museed-mini/1", 2, 8_000, 1.0, 1.0, "")
    return write_artifact(tmp_path / "shipped", b"weights", manifest)


def test_model_that_ships_is_kept_once_and_started_from_there(state: State, shipped: Artifact) -> None:
    encoder_id = shipped.manifest.encoder_id
    assert startable(state, encoder_id, "museed-mini") == "museed-mini"
    keep_shipped(state, encoder_id, shipped.folder)
    kept = Path(startable(state, encoder_id, "museed-mini"))
    assert open_artifact(kept) == Artifact(kept, shipped.manifest)
    (shipped.weights_path).write_bytes(b"damaged since")
    keep_shipped(state, encoder_id, shipped.folder)
    assert open_artifact(kept).manifest == shipped.manifest


def test_another_encoder_is_not_kept_as_the_one_that_serves(state: State, shipped: Artifact, tmp_path: Path) -> None:
    keep_shipped(state, EARLIER, shipped.folder)
    keep_shipped(state, EARLIER, tmp_path / "a wheel ships none")
    shipped.weights_path.write_bytes(b"damaged")
    keep_shipped(state, "musicnn-msd-0123456789abcdef", shipped.folder)
    assert not (state / "models").exists()
    assert startable(state, EARLIER, "museed-mini") == "museed-mini"


def test_damaged_model_is_told(state: State, shipped: Artifact) -> None:
    shipped.weights_path.write_bytes(b"damaged")
    with pytest.raises(StartError, match="cannot be copied"):
        keep_shipped(state, shipped.manifest.encoder_id, shipped.folder)
    assert not (state / "models" / shipped.manifest.encoder_id).exists()
