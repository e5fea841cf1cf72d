"""MuQ-MuLan in torch: one space for sound and words, as an encoder and as a text model. Finds and fetches no files.

The network is that of the `muq` package (MIT; Zhu et al. 2025, arXiv:2501.01108), put together here from its parts so
that the towers are not loaded from the hub first, only to be overwritten. Torch is imported when a model is loaded.
"""

import importlib.util
import logging
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from services.embedder import mulan_folder, muq
from services.embedder.aggregation import WEIGHTED_MEAN
from services.embedder.artifact import Manifest
from services.embedder.errors import ArtifactInvalid, EncoderUnavailable, PrecisionRefused, TextInvalid
from services.embedder.model import Encoded, Encoder, Float32Array, unit
from services.embedder.mulan_folder import MulanFolder
from services.embedder.precision import FP32
from services.embedder.runtimes import AUTO, TORCH

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

_PREFIX = "mulan."
# For training, read by no forward pass, or made from the config: a file may lack them, or hold those of other releases.
_UNREAD = (
    "audio.aggregator.",
    "audio.model.model.cls_token",
    "audio.model.model.conformer.embed_positions.inv_freq",
    "audio.model.model.conformer.pos_conv_embed.",
    "audio.model.model.linear.",
    "audio.model.model.quantizer_",
    "audio.model.model.rvq.",
    "contrast.",
    "multi_layer_contrastive_learning.",
    "text.model.embeddings.position_ids",
    "text.model.pooler.",
)


class MulanEncoder:
    """Runs both towers. Sound and words may be embedded at a time, each from one thread.

    Args:
        model: A `MuLanModel` in evaluation, on its device.
        manifest: What it is.
        device: "cpu" or "cuda".
        max_tokens: Longest prompt, with its two marks.
    """

    min_samples = 2_048  # MuQ needs more than 1,024
    runtime = TORCH
    precision = FP32
    aggregator = WEIGHTED_MEAN

    def __init__(self, model: "torch.nn.Module", manifest: Manifest, device: str, max_tokens: int) -> None:
        self.manifest = manifest
        self.device = device
        self._model: Any = model  # the package ships no types
        self._max_tokens = max_tokens
        tensors = [*model.parameters(), *model.buffers()]
        self.parameters = sum(tensor.numel() for tensor in model.parameters())
        self.memory_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def encode(self, windows: Float32Array) -> Encoded:
        """Encode windows, shape (batch, samples) at 24 kHz, in fp32; see `Encoder.encode`."""
        import torch

        from services.embedder.exact_convolutions import exact_convolutions

        with torch.inference_mode(), exact_convolutions(self.precision):
            sound = torch.from_numpy(np.ascontiguousarray(windows)).to(self.device)
            latents = self._model.get_audio_latents(sound)  # (batch, dim)
            vectors = latents.float().cpu().numpy()
        return Encoded(unit(vectors), np.zeros((len(windows), 0), np.float32))

    def embed_text(self, prompt: str) -> Float32Array:
        """Embed one prompt, alone because the padding of a batch moves vectors; see `TextModel.embed_text`."""
        import torch

        from services.embedder.exact_convolutions import exact_convolutions

        tokens = len(self._model.text.tokenizer(prompt)["input_ids"])
        if tokens > self._max_tokens:
            raise TextInvalid(
                f"the text has {tokens} tokens, limit is {self._max_tokens}",
                field="text",
                value=tokens,
                limit=self._max_tokens,
            )
        with torch.inference_mode(), exact_convolutions(self.precision):
            latents = self._model.get_text_latents(raw_texts=[prompt])  # (1, dim)
            vector: Float32Array = unit(latents.float().cpu().numpy())[0]
        return vector


def load(files: MulanFolder, manifest: Manifest | None = None, *, threads: int = 0) -> MulanEncoder:
    """Load both towers; blocks for seconds.

    Args:
        files: What `mulan_folder.find` found.
        manifest: What `files.describe()` gave, where the caller has it already.
        threads: On a CPU, torch's of the whole process; 0 leaves them as they are.

    Raises:
        ArtifactInvalid: Weights, config and tokenizer do not fit.
        EncoderUnavailable: muq or torch is not installed.
    """
    missing = [name for name in ("torch", "muq") if importlib.util.find_spec(name) is None]
    if missing:
        raise EncoderUnavailable(
            f"MuQ-MuLan needs {' and '.join(missing)}: {muq.INSTALL_HINT}",
            field="encoder",
            value=mulan_folder.ARCHITECTURE,
        )
    import torch

    manifest = manifest or files.describe()
    try:
        model = _build(files.config, files.tokenizer)
        _fill(model, files.weights)
        max_tokens = _check_tokenizer(model, files)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ArtifactInvalid(
            f"{files.folder}: weights and config do not fit: {error}", field="config", value=files.folder
        ) from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and threads:
        torch.set_num_threads(threads)
    return MulanEncoder(model.eval().to(device), manifest, device, max_tokens)


def check_serving(runtime: str, precision: str, is_compiled: bool) -> None:
    """Refuse settings under which MuQ-MuLan is not served: it runs on torch, in fp32, and is not compiled.

    Raises:
        EncoderUnavailable: Another runtime or a compiler is asked for.
        PrecisionRefused: Another precision is.
    """
    if runtime not in (AUTO, TORCH):
        raise EncoderUnavailable(
            f"EMBEDDER_RUNTIME is {runtime}, {mulan_folder.ARCHITECTURE} runs on {TORCH}",
            field="EMBEDDER_RUNTIME",
            value=runtime,
            limit=TORCH,
        )
    if precision not in (AUTO, FP32):
        raise PrecisionRefused.not_computed(precision, mulan_folder.ARCHITECTURE, (FP32,))
    if is_compiled:
        raise EncoderUnavailable(
            f"EMBEDDER_TORCH_COMPILE is on, {mulan_folder.ARCHITECTURE} is not compiled: leave it out",
            field="EMBEDDER_TORCH_COMPILE",
        )


def load_beside(choice: str, served: Encoder, threads: int = 0) -> MulanEncoder | None:
    """Return the text model that stands beside the served encoder, which may be that encoder itself.

    Args:
        choice: A folder or hub name; empty takes the served encoder where that is a MuQ-MuLan, and else none.
        served: What is served: where it is the chosen model, that is not loaded a second time.
        threads: As of `load`.

    Raises:
        ArtifactInvalid: As `mulan_folder.find` and `load` do.
        EncoderUnavailable: As `mulan_folder.find` and `load` do.
    """
    own = served if isinstance(served, MulanEncoder) else None
    if not choice:
        return own
    files = mulan_folder.find(choice)
    manifest = files.describe()
    if own is not None and own.manifest.encoder_id == manifest.encoder_id:
        return own
    return load(files, manifest, threads=threads)


def _build(config: dict[str, Any], tokenizer: Path) -> "torch.nn.Module":  # JSON values
    """Put an untrained network together; asks no hub."""
    from muq import MuQ, MuQConfig
    from muq.muq_mulan.models.audio import AudioSpectrogramTransformerPretrained
    from muq.muq_mulan.models.mulan import MuLanModel
    from muq.muq_mulan.models.text import TextTransformerPretrained
    from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaTokenizerFast

    try:
        words = XLMRobertaTokenizerFast(tokenizer_file=str(tokenizer))  # type: ignore[no-untyped-call]  # untyped there
    except Exception as error:  # the tokenizers library raises nothing narrower
        raise ArtifactInvalid(f"{tokenizer} is no tokenizer: {error}", field="tokenizer", value=tokenizer) from error

    class AudioTower(AudioSpectrogramTransformerPretrained):  # type: ignore[misc]  # the package ships no types
        def _init_pretrained_model(self, model_name: str) -> None:
            self.model = MuQ(MuQConfig(**config["muq"]))

    class TextTower(TextTransformerPretrained):  # type: ignore[misc]  # the package ships no types
        def _init_pretrained_model(self) -> XLMRobertaModel:
            options = XLMRobertaConfig(**config["xlm-roberta"])  # type: ignore[no-untyped-call]  # untyped there
            return XLMRobertaModel(options)  # type: ignore[no-untyped-call]  # untyped there

        def _init_tokenizer(self) -> XLMRobertaTokenizerFast:
            return words

    model: torch.nn.Module = MuLanModel(
        # By these names the package tells which code to run; nothing is looked up by them here.
        audio_transformer=AudioTower(
            model_name="muq",
            frozen_pretrained=False,
            model_dim=config["audio_width"],
            use_layer_idx=config["audio_layer"],
            **config["audio_transformer"],
        ),
        text_transformer=TextTower(
            model_name="xlm-roberta",
            frozen_pretrained=False,
            model_dim=config["text_width"],
            **config["text_transformer"],
        ),
        **config["mulan"],
    )
    return model


def _fill(model: "torch.nn.Module", path: Path) -> None:
    """Load the weights into a network; every tensor that a forward pass reads must be there."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise ArtifactInvalid(
            f"{path} holds no weights: {error}", reason="ARTIFACT_CORRUPT", field="artifact", value=path
        ) from error
    state = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
    left = model.load_state_dict(state, strict=False)
    missing = [name for name in left.missing_keys if not name.startswith(_UNREAD)]
    if missing:
        raise ArtifactInvalid(
            f"{path} lacks {len(missing)} tensors, the first is {missing[0]}", field="artifact", value=missing[0]
        )
    surplus = [name for name in left.unexpected_keys if not name.startswith(_UNREAD)]
    if surplus:
        logger.warning("tensors_unread", extra={"path": str(path), "count": len(surplus), "first": surplus[0]})


def _check_tokenizer(model: Any, files: MulanFolder) -> int:  # the package ships no types
    """Return the longest prompt in tokens; refuse a tokenizer with more words than the network knows."""
    embeddings = model.text.model.embeddings
    if len(model.text.tokenizer) > embeddings.word_embeddings.num_embeddings:
        raise ArtifactInvalid(
            f"{files.tokenizer} has {len(model.text.tokenizer)} tokens, the weights know"
            f" {embeddings.word_embeddings.num_embeddings}",
            field="tokenizer",
            value=len(model.text.tokenizer),
            limit=embeddings.word_embeddings.num_embeddings,
        )
    # Positions are counted from behind the padding's id.
    longest: int = embeddings.position_embeddings.num_embeddings - embeddings.padding_idx - 1
    return longest
