"""Reads what a folder of MuQ's architecture holds, its options and its tensors; runs nothing.

museed-mini is a small MuQ with two heads; a MuQ as published, or fine-tuned, has none. What does not fit is refused.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from services.embedder.artifact import AGGREGATOR_PREFIX, Manifest
from services.embedder.errors import ArtifactInvalid
from services.embedder.manifest_checks import check_number
from services.embedder.model import Float32Array

# With heads; any other architecture that is read here is a MuQ without them.
ARCHITECTURE = "museed-mini/1"
SAMPLE_RATE_HZ = 24_000
ROTARY = "rotary"
EPSILON = 1e-5  # of every normalisation but the last

# What the graph is built for; MuQ's own defaults.
_FIXED = {"features": ["melspec_2048"], "hop_length": 240, "is_flash": False, "label_rate": 25, "n_mels": 128}
_ACTIVATIONS = ("swish", "silu")
_LAYERS = "w2v2_config"
_HEADS = f"{_LAYERS}.num_attention_heads"
_KERNEL = f"{_LAYERS}.conv_depthwise_kernel_size"
# Part of MuQ's state by accident: it follows from the config.
_DERIVED = frozenset({"model.conformer.embed_positions.inv_freq"})
# What only MuQ's own training reads; a MuQ's file holds it, an artifact of museed-mini does not.
_OF_TRAINING = ("model.cls_token", "model.linear.", "model.quantizer_", "model.rvq.", "model.conformer.pos_conv_embed.")
_COUNTERS = "num_batches_tracked"


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
        has_heads: Whether a linear head makes the vector; without one it is the mean of the last layer itself.
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
    has_heads: bool

    @classmethod
    def of(cls, manifest: Manifest) -> "MiniConfig":
        """Read a manifest.

        Raises:
            ArtifactInvalid: An option is missing, of the wrong kind, or not one that this code runs.
        """
        for key, wanted in _FIXED.items():
            _require(manifest.config.get(key, wanted) == wanted, f"config.{key}", manifest.config.get(key), wanted)
        _require(manifest.sample_rate_hz == SAMPLE_RATE_HZ, "sample_rate_hz", manifest.sample_rate_hz, SAMPLE_RATE_HZ)
        options = _Options(manifest)
        position, activation = f"{_LAYERS}.position_embeddings_type", f"{_LAYERS}.hidden_act"
        _require(options.take(position) == ROTARY, f"config.{position}", options.take(position), ROTARY)
        _require(
            options.take(activation) in _ACTIVATIONS, f"config.{activation}", options.take(activation), _ACTIVATIONS
        )
        config = cls(
            conv_dim=options.whole("conv_dim", 4_096),
            dim=options.whole("encoder_dim", 16_384),
            depth=options.whole("encoder_depth", 256),
            heads=options.whole(_HEADS, 1_024),
            intermediate=options.whole(f"{_LAYERS}.intermediate_size", 65_536),
            kernel=options.whole(_KERNEL, 1_023),
            # Below 1 the positions would turn ever faster; at 0 they are no numbers.
            rotary_base=options.number(f"{_LAYERS}.rotary_embedding_base", 1, 1e9),
            epsilon=options.number(f"{_LAYERS}.layer_norm_eps", 1e-12, 1),
            mel_mean=options.number("stat.melspec_2048_mean", -1_000, 1_000),
            mel_deviation=options.number("stat.melspec_2048_std", 1e-3, 1_000),
            vector_dim=manifest.dim,
            tags=len(manifest.tags),
            has_heads=manifest.architecture == ARCHITECTURE,
        )
        is_even = config.dim % (2 * config.heads) == 0
        _require(is_even, f"config.{_HEADS}", config.heads, f"a divisor of half of {config.dim}")
        _require(config.kernel % 2 == 1, f"config.{_KERNEL}", config.kernel, "an odd number")
        if not config.has_heads:
            _require(config.vector_dim == config.dim, "dim", config.vector_dim, config.dim)
            _require(config.tags == 0, "tags", config.tags, 0)
        return config


class _Options:
    """Takes values out of a manifest's config by their path, for example `stat.melspec_2048_std`."""

    def __init__(self, manifest: Manifest) -> None:
        self._config = manifest.config

    def take(self, path: str) -> Any:  # a JSON value
        """Return what is at a path.

        Raises:
            ArtifactInvalid: There is nothing.
        """
        found: Any = self._config
        for key in path.split("."):
            if not isinstance(found, dict) or key not in found:
                raise ArtifactInvalid(f"config.{path} is missing", field=f"config.{path}")
            found = found[key]
        return found

    def whole(self, path: str, high: int) -> int:
        """Return a whole number from 1 to `high`; raises ArtifactInvalid for anything else."""
        value: int = self.take(path)
        check_number(f"config.{path}", value, 1, high, whole=True)
        return value

    def number(self, path: str, low: float, high: float) -> float:
        """Return a number from `low` to `high`; raises ArtifactInvalid for anything else."""
        value = self.take(path)
        check_number(f"config.{path}", value, low, high)
        return float(value)


class MiniWeights:
    """The tensors of a file, widened to float32 and let go of as they are taken.

    Args:
        path: A safetensors file.

    Raises:
        ArtifactInvalid: The file is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.parameters = 0
        try:
            self._tensors = load_file(path)
        except (SafetensorError, KeyError, ValueError) as error:  # KeyError: a dtype that numpy does not have
            raise ArtifactInvalid(f"{path} holds no tensors of numpy: {error!r}", field="weights") from error

    def take(self, name: str, *shape: int) -> Float32Array:
        """Return a tensor of this name and shape, once.

        Raises:
            ArtifactInvalid: It is missing, has another shape, is neither float16 nor float32, or is not finite.
        """
        tensor = self._tensors.pop(name, None)
        if tensor is None:
            raise self._invalid(name, "is missing")
        if tensor.shape != shape:
            raise self._invalid(name, f"has the shape {tensor.shape}, the config asks for {shape}")
        if tensor.dtype not in (np.float16, np.float32):
            raise self._invalid(name, f"is of {tensor.dtype}, float16 and float32 are allowed")
        if not np.isfinite(tensor).all():
            raise self._invalid(name, "has values that are not finite")
        self.parameters += tensor.size
        return tensor.astype(np.float32, copy=False)

    def take_positive(self, name: str, *shape: int) -> Float32Array:
        """Return a tensor without negative values, as variances are; raises what `take` raises."""
        tensor = self.take(name, *shape)
        if tensor.min() < 0:
            raise self._invalid(name, f"has a value of {tensor.min():g}, it must not be negative")
        return tensor

    def take_batch_norm(self, name: str, width: int) -> tuple[Float32Array, Float32Array]:
        """Return scale and shift of a batch normalisation in evaluation, both of shape (width,)."""
        variance = self.take_positive(f"{name}.running_var", width)
        scale = self.take(f"{name}.weight", width) / np.sqrt(variance + EPSILON)
        return scale, self.take(f"{name}.bias", width) - self.take(f"{name}.running_mean", width) * scale

    def check_all_taken(self, *, has_training: bool = False) -> None:
        """Refuse tensors that nobody took: the config then asks for another network than the one that was trained.

        Those of the aggregator are checked where it is loaded.

        Args:
            has_training: Whether those that only MuQ's own training reads may be there.

        Raises:
            ArtifactInvalid: There are such tensors, and they hold something.
        """
        rest = sorted(self._tensors.keys() - _DERIVED)
        if has_training:
            rest = [name for name in rest if not name.startswith(_OF_TRAINING) and not name.endswith(_COUNTERS)]
        if unused := [name for name in rest if self._tensors[name].size and not name.startswith(AGGREGATOR_PREFIX)]:
            raise self._invalid(unused[0], f"is one of {len(unused)} that the config has no use for")

    def _invalid(self, name: str, what: str) -> ArtifactInvalid:
        return ArtifactInvalid(f"{self._path}: the tensor {name} {what}", field="weights", value=name)


def _require(is_so: bool, field: str, value: Any, wanted: Any) -> None:  # JSON values
    if not is_so:
        raise ArtifactInvalid(
            f"{field} is {value!r}, this code runs {wanted!r}", field=field, value=value, limit=wanted
        )
