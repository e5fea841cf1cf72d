"""Chooses and loads the encoder that this process serves: `auto`, a name, or a model folder."""

import logging
import shutil
from pathlib import Path

from services.embedder import muq, musicnn, musicnn_wheel
from services.embedder.artifact import MANIFEST_FILE, Artifact, open_artifact
from services.embedder.errors import ArtifactInvalid, EncoderUnavailable
from services.embedder.model import Encoder

logger = logging.getLogger(__name__)

AUTO = "auto"
OFFLINE_DEFAULT = musicnn_wheel.MSD.name


def load_encoder(choice: str, *, artifacts_folder: Path, muq_folder: Path | None, threads: int) -> Encoder:
    """Load an encoder; blocks for up to minutes where weights must be fetched.

    `auto` is MuQ where its weights and a GPU are at hand, else the offline default.

    Args:
        choice: "auto", "musicnn-msd", "musicnn-mtt", a hub name with a slash, or a folder: an artifact or one of MuQ.
        artifacts_folder: Where encoders made of wheels are kept.
        muq_folder: A MuQ folder or artifact that `auto` may take; None asks the hub's cache only.
        threads: Threads of the model on a CPU; 0 takes one a core.

    Raises:
        ArtifactInvalid: A folder is not what its manifest says.
        EncoderUnavailable: Something is not installed, or the choice is unknown; the message says what to do.
    """
    if choice == AUTO:
        folder = muq_folder or muq.find_in_hub_cache()
        if folder is not None and muq.is_gpu_at_hand():
            return _load_folder(folder, threads)
        logger.info("encoder_chosen", extra={"encoder": OFFLINE_DEFAULT, "muq_weights": folder is not None})
        choice = OFFLINE_DEFAULT
    if network := musicnn_wheel.NETWORKS.get(choice):
        return musicnn.MusicnnEncoder(_musicnn_artifact(artifacts_folder / choice, network), threads)
    if choice and Path(choice).is_dir():
        return _load_folder(Path(choice), threads)
    if choice.count("/") == 1 and not choice.startswith(("/", ".")):
        return muq.load_folder(muq.download_from_hub(choice), revision=choice)
    raise EncoderUnavailable(
        f"no encoder {choice!r}: use {', '.join((AUTO, *musicnn_wheel.NETWORKS))}, a model folder,"
        f" or a hub name such as {muq.HUB_NAME}",
        field="encoder",
        value=choice,
    )


def _musicnn_artifact(folder: Path, network: musicnn_wheel.Network) -> Artifact:
    """Return what was made of the wheel, and make it anew where it is damaged or of another version of this code."""
    if folder.is_dir():
        try:
            artifact = open_artifact(folder)
            if artifact.manifest == musicnn_wheel.describe(artifact.manifest.weights_sha256, network):
                return artifact
            reason = "OUTDATED"
        except ArtifactInvalid as error:
            reason = error.reason
        logger.warning("artifact_made_anew", extra={"folder": str(folder), "reason": reason})
        shutil.rmtree(folder)
    return musicnn_wheel.import_wheel(folder, network)


def _load_folder(folder: Path, threads: int) -> Encoder:
    if not (folder / MANIFEST_FILE).is_file():
        return muq.load_folder(folder)
    artifact = open_artifact(folder)
    match artifact.manifest.architecture:
        case musicnn.ARCHITECTURE:
            return musicnn.MusicnnEncoder(artifact, threads)
        case muq.ARCHITECTURE:
            return muq.load_artifact(artifact)
        case other:
            raise EncoderUnavailable(
                f"{folder} is of architecture {other}, this process runs {musicnn.ARCHITECTURE} and {muq.ARCHITECTURE}",
                field="encoder",
                value=other,
            )
