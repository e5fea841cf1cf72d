"""Reads what a museed-mini artifact holds, its options and its tensors, and refuses what does not fit; runs nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from services.embedder.artifact import Manifest
from services.embedder.errors import ArtifactInvalid
from services.embedder.model import Float32Array

SAMPLE_RATE_HZ = 24_000
ROTARY = "rotary"

# What the graph is built for; MuQ's own defaults.
_FIXED = {"features": ["melspec_2048"], "hop_length": 240, "is_flash": False, "label_rate": 25, "n_mels": 128}
_ACTIVATIONS = ("swish", "silu")


@dataclass(frozen=True, slots=True)
class MiniConfig:
    """The sizes of a network.

    Attributes:
        conv_dim: Channels of the convolutional stem.
        dim: Width of the conformer.
        depth: Its layers.
        heads: Attention heads of a layer; they divide `dim` evenly.
        intermediate: Width of the feed-forward parts.
        kernel: Frames of the depthwise convolution, odd.
        rotary_base: Base of the wavelengths of the rotary positions.
        epsilon: Of the last layer norm; all others have 1e-5.
        mel_mean: What is subtracted from log-mel frames, in dB.
        mel_deviation: What they are divided by, positive.
        vector_dim: Length of a vector.
        tags: How many tags are scored.
    """

    conv_dim: int
    dim: int
    depth: int
    heads: int
    intermediate: int
    kernel: int
    rotary_base: float
    epsilon: float
    mel_mean: float
    mel_deviation: float
    vector_dim: int
    tags: int

    @classmethod
    def of(cls, manifest: Manifest) -> "MiniConfig":
        """Read a manifest.

        Raises:
            ArtifactInvalid: An option is missing, of the wrong kind, or not one that this code runs.
        """
        options = manifest.config
        for key, wanted in _FIXED.items():
            _require(options.get(key, wanted) == wanted, f"config.{key}", options.get(key), wanted)
        _require(manifest.sample_rate_hz == SAMPLE_RATE_HZ, "sample_rate_hz", manifest.sample_rate_hz, SAMPLE_RATE_HZ)
        try:
            layers, statistics = options["w2v2_config"], options["stat"]
            _require(layers["position_embeddings_type"] == ROTARY, "config.w2v2_config.position_embeddings_type",
                     layers["position_embeddings_type"], ROTARY)  # fmt: skip
            _require(layers["hidden_act"] in _ACTIVATIONS, "config.w2v2_config.hidden_act",
                     layers["hidden_act"], _ACTIVATIONS)  # fmt: skip
            config = cls(
                conv_dim=int(options["conv_dim"]),
                dim=int(options["encoder_dim"]),
                depth=int(options["encoder_depth"]),
                heads=int(layers["num_attention_heads"]),
                intermediate=int(layers["intermediate_size"]),
                kernel=int(layers["conv_depthwise_kernel_size"]),
                rotary_base=float(layers["rotary_embedding_base"]),
                epsilon=float(layers["layer_norm_eps"]),
                mel_mean=float(statistics["melspec_2048_mean"]),
                mel_deviation=float(statistics["melspec_2048_std"]),
                vector_dim=manifest.dim,
                tags=len(manifest.tags),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactInvalid(f"the config of {manifest.name} is not one: {error!r}", field="config") from error
        config._check()
        return config

    def _check(self) -> None:
        for name in ("conv_dim", "dim", "depth", "heads", "intermediate", "kernel", "mel_deviation", "epsilon"):
            _require(getattr(self, name) > 0, f"config.{name}", getattr(self, name), "above 0")
        _require(self.dim % (2 * self.heads) == 0, "config.num_attention_heads", self.heads, f"divides {self.dim} / 2")
        _require(self.kernel % 2 == 1, "config.conv_depthwise_kernel_size", self.kernel, "odd")


class MiniWeights:
    """The tensors of an artifact, widened to float32 as they are taken.

    Args:
        path: A safetensors file.

    Raises:
        ArtifactInvalid: The file is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._tensors = load_file(path)
        except (SafetensorError, KeyError, ValueError) as error:  # KeyError: a dtype that numpy does not have
            raise ArtifactInvalid(f"{path} holds no tensors of numpy: {error!r}", field="weights") from error

    def take(self, name: str, *shape: int) -> Float32Array:
        """Return a tensor of this name and shape.

        Raises:
            ArtifactInvalid: It is missing, has another shape, is neither float16 nor float32, or is not finite.
        """
        tensor = self._tensors.get(name)
        if tensor is None:
            raise self._invalid(name, "is missing")
        if tensor.shape != shape:
            raise self._invalid(name, f"has the shape {tensor.shape}, the config asks for {shape}")
        if tensor.dtype not in (np.float16, np.float32):
            raise self._invalid(name, f"is of {tensor.dtype}, float16 and float32 are allowed")
        if not np.isfinite(tensor).all():
            raise self._invalid(name, "has values that are not finite")
        return tensor.astype(np.float32)

    def take_positive(self, name: str, *shape: int) -> Float32Array:
        """Return a tensor without negative values, as variances are; raises what `take` raises."""
        tensor = self.take(name, *shape)
        if tensor.min() < 0:
            raise self._invalid(name, f"has a value of {tensor.min():g}, it must not be negative")
        return tensor

    def _invalid(self, name: str, what: str) -> ArtifactInvalid:
        return ArtifactInvalid(f"{self._path}: the tensor {name} {what}", field="weights", value=name)


def _require(is_so: bool, field: str, value: Any, wanted: Any) -> None:  # JSON values
    if not is_so:
        raise ArtifactInvalid(
            f"{field} is {value!r}, this code runs {wanted!r}", field=field, value=value, limit=wanted
        )
