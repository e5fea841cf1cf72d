"""Keeps the model that ships with the code in a library's own folder, so that it can be served after an upgrade.

Names stay and models get better: `museed-mini` of the next version is another encoder. A library goes on with the one
that it began with until `museed encoder switch museed-mini`.
"""

from pathlib import Path

from deploy.local.process import StartError
from deploy.local.state import State
from services.embedder.artifact import open_artifact, write_artifact
from services.embedder.choice import MINI_FOLDER
from services.embedder.errors import ArtifactInvalid


def keep_shipped(state: State, encoder_id: str, shipped: Path = MINI_FOLDER) -> None:
    """Copy the model that ships, if it is this encoder and is not kept yet; blocks for the copy of some 20 MB.

    Raises:
        StartError: It cannot be copied.
    """
    folder = _kept_folder(state, encoder_id)
    if folder.is_dir() or not shipped.is_dir():
        return
    try:
        artifact = open_artifact(shipped)
        if artifact.manifest.encoder_id == encoder_id:
            write_artifact(folder, artifact.weights_path.read_bytes(), artifact.manifest)
    except (ArtifactInvalid, OSError) as error:
        raise StartError(f"encoder {encoder_id} cannot be copied to {folder}: {error}") from error


def startable(state: State, encoder_id: str, choice: str) -> str:
    """Return what to start for an encoder: the copy that is kept of it, else its name or folder."""
    folder = _kept_folder(state, encoder_id)
    return str(folder) if folder.is_dir() else choice


def _kept_folder(state: State, encoder_id: str) -> Path:
    return state / "artifacts" / encoder_id
