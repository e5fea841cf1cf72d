"""The network that learns: a MuQ through its own classes, and linear heads on its pooled output."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import muq
import numpy as np
import torch
from muq.muq.modules.features import MelSTFT
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from services.embedder.artifact import open_artifact
from services.embedder.errors import ArtifactInvalid
from training.config import NetworkConfig
from training.errors import ConfigInvalid
from training.teacher import GRID_SECONDS, PATCH_SECONDS

# Of the published MuQ: what its authors normalise by.
_STATISTICS = {"melspec_2048_mean": 6.768444971712967, "melspec_2048_std": 18.417922652295623}
# Weights of MuQ that no embedding depends on.
_DEAD = ("model.cls_token", "model.linear.", "model.quantizer_", "model.conformer.pos_conv_embed.")
_HIDDEN_PER_SECOND = 25
_TRAINING_OPTIONS = ("resume_checkpoint", "rvq_ckpt_path", "recon_loss_ratio", "mask_hop", "mask_prob")


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the network makes of crops.

    Attributes:
        pooled: Mean of the last layer over time, shape (batch, encoder_dim).
        vectors: Of the embedding head, shape (batch, embedding_dim); `pooled` without one.
        patches: The same of the frames under each patch that a teacher hears, shape (batch, patches, embedding_dim).
        tags: Logits, shape (batch, tags); `pooled` without a head for them.
        projected: Of the contrastive head, shape (batch, projection_dim); `pooled` without one.
    """

    pooled: Tensor
    vectors: Tensor
    patches: Tensor
    tags: Tensor
    projected: Tensor


class Network(nn.Module):
    """MuQ with heads for a vector, tags and a contrastive projection (SimCLR: dim → dim → ReLU → projection).

    Args:
        config: Sizes and what of it learns.
        precision: "fp32" or "bf16", of stem and conformer.
    """

    def __init__(self, config: NetworkConfig, precision: str = "fp32") -> None:
        super().__init__()
        self._is_half = precision == "bf16"
        self._has_frozen_batch_norm = config.frozen_batch_norm
        if config.base:
            self.muq, found = _load_base(Path(config.base))
        else:
            self.muq, found = muq.MuQ(muq.MuQConfig(**muq_options(config))), {}
        dim: int = self.muq.config.encoder_dim
        self.embedding = nn.Linear(dim, config.embedding_dim) if config.embedding_dim else nn.Identity()
        self.tags = nn.Linear(dim, config.tags) if config.tags else nn.Identity()
        self.projection = _projection(dim, config.projection_dim) if config.projection_dim else nn.Identity()
        self._freeze(config.trained_layers)
        head = found.get("heads.embedding.weight")
        if head is not None and isinstance(self.embedding, nn.Linear) and head.shape == self.embedding.weight.shape:
            self.embedding.load_state_dict({"weight": head, "bias": found["heads.embedding.bias"]})

    def forward(self, mel_db: Tensor) -> Outputs:
        """Embed crops of equal length.

        Args:
            mel_db: Log-mel frames in dB, shape (batch, frames, 128), 100 frames a second.
        """
        stat = self.muq.config.stat
        mel = (mel_db - stat["melspec_2048_mean"]) / stat["melspec_2048_std"]
        with torch.autocast(mel.device.type, torch.bfloat16, enabled=self._is_half):
            stem = self.muq.model.conv(mel.transpose(1, 2))  # (batch, frames / 4, dim)
            hidden = self.muq.model.conformer(stem).last_hidden_state
        hidden = hidden.to(mel_db.dtype)
        pooled = hidden.mean(dim=1)  # (batch, dim)
        patches = self.embedding(_under_patches(hidden))
        return Outputs(pooled, self.embedding(pooled), patches, self.tags(pooled), self.projection(pooled))

    def train(self, mode: bool = True) -> "Network":
        """Switch to learning; batch normalisation stays in evaluation where it is frozen."""
        super().train(mode)
        if self._has_frozen_batch_norm:
            for module in self.modules():
                if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                    module.eval()
        return self

    def trained(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Name the weights that learn."""
        return ((name, weight) for name, weight in self.named_parameters() if weight.requires_grad)

    def living_state(self) -> dict[str, Tensor]:
        """Return MuQ's weights and statistics under its own names, without those that no embedding depends on."""
        state = self.muq.state_dict()
        return {name: tensor for name, tensor in state.items() if _is_living(name)}

    def options(self) -> dict[str, Any]:  # values of JSON
        """Return the arguments of `muq.MuQConfig` that make this MuQ, without those of its own training."""
        return {name: value for name, value in vars(self.muq.config).items() if name not in _TRAINING_OPTIONS}

    def _freeze(self, trained_layers: int) -> None:
        for name, weight in self.muq.named_parameters():
            weight.requires_grad = not name.startswith(_DEAD)
        if trained_layers:
            for weight in self.muq.parameters():
                weight.requires_grad = False
            for layer in self.muq.model.conformer.layers[-trained_layers:]:
                for weight in layer.parameters():
                    weight.requires_grad = True


def _under_patches(hidden: Tensor) -> Tensor:
    """Average the frames under each patch of the teachers' grid: (batch, frames, dim) to (batch, patches, dim)."""
    length, hop = (round(seconds * _HIDDEN_PER_SECOND) for seconds in (PATCH_SECONDS, GRID_SECONDS))
    return nn.functional.avg_pool1d(hidden.transpose(1, 2), length, hop).transpose(1, 2)


def _is_living(name: str) -> bool:
    """Say whether a tensor moves an embedding and cannot be computed from the options."""
    return not name.startswith(_DEAD) and not name.endswith(("num_batches_tracked", "inv_freq"))


def _projection(dim: int, projection_dim: int) -> nn.Module:
    return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, projection_dim))


def muq_options(config: NetworkConfig) -> dict[str, Any]:  # values of JSON
    """Return the arguments of `muq.MuQConfig` for a network of these sizes."""
    return {
        "conv_dim": config.conv_dim,
        "encoder_depth": config.encoder_depth,
        "encoder_dim": config.encoder_dim,
        "stat": dict(_STATISTICS),
        "w2v2_config": {
            "attention_dropout": 0.0,
            "activation_dropout": 0.0,
            "conformer_conv_dropout": 0.0,
            "conv_depthwise_kernel_size": 31,
            "feat_extract_activation": "gelu",
            "hidden_act": "swish",
            "hidden_dropout": 0.0,
            "hidden_size": config.encoder_dim,
            "intermediate_size": config.intermediate_size,
            "layer_norm_eps": 1e-5,
            "layerdrop": 0.0,
            "max_source_positions": 5000,
            "num_attention_heads": config.attention_heads,
            "num_conv_pos_embedding_groups": 16,
            "num_conv_pos_embeddings": 128,
            "num_hidden_layers": config.encoder_depth,
            "position_embeddings_type": "rotary",
            "rotary_embedding_base": 10000,
        },
    }


def _load_base(folder: Path) -> tuple["muq.MuQ", dict[str, Tensor]]:
    """Load a MuQ, and the heads of it where the folder is an artifact of ours.

    Raises:
        ConfigInvalid: The folder holds neither.
    """
    if (folder / "config.json").is_file():
        return _without_chance(muq.MuQ.from_pretrained(str(folder))), {}
    try:
        artifact = open_artifact(folder)
        model = muq.MuQ(muq.MuQConfig(**artifact.manifest.config))
    except (ArtifactInvalid, TypeError) as error:
        raise ConfigInvalid(
            f"network.base is {folder}, which is neither a MuQ nor an artifact of one: {error}"
        ) from error
    tensors = {name: tensor.float() for name, tensor in load_file(artifact.weights_path).items()}
    missing = model.load_state_dict(tensors, strict=False).missing_keys
    if unknown := [name for name in missing if _is_living(name)]:
        raise ConfigInvalid(f"network.base is {folder}, which lacks {', '.join(unknown)}")
    return model, tensors


def _without_chance(model: "muq.MuQ") -> "muq.MuQ":
    """Drop nothing: cached gradients need the same outputs twice, and a resumed run the same ones again."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if hasattr(module, "dropout_p"):
            module.dropout_p = 0.0
        config = getattr(module, "config", None)
        if config is not None and hasattr(config, "layerdrop"):
            config.layerdrop = 0.0
    return model


@cache
def _mel() -> MelSTFT:
    return MelSTFT(is_db=True)


def mel_frames(sound: NDArray[np.float32]) -> NDArray[np.float16]:
    """Compute MuQ's own log-mel spectrogram.

    Args:
        sound: Mono at 24 kHz, shape (samples,), a whole number of seconds.

    Returns:
        Decibels, shape (100 × seconds, 128), float16.
    """
    with torch.inference_mode():
        decibels = _mel()(torch.from_numpy(np.ascontiguousarray(sound))[None])[0, :, :-1]
    frames: NDArray[np.float16] = decibels.T.contiguous().numpy().astype(np.float16)
    return frames
