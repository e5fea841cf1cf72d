"""Chooses and loads the encoder that this process serves: `auto`, a name, or a model folder."""

import logging
import shutil
from pathlib import Path

from services.embedder import mini, mulan, mulan_folder, muq, musicnn_wheel
from services.embedder.artifact import MANIFEST_FILE, Artifact, open_artifact
from services.embedder.errors import ArtifactInvalid, EncoderUnavailable
from services.embedder.model import ServedEncoder
from services.embedder.precision import FP32
from services.embedder.runtimes import AUTO, Serving, run_artifact

logger = logging.getLogger(__name__)

# The repository ships it beside the code: a checkout, `pip install -e` and the images have it, a wheel has not.
MINI_FOLDER = Path(__file__).resolve().parents[2] / "models" / mini.NAME

_NAMES = (AUTO, mini.NAME, *musicnn_wheel.NETWORKS)


def load_encoder(
    choice: str,
    *,
    artifacts_folder: Path,
    muq_folder: Path | None,
    threads: int,
    runtime: str = AUTO,
    precision: str = FP32,
    is_compiled: bool = False,
) -> ServedEncoder:
    """Load an encoder; blocks for up to minutes where weights must be fetched.

    `auto` is MuQ where its weights and a GPU are at hand, else the offline default: museed-mini where it is shipped,
    else musicnn-msd.

    Args:
        choice: "auto", "museed-mini", "musicnn-msd", "musicnn-mtt", a hub name with a slash, or a folder: an artifact
            or one of MuQ or MuQ-MuLan.
        artifacts_folder: Where encoders made of wheels are kept.
        muq_folder: A MuQ folder or artifact that `auto` may take; None asks the hub's cache only.
        threads: Threads of the model on a CPU; 0 takes one a core.
        runtime: "auto", "onnxruntime" or "torch"; see `Serving`.
        precision: What it computes in; see `Serving`.
        is_compiled: Whether torch compiles the network, where torch runs it; MuQ-MuLan is not compiled.

    Raises:
        ArtifactInvalid: A folder is not what its manifest says.
        EncoderUnavailable: Something is not installed, or the choice is unknown; the message says what to do.
        PrecisionRefused: The precision is not computed in here, or moves vectors too far.
    """
    if _is_mulan(choice):
        mulan.check_serving(runtime, precision, is_compiled)
        return mulan.load(mulan_folder.find(choice), threads=threads)
    artifact = _find(choice, artifacts_folder, muq_folder)
    return run_artifact(artifact, Serving(runtime, precision, threads, is_compiled))


def _is_mulan(choice: str) -> bool:
    """Say whether a folder or a hub name is a MuQ-MuLan, of which no artifact is made."""
    if Path(choice).is_dir():
        return mulan_folder.is_mulan(Path(choice)) and not (Path(choice) / MANIFEST_FILE).is_file()
    if not mulan_folder.is_hub_name(choice):
        return False
    return mulan_folder.is_mulan(muq.download_from_hub(choice, (mulan_folder.CONFIG_FILE,)))


def _find(choice: str, artifacts_folder: Path, muq_folder: Path | None) -> Artifact:
    if muq_folder is not None and not muq_folder.is_dir():
        raise EncoderUnavailable(
            f"EMBEDDER_MUQ_FOLDER is {muq_folder}, where no folder is", field="muq_folder", value=str(muq_folder)
        )
    if choice == AUTO:
        folder = muq_folder or muq.find_in_hub_cache()
        if folder is not None and muq.is_gpu_at_hand():
            return _open_folder(folder)
        choice = offline_default()
        logger.info("encoder_chosen", extra={"encoder": choice, "muq_weights": folder is not None})
    if choice == mini.NAME:
        return _shipped_mini()
    if network := musicnn_wheel.NETWORKS.get(choice):
        return _musicnn_artifact(artifacts_folder / choice, network)
    if choice and Path(choice).is_dir():
        return _open_folder(Path(choice))
    if mulan_folder.is_hub_name(choice):
        return muq.open_folder(muq.download_from_hub(choice), revision=choice)
    raise EncoderUnavailable(
        f"no encoder {choice!r}: set EMBEDDER_ENCODER to {', '.join(_NAMES)}, a model folder, or a hub name such as"
        f" {muq.HUB_NAME}",
        field="encoder",
        value=choice,
    )


def offline_default() -> str:
    """Return the name of the encoder that serves without MuQ: museed-mini, or musicnn-msd where nothing ships it."""
    return mini.NAME if MINI_FOLDER.is_dir() else musicnn_wheel.MSD.name


def _shipped_mini() -> Artifact:
    if not MINI_FOLDER.is_dir():
        raise EncoderUnavailable(
            f"encoder {mini.NAME} ships in the repository and is not at {MINI_FOLDER}:"
            f" install with pip install -e from a checkout, or use {musicnn_wheel.MSD.name}",
            field="encoder",
            value=mini.NAME,
        )
    return open_artifact(MINI_FOLDER)


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


def _open_folder(folder: Path) -> Artifact:
    return open_artifact(folder) if (folder / MANIFEST_FILE).is_file() else muq.open_folder(folder)
