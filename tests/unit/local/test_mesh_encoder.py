"""Which encoder a mesh starts with: the library's own, from its copy where the name means another model by now."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.local.mesh import Mesh
from deploy.local.process import StartError
from deploy.local.shipped_model import keep_shipped, startable
from deploy.local.state import Pin, State
from services.embedder.artifact import Artifact, Manifest, open_artifact, write_artifact
from services.embedder.choice import MINI_FOLDER

NEW = open_artifact(MINI_FOLDER).manifest.encoder_id


@pytest.fixture
def earlier(tmp_path: Path) -> Artifact:
    return write_artifact(tmp_path / "v1", b"weights", Manifest("museed-mini", "museed-mini/1", 2, 8_000, 1.0, 1.0, ""))


@pytest.fixture
def state(tmp_path: Path, earlier: Artifact) -> State:
    """A library that an earlier version made, without the copy."""
    made = State.open(tmp_path / "state")
    Pin(earlier.manifest.encoder_id).remember(earlier.manifest.encoder_id, "museed-mini").write(made)
    return made


async def start(state: State, setting: str, earlier: Artifact) -> list[str]:
    """Start the encoder of a mesh and return what was started."""
    started: list[str] = []

    async def note(choice: str) -> SimpleNamespace:
        started.append(choice)
        is_copy = choice.startswith(str(state.folder))
        encoder_id = earlier.manifest.encoder_id if is_copy else NEW
        return SimpleNamespace(encoder_id=encoder_id, name="museed-mini", dimension=400, device="cpu")

    mesh = object.__new__(Mesh)  # no part of it but its state is asked
    mesh._state = state
    mesh._settings = SimpleNamespace(encoder=setting)  # type: ignore[assignment]  # the one setting
    mesh._announce = lambda _text: None
    mesh._encoders = SimpleNamespace(start=note)  # type: ignore[assignment]  # the one method
    await mesh._start_encoder()
    return started


@pytest.mark.parametrize("setting", ["auto", "museed-mini"])
async def test_library_goes_on_with_its_copy_after_an_upgrade(state: State, earlier: Artifact, setting: str) -> None:
    keep_shipped(state, earlier.manifest.encoder_id, earlier.folder)
    copy = startable(state, earlier.manifest.encoder_id, "museed-mini")
    assert await start(state, setting, earlier) == [copy]


@pytest.mark.parametrize("setting", ["auto", "museed-mini"])
async def test_library_without_a_copy_is_told_the_way_out(state: State, earlier: Artifact, setting: str) -> None:
    before = Pin.read(state)
    with pytest.raises(StartError, match="start with MUSEED_ENCODER=THAT_FOLDER"):
        await start(state, setting, earlier)
    assert Pin.read(state) == before


async def test_damaged_copy_is_not_started(state: State, earlier: Artifact) -> None:
    keep_shipped(state, earlier.manifest.encoder_id, earlier.folder)
    copy = Path(startable(state, earlier.manifest.encoder_id, "museed-mini"))
    (copy / "weights.safetensors").write_bytes(b"")
    with pytest.raises(StartError, match="of which this library has no copy"):
        await start(state, "auto", earlier)
    assert startable(state, earlier.manifest.encoder_id, "museed-mini") == "museed-mini"


async def test_new_library_is_pinned_and_keeps_a_copy(tmp_path: Path, earlier: Artifact) -> None:
    state = State.open(tmp_path / "new")
    assert await start(state, "auto", earlier) == ["auto"]
    assert Pin.read(state) == Pin(NEW, {NEW: "museed-mini"})
    assert startable(state, NEW, "museed-mini") == str(state / "models" / NEW)
