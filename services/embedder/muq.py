"""Finds and describes MuQ's weights: a folder or hub name as the `muq` package saves them. Runs none of them.

The published weights are CC-BY-NC 4.0 and shipped by nobody here.
"""

import glob
import importlib.util
import json
import os
import shutil
from pathlib import Path
from typing import Any

from services.embedder.artifact import WEIGHTS_FILE, Artifact, Manifest, digest_file, write_manifest
from services.embedder.errors import ArtifactInvalid, EncoderUnavailable

ARCHITECTURE = "muq/1"
INSTALL_HINT = "pip install 'museed[muq]'"
HUB_NAME = "OpenMuQ/MuQ-large-msd-iter"

_SAMPLE_RATE_HZ = 24_000
_CONFIG_FILE = "config.json"
_FOLDER_WEIGHTS_FILE = "model.safetensors"
# NVIDIA's, AMD's, and those of Windows seen from its Linux.
_GPU_DEVICES = ("/dev/nvidia[0-9]*", "/dev/kfd", "/dev/dxg")
# Options of training that no forward pass reads.
_UNUSED_OPTIONS = ("resume_checkpoint", "rvq_ckpt_path", "recon_loss_ratio", "mask_hop", "mask_prob")


def open_folder(folder: Path, *, revision: str = "") -> Artifact:
    """Describe a folder that `MuQ.save_pretrained` or the hub wrote, config.json and model.safetensors, as it lies.

    Raises:
        ArtifactInvalid: A file is missing or is not what it should be.
    """
    return Artifact(folder, describe_folder(folder, revision=revision), _FOLDER_WEIGHTS_FILE)


def import_folder(folder: Path, destination: Path) -> Artifact:
    """Make a model folder of a MuQ folder; the weights are linked where the file system can, else copied.

    Raises:
        ArtifactInvalid: A file is missing.
        FileExistsError: The destination exists.
    """
    manifest = describe_folder(folder)
    destination.mkdir(parents=True)
    weights = (folder / _FOLDER_WEIGHTS_FILE).resolve()
    try:
        os.link(weights, destination / WEIGHTS_FILE)
    except OSError:
        shutil.copyfile(weights, destination / WEIGHTS_FILE)
    write_manifest(destination, manifest)
    return Artifact(destination, manifest)


def describe_folder(folder: Path, *, revision: str = "") -> Manifest:
    """Make the manifest of a MuQ folder; reads the weights once for their digest, which blocks for seconds.

    Raises:
        ArtifactInvalid: ARTIFACT_MISSING or ARTIFACT_INVALID, naming the file.
    """
    for name in (_CONFIG_FILE, _FOLDER_WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise ArtifactInvalid(
                f"{folder / name} is missing: a MuQ folder has {_CONFIG_FILE} and {_FOLDER_WEIGHTS_FILE}",
                reason="ARTIFACT_MISSING",
                field="artifact",
                value=folder / name,
            )
    config = _read_config(folder / _CONFIG_FILE)
    dim = int(config.get("encoder_dim", 1024))
    return Manifest(
        # Of the contents, not of the path: the same weights have the same id wherever they lie.
        name=f"muq-{dim}",
        architecture=ARCHITECTURE,
        config=config,
        dim=dim,
        sample_rate_hz=_SAMPLE_RATE_HZ,
        window_seconds=10.0,
        hop_seconds=10.0,
        weights_sha256=digest_file(folder / _FOLDER_WEIGHTS_FILE),
        source=str(folder),
        revision=revision,
        licence="CC-BY-NC-4.0",
    )


def find_in_hub_cache() -> Path | None:
    """Return the folder of the published MuQ where an earlier download left it; asks no network."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(HUB_NAME, name) for name in (_CONFIG_FILE, _FOLDER_WEIGHTS_FILE)]
    return Path(found[0]).parent if isinstance(found[0], str) and isinstance(found[1], str) else None


def download_from_hub(name: str, files: tuple[str, ...] = (_CONFIG_FILE, _FOLDER_WEIGHTS_FILE)) -> Path:
    """Return the folder of a model of the hub, fetching it where it is not cached yet.

    Args:
        name: Hub name.
        files: What is wanted of it; a file that the hub has not is missing in the folder.

    Raises:
        EncoderUnavailable: It is not cached and cannot be fetched, or the client is not installed.
    """
    if importlib.util.find_spec("huggingface_hub") is None:
        raise EncoderUnavailable(f"encoder {name} needs the hub client: {INSTALL_HINT}", field="encoder", value=name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(files)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise EncoderUnavailable(
            f"encoder {name} is neither cached nor to be had from the hub ({error}):"
            " name a local folder instead, laid out as services/embedder/README.md says",
            field="encoder",
            value=name,
        ) from error


def is_gpu_at_hand() -> bool:
    """Say whether torch is installed and sees a GPU; imports torch, which takes seconds, only where a GPU may be."""
    if importlib.util.find_spec("torch") is None or not any(glob.glob(pattern) for pattern in _GPU_DEVICES):
        return False
    import torch

    return torch.cuda.is_available()


def used_options(config: dict[str, Any]) -> dict[str, Any]:  # JSON values
    """Return the options of a MuQ config that a forward pass reads."""
    return {key: value for key, value in config.items() if key not in _UNUSED_OPTIONS}


def _read_config(path: Path) -> dict[str, Any]:  # JSON values
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        # The hub mixin has written the config both bare and below its argument's name.
        return used_options(found.get("config", found))
    except (ValueError, AttributeError) as error:
        raise ArtifactInvalid(f"{path} is not a MuQ config: {error!r}", field="config", value=path) from error
