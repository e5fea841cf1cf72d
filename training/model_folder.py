"""Finds, copies and changes model folders: an artifact of any encoder, or a MuQ folder made one. Runs no model."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.embedder import mini, musicnn_wheel
from services.embedder.artifact import MANIFEST_FILE, WEIGHTS_FILE, Artifact, open_artifact
from services.embedder.choice import MINI_FOLDER, load_encoder
from services.embedder.errors import EncoderUnavailable
from services.embedder.muq import import_folder
from training.errors import TargetTaken


def find_artifact(name: str, artifacts_folder: Path) -> Artifact:
    """Open the artifact of an encoder that has one.

    Args:
        name: "museed-mini", "musicnn-msd", "musicnn-mtt", an artifact's folder, or a folder of MuQ.
        artifacts_folder: Where encoders made of wheels are kept, and artifacts of MuQ folders are put.

    Raises:
        ArtifactInvalid: A folder is not what its manifest says.
        EncoderUnavailable: There is no such encoder, or something is not installed.
    """
    if name == mini.NAME:
        return open_artifact(MINI_FOLDER)
    if name in musicnn_wheel.NETWORKS:
        load_encoder(name, artifacts_folder=artifacts_folder, muq_folder=None, threads=1)  # unpacks the wheel
        return open_artifact(artifacts_folder / name)
    folder = Path(name)
    if not folder.is_dir():
        known = ", ".join((mini.NAME, *musicnn_wheel.NETWORKS))
        raise EncoderUnavailable(f"no encoder {name!r}: use {known} or a model folder", field="encoder", value=name)
    if (folder / MANIFEST_FILE).is_file():
        return open_artifact(folder)
    with drafted_beside(artifacts_folder / folder.name) as draft:
        made = import_folder(folder, draft)
        target = artifacts_folder / made.manifest.encoder_id
        if not target.is_dir():
            os.rename(draft, target)
    return open_artifact(target)


def check_free(folder: Path) -> None:
    """Refuse a folder that is there, whatever it holds.

    Raises:
        TargetTaken: It is.
    """
    if folder.exists() or folder.is_symlink():
        raise TargetTaken(f"{folder} is there, and nothing is overwritten: name another folder")


@contextmanager
def drafted_beside(folder: Path) -> Iterator[Path]:
    """Name a folder beside another one, on its file system, that is removed afterwards if it is still there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.parent / f".{folder.name}.{uuid.uuid4().hex}"
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def link_weights(artifact: Artifact, folder: Path) -> None:
    """Put an artifact's weights into a folder: linked where the file system can, else copied."""
    try:
        os.link(artifact.weights_path.resolve(), folder / WEIGHTS_FILE)
    except OSError:
        shutil.copyfile(artifact.weights_path, folder / WEIGHTS_FILE)
