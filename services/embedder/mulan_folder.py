"""Finds and describes the files of a MuQ-MuLan without loading any: its own, and two small ones of its parts.

    <folder>/config.json                        of OpenMuQ/MuQ-MuLan-large
    <folder>/pytorch_model.bin                  or model.safetensors: the weights of both towers
    <folder>/muq/config.json                    of OpenMuQ/MuQ-large-msd-iter
    <folder>/xlm-roberta-base/config.json       of xlm-roberta-base
    <folder>/xlm-roberta-base/tokenizer.json

The towers' own weights are not needed: those of MuQ-MuLan hold them as they became by training. Where a part's folder
is missing, the hub's cache is asked for the model that config.json names; only a hub name fetches from the network.
The published weights are CC-BY-NC 4.0 and shipped by nobody here.
"""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.embedder import muq
from services.embedder.artifact import Manifest, digest_file
from services.embedder.errors import ArtifactInvalid

ARCHITECTURE = "muq-mulan/1"
HUB_NAME = "OpenMuQ/MuQ-MuLan-large"
CONFIG_FILE = "config.json"
TOKENIZER_FILE = "tokenizer.json"
WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")
MUQ_FOLDER, TEXT_FOLDER = "muq", "xlm-roberta-base"

_LAYOUT = (
    f"a MuQ-MuLan folder has {CONFIG_FILE}, {' or '.join(WEIGHTS_FILES)}, {MUQ_FOLDER}/{CONFIG_FILE},"
    f" {TEXT_FOLDER}/{CONFIG_FILE} and {TEXT_FOLDER}/{TOKENIZER_FILE}"
)
# What moves a vector of the text tower; the rest of its config tells names, versions and training.
_TEXT_OPTIONS = (
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "layer_norm_eps",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "pad_token_id",
    "position_embedding_type",
    "type_vocab_size",
    "vocab_size",
)


@dataclass(frozen=True, slots=True)
class MulanFolder:
    """The files of a MuQ-MuLan.

    Attributes:
        folder: Where its own files lie.
        weights: Weights of both towers.
        tokenizer: Tokenizer of the text tower.
        config: Options of model and towers, as `describe` puts them into the manifest.
        revision: Hub name it was found by; empty for a local folder.
    """

    folder: Path
    weights: Path
    tokenizer: Path
    config: dict[str, Any]  # JSON values
    revision: str

    def describe(self) -> Manifest:
        """Make the manifest; reads the weights once for their digest, which blocks for seconds.

        Raises:
            ArtifactInvalid: The config asks for what cannot be meant.
        """
        options = self.config["mulan"]
        seconds = options.get("clip_secs", 10)
        return Manifest(
            name=f"muq-mulan-{options['dim_latent']}",
            architecture=ARCHITECTURE,
            config=self.config | {"tokenizer_sha256": digest_file(self.tokenizer)},
            dim=options["dim_latent"],
            sample_rate_hz=options.get("sr", 24_000),
            window_seconds=seconds,
            hop_seconds=seconds,
            weights_sha256=digest_file(self.weights),
            source=str(self.folder),
            revision=self.revision,
            licence="CC-BY-NC-4.0",
        )


def is_mulan(folder: Path) -> bool:
    """Say whether a folder's config.json is one of MuQ-MuLan; whatever cannot be read is not."""
    try:
        return "mulan" in _options(folder / CONFIG_FILE)
    except ArtifactInvalid:
        return False


def is_hub_name(choice: str) -> bool:
    """Say whether a choice is meant as a name of the hub and not as a folder."""
    return choice.count("/") == 1 and not choice.startswith(("/", "."))


def find(choice: str) -> MulanFolder:
    """Find all files; a hub name fetches what is not cached, which takes minutes.

    Args:
        choice: A folder, or a hub name.

    Raises:
        ArtifactInvalid: A file is missing or is not what it should be; the message says what belongs where.
        EncoderUnavailable: The hub is asked for something and does not give it.
    """
    if is_hub_name(choice) and not Path(choice).is_dir():
        return _read(muq.download_from_hub(choice, (CONFIG_FILE, *WEIGHTS_FILES)), revision=choice)
    return _read(Path(choice), revision="")


def _read(folder: Path, revision: str) -> MulanFolder:
    found = _options(_present(folder / CONFIG_FILE, HUB_NAME))
    try:
        audio, text = found["audio_model"], found["text_model"]
        audio_name, text_name = str(audio["name"]), str(text["name"])
        layers = {"audio_layer": audio.get("use_layer_idx", -1)}
        widths = {"audio_width": audio.get("model_dim"), "text_width": text.get("model_dim")}
        config = {key: dict(found[key]) for key in ("mulan", "audio_transformer", "text_transformer")}
        config["mulan"]["dim_latent"]  # the length of a vector
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _not_mulan(folder / CONFIG_FILE, repr(error)) from error
    if "muq" not in audio_name.lower() or "xlm-roberta" not in text_name.lower():
        raise _not_mulan(folder / CONFIG_FILE, f"its towers are {audio_name} and {text_name}")
    muq_config = _part(folder / MUQ_FOLDER, audio_name, CONFIG_FILE, is_fetched=bool(revision))
    text_config = _part(folder / TEXT_FOLDER, text_name, CONFIG_FILE, is_fetched=bool(revision))
    text_options = _options(text_config)
    return MulanFolder(
        folder=folder,
        weights=_weights(folder),
        tokenizer=_part(folder / TEXT_FOLDER, text_name, TOKENIZER_FILE, is_fetched=bool(revision)),
        config=config
        | layers
        | widths
        | {"muq": muq.used_options(_options(muq_config))}
        | {"xlm-roberta": {key: text_options[key] for key in _TEXT_OPTIONS if key in text_options}},
        revision=revision,
    )


def _part(folder: Path, hub_name: str, file: str, *, is_fetched: bool) -> Path:
    """Return a file of a part: from its folder, the hub's cache, or the hub where that may be asked."""
    if (folder / file).is_file() or importlib.util.find_spec("huggingface_hub") is None:
        return _present(folder / file, hub_name)
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(hub_name, file)
    except HFValidationError:  # the path of a folder on the machine where the model was made
        cached = None
    if isinstance(cached, str):
        return Path(cached)
    if is_fetched:
        return _present(muq.download_from_hub(hub_name, (file,)) / file, hub_name)
    return _present(folder / file, hub_name)


def _weights(folder: Path) -> Path:
    for name in WEIGHTS_FILES:
        if (folder / name).is_file():
            return folder / name
    raise _missing(folder / WEIGHTS_FILES[-1], HUB_NAME)


def _present(path: Path, hub_name: str) -> Path:
    if not path.is_file():
        raise _missing(path, hub_name)
    return path


def _missing(path: Path, hub_name: str) -> ArtifactInvalid:
    return ArtifactInvalid(
        f"{path} is missing: put {path.name} of {hub_name} there; {_LAYOUT}",
        reason="ARTIFACT_MISSING",
        field="artifact",
        value=path,
    )


def _options(path: Path) -> dict[str, Any]:  # JSON values
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        # The hub mixin has written configs both bare and below their argument's name.
        return dict(found.get("config", found))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _not_mulan(path, repr(error)) from error


def _not_mulan(path: Path, why: str) -> ArtifactInvalid:
    return ArtifactInvalid(f"{path} is no config of MuQ-MuLan or its parts: {why}", field="config", value=path)
