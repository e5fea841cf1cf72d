"""Keeps the model that ships with the code in a library's own folder, so that it can be served after an upgrade.

Names stay and models get better: `museed-mini` of the next version is another encoder. A library goes on with the one
that it began with until `museed encoder switch museed-mini`.

The embedder's modules are imported where they are used: a `museed` that is a client alone has nothing to serve with.
"""

import shutil
from pathlib import Path

from deploy.local.process import StartError
from deploy.local.state import State

_MODELS = "models"


def keep_shipped(state: State, encoder_id: str, shipped: Path | None = None) -> None:
    """Copy the model that ships, if it is this encoder and is not kept yet; blocks for the copy of some 20 MB.

    Raises:
        StartError: It cannot be copied.
    """
    from services.embedder import choice, mini
    from services.embedder.artifact import open_artifact, write_artifact
    from services.embedder.errors import ArtifactInvalid

    shipped = shipped or choice.MINI_FOLDER
    folder = state / _MODELS / encoder_id
    if folder.is_dir() or not encoder_id.startswith(f"{mini.NAME}-") or not shipped.is_dir():
        return
    try:
        artifact = open_artifact(shipped)
        if artifact.manifest.encoder_id == encoder_id:
            write_artifact(folder, artifact.weights_path.read_bytes(), artifact.manifest)
    except (ArtifactInvalid, OSError) as error:
        raise StartError(f"encoder {encoder_id} cannot be copied to {folder}: {error}") from error


def startable(state: State, encoder_id: str, choice: str) -> str:
    """Return what to start for an encoder: the copy that is kept of it, else its name or folder.

    A copy that is damaged is removed: where the model still ships, it is copied again.
    """
    from services.embedder.artifact import open_artifact
    from services.embedder.errors import ArtifactInvalid

    folder = state / _MODELS / encoder_id
    if not folder.is_dir():
        return choice
    try:
        open_artifact(folder)
    except ArtifactInvalid:
        shutil.rmtree(folder)
        return choice
    return str(folder)


def refuse_another(pinned_id: str, pinned_choice: str, found_id: str, choice: str) -> StartError:
    """Say why a library is not served by another encoder than its own, and what to do."""
    from services.embedder import mini

    if pinned_choice == choice:  # the name means another model than it did
        way_out = (
            f"It is the {choice} of an earlier version, of which this library has no copy. Get that version's model "
            f"folder (in its repository: models/{mini.NAME}), start with MUSEED_ENCODER=THAT_FOLDER, and then, from "
            f"another terminal, let the new one take its place: museed encoder switch {choice}"
        )
    else:
        way_out = (
            f"Start with the encoder that it has (MUSEED_ENCODER=auto takes {pinned_choice}), and then, from another "
            f"terminal, let the new one take its place: museed encoder switch {choice}"
        )
    return StartError(
        f"this library is served by {pinned_id}, and now {found_id} would be.\nTheir vectors cannot be compared. "
        f"{way_out}\nOr use another state folder: museed up --state OTHER"
    )
