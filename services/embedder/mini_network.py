"""MuQ's architecture written out in torch for serving: museed-mini, and MuQ itself; `mini_graph` builds it for ONNX.

What `muq` and `transformers` do in training happens here without their dropout, masks and caches, so that one shape is
one fixed sequence of kernels, which a CUDA graph can record. Sound to log-mel, the sums along the residual stream and
all normalisations are fp32 in every precision; products with weights, convolutions and attention are in the precision
asked for, and their weights are stored in it. Imports torch, so it is imported where a network is made and not before.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from services.embedder.mel import htk_filters
from services.embedder.mini_graph import HOP, N_FFT, N_MELS, SMALLEST_POWER, STEM_BANDS
from services.embedder.mini_weights import EPSILON, SAMPLE_RATE_HZ, MiniConfig, MiniWeights
from services.embedder.model import Float32Array


class Network(nn.Module):
    """The whole network, sound to vector and tags.

    Args:
        config: Its sizes.
        weights: Its tensors; all that the network needs are taken.
        dtype: What products are computed in.

    Raises:
        ArtifactInvalid: A tensor is missing or is not what the config asks for.
    """

    def __init__(self, config: MiniConfig, weights: MiniWeights, dtype: torch.dtype) -> None:
        super().__init__()
        self.config = config
        self.dtype = dtype
        self.register_buffer("window", torch.hann_window(N_FFT))
        self.register_buffer("filters", torch.from_numpy(htk_filters(SAMPLE_RATE_HZ, N_FFT, N_MELS)))
        width = config.dim // config.heads
        frequencies = 1 / config.rotary_base ** (np.arange(0, width, 2) / width)
        self.register_buffer("frequencies", torch.from_numpy(frequencies.astype(np.float32)))
        self.stem = nn.ModuleList(
            (
                _Residual(weights, "model.conv.conv.0", 1, config.conv_dim, dtype),
                _Residual(weights, "model.conv.conv.1", config.conv_dim, config.conv_dim, dtype),
            )
        )
        self.stem_linear = _linear(weights, "model.conv.linear", config.conv_dim * STEM_BANDS, config.dim, dtype)
        layers = (f"model.conformer.layers.{number}" for number in range(config.depth))
        self.layers = nn.ModuleList(_Layer(config, weights, name, dtype) for name in layers)
        self.norm = _norm(weights, "model.conformer.layer_norm", config.dim, config.epsilon)
        self.embedding: nn.Module = nn.Identity()
        if config.has_heads:
            self.embedding = _linear(weights, "heads.embedding", config.dim, config.vector_dim, torch.float32)
        self.tags: nn.Module | None = None
        if config.tags:
            self.tags = _linear(weights, "heads.tags", config.dim, config.tags, torch.float32)

    def forward(self, sound: Tensor) -> tuple[Tensor, Tensor]:
        """Embed windows of equal length.

        Args:
            sound: Mono at 24 kHz, shape (batch, samples), float32, more than 1,024 samples.

        Returns:
            Vectors of any norm, shape (batch, vector_dim), and tag scores in [0, 1], (batch, tags); both float32.
        """
        features = self.log_mel(sound)[:, None].to(self.dtype)  # (batch, 1, 128, frames)
        for block in self.stem:
            features = block(features)
        rows = features.permute(0, 3, 1, 2).flatten(2)  # (batch, frames / 4, conv_dim · 32)
        x = self.stem_linear(rows).float()
        rotation = self._rotation(x.shape[1])
        for layer in self.layers:
            x = layer(x, *rotation)
        pooled = self.norm(x).mean(dim=1)
        tags = pooled[:, :0] if self.tags is None else torch.sigmoid(self.tags(pooled))
        return self.embedding(pooled), tags

    def log_mel(self, sound: Tensor) -> Tensor:
        """Compute log-mel frames in dB, shifted and scaled, shape (batch, 128, samples // 240), float32."""
        assert isinstance(self.window, Tensor)
        spectra = torch.stft(sound, N_FFT, HOP, window=self.window, return_complex=True)[..., : sound.shape[1] // HOP]
        power = spectra.real.square() + spectra.imag.square()  # (batch, 1025, frames)
        mel = torch.einsum("bnf,nm->bmf", power, self.filters)
        decibels = 10 / math.log(10) * mel.clamp(min=SMALLEST_POWER).log()
        return (decibels - self.config.mel_mean) / self.config.mel_deviation

    def _rotation(self, frames: int) -> tuple[Tensor, Tensor]:
        """Return cosines, shape (frames, 1, half), and sines of the rotary positions."""
        assert isinstance(self.frequencies, Tensor)
        positions = torch.arange(frames, device=self.frequencies.device, dtype=torch.float32)
        angles = torch.outer(positions, self.frequencies)[:, None]
        return angles.cos(), angles.sin()


class _Residual(nn.Module):
    """Two convolutions and a third beside them, which halve bands and frames; batch normalisation is in the weights."""

    def __init__(self, weights: MiniWeights, name: str, channels: int, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.first = _convolution(weights, f"{name}.conv1", f"{name}.bn1", channels, width, 2, dtype)
        self.second = _convolution(weights, f"{name}.conv2", f"{name}.bn2", width, width, 1, dtype)
        self.beside = _convolution(weights, f"{name}.conv3", f"{name}.bn3", channels, width, 2, dtype)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.beside(x) + self.second(torch.relu(self.first(x))))


class _Layer(nn.Module):
    """A conformer block. The residual stream, shape (batch, frames, dim), is float32."""

    def __init__(self, config: MiniConfig, weights: MiniWeights, name: str, dtype: torch.dtype) -> None:
        super().__init__()
        dim = config.dim
        self.first = _FeedForward(config, weights, f"{name}.ffn1", dtype)
        self.attention_norm = _norm(weights, f"{name}.self_attn_layer_norm", dim)
        self.attention = _Attention(config, weights, f"{name}.self_attn", dtype)
        self.convolutions = _Convolutions(config, weights, f"{name}.conv_module", dtype)
        self.second = _FeedForward(config, weights, f"{name}.ffn2", dtype)
        self.final_norm = _norm(weights, f"{name}.final_layer_norm", dim)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        x = x + 0.5 * self.first(x)
        x = x + self.attention(self.attention_norm(x), cosine, sine)
        x = x + self.convolutions(x)
        normal: Tensor = self.final_norm(x + 0.5 * self.second(x))
        return normal


class _FeedForward(nn.Module):
    def __init__(self, config: MiniConfig, weights: MiniWeights, name: str, dtype: torch.dtype) -> None:
        super().__init__()
        dim, width = config.dim, config.intermediate
        self.norm = _norm(weights, f"{name}_layer_norm", dim)
        self.inner = _linear(weights, f"{name}.intermediate_dense", dim, width, dtype)
        self.outer = _linear(weights, f"{name}.output_dense", width, dim, dtype)

    def forward(self, x: Tensor) -> Tensor:
        outer: Tensor = self.outer(functional.silu(self.inner(self.norm(x).to(self.inner.weight.dtype))))
        return outer


class _Attention(nn.Module):
    """Self-attention; queries and keys are projections of rotated frames, see `mini_graph`."""

    def __init__(self, config: MiniConfig, weights: MiniWeights, name: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.heads = config.heads
        square = config.dim, config.dim
        self.query, self.key, self.value, self.out = (
            _linear(weights, f"{name}.linear_{part}", *square, dtype) for part in ("q", "k", "v", "out")
        )

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        dtype = self.out.weight.dtype
        first, second = x.view(*x.shape[:2], self.heads, 2, -1).unbind(3)  # (batch, frames, heads, half)
        turned = torch.stack((first * cosine - second * sine, second * cosine + first * sine), dim=3)
        turned, x = turned.flatten(2).to(dtype), x.to(dtype)
        parts = (self.query(turned), self.key(turned), self.value(x))
        query, key, value = (part.view(*part.shape[:2], self.heads, -1).transpose(1, 2) for part in parts)
        mixed = functional.scaled_dot_product_attention(query, key, value)  # (batch, heads, frames, width)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class _Convolutions(nn.Module):
    """Gated pointwise, depthwise over time with its batch normalisation, pointwise."""

    def __init__(self, config: MiniConfig, weights: MiniWeights, name: str, dtype: torch.dtype) -> None:
        super().__init__()
        dim, kernel = config.dim, config.kernel
        self.norm = _norm(weights, f"{name}.layer_norm", dim)
        self.widen = _pointwise(weights, f"{name}.pointwise_conv1", dim, 2 * dim, dtype)
        scale, shift = weights.take_batch_norm(f"{name}.batch_norm", dim)
        filters = weights.take(f"{name}.depthwise_conv.weight", dim, 1, kernel) * scale[:, None, None]
        self.depthwise = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim, device="meta")
        _fill(self.depthwise, filters, shift, dtype)
        self.narrow = _pointwise(weights, f"{name}.pointwise_conv2", dim, dim, dtype)

    def forward(self, x: Tensor) -> Tensor:
        gated = functional.glu(self.widen(self.norm(x).to(self.widen.weight.dtype)), dim=2)
        filtered = functional.silu(self.depthwise(gated.transpose(1, 2)))
        narrow: Tensor = self.narrow(filtered.transpose(1, 2))
        return narrow


def _fill(module: nn.Module, weight: Float32Array, bias: Float32Array | None, dtype: torch.dtype) -> None:
    """Give a module its weights, rounded to its precision."""
    module.weight = nn.Parameter(torch.tensor(weight, dtype=dtype), requires_grad=False)
    if bias is not None:
        module.bias = nn.Parameter(torch.tensor(bias, dtype=dtype), requires_grad=False)


def _linear(weights: MiniWeights, name: str, inputs: int, outputs: int, dtype: torch.dtype) -> nn.Linear:
    module = nn.Linear(inputs, outputs, device="meta")
    _fill(module, weights.take(f"{name}.weight", outputs, inputs), weights.take(f"{name}.bias", outputs), dtype)
    return module


def _pointwise(weights: MiniWeights, name: str, inputs: int, outputs: int, dtype: torch.dtype) -> nn.Linear:
    module = nn.Linear(inputs, outputs, bias=False, device="meta")
    _fill(module, weights.take(f"{name}.weight", outputs, inputs, 1)[:, :, 0], None, dtype)
    return module


def _norm(weights: MiniWeights, name: str, dim: int, epsilon: float = EPSILON) -> nn.LayerNorm:
    module = nn.LayerNorm(dim, epsilon, device="meta")
    _fill(module, weights.take(f"{name}.weight", dim), weights.take(f"{name}.bias", dim), torch.float32)
    return module


def _convolution(
    weights: MiniWeights, name: str, norm: str, inputs: int, outputs: int, stride: int, dtype: torch.dtype
) -> nn.Conv2d:
    scale, shift = weights.take_batch_norm(norm, outputs)
    kernel = weights.take(f"{name}.weight", outputs, inputs, 3, 3) * scale[:, None, None, None]
    module = nn.Conv2d(inputs, outputs, 3, stride, padding=1, device="meta")
    _fill(module, kernel, weights.take(f"{name}.bias", outputs) * scale + shift, dtype)
    return module
