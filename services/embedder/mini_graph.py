"""Builds the ONNX graph of museed-mini, or of a MuQ, from its trained weights; runs nothing.

The network is MuQ's (Zhu et al., "MuQ: Self-supervised music representation learning with mel residual vector
quantization", 2025, https://arxiv.org/abs/2501.01108) at a small size: two residual convolutions, then conformer
blocks (Gulati et al. 2020, https://arxiv.org/abs/2005.08100) as the transformers library has them under
wav2vec2_conformer, in evaluation. On top of the mean over time stand two linear heads: one makes the vector, the
other scores tags. A MuQ has none: there the mean is the vector.

All products with weights may be computed in 8 bits but two kinds: the mel filters, since powers span 14 orders of
magnitude and one scale for all of them leaves nothing of the quiet ones (alone they take the cosine to fp32 to −0.4),
and the heads, whose share of the time is nil.
"""

import numpy as np

from services.embedder.mel import htk_filters
from services.embedder.mini_weights import EPSILON, SAMPLE_RATE_HZ, MiniConfig, MiniWeights
from services.embedder.model import Float32Array
from services.embedder.onnx_graph import Graph

N_FFT = 2048
HOP = 240

N_MELS = 128
STEM_BANDS = N_MELS // 4  # each of two convolutions halves them, and the frames
SMALLEST_POWER = 1e-10
_MEL_PRODUCTS = 8

BINS = N_FFT // 2 + 1


def build_graph(config: MiniConfig, weights: MiniWeights) -> bytes:
    """Build the network.

    Returns:
        A serialised ONNX model. Input `power`: power spectra of 24 kHz sound, shape (batch, frames, 1025), float32,
        100 frames a second. Outputs `embedding`: (batch, vector_dim), of any norm, and, where there are
        tags, `tags`: (batch, tags) in [0, 1].

    Raises:
        ArtifactInvalid: A tensor is missing or is not what the config asks for.
    """
    return _Builder(config, weights).build()


class _Builder:
    """Adds the parts in their order. Between blocks, rows are frames of all windows: (batch · frames, dim)."""

    def __init__(self, config: MiniConfig, weights: MiniWeights) -> None:
        self._config = config
        self._weights = weights
        self._graph = Graph()

    def build(self) -> bytes:
        """Add everything and serialise it."""
        config, graph = self._config, self._graph
        features = self._residual(self._normalised_mel(), "model.conv.conv.0", 1)
        features = self._residual(features, "model.conv.conv.1", config.conv_dim)  # (batch, conv_dim, 32, frames)
        shape = graph.add("Shape", features)
        batch = graph.add("Gather", shape, graph.integers(0), axis=0)
        frames = graph.add("Gather", shape, graph.integers(3), axis=0)
        self._batch_and_frames = graph.add("Concat", batch, frames, axis=0)
        stem_width = config.conv_dim * STEM_BANDS
        rows = self._to_rows(graph.add("Transpose", features, perm=[0, 3, 1, 2]), stem_width)
        x = self._linear(rows, "model.conv.linear", stem_width, config.dim)
        cosine, sine = self._rotation(frames)
        for number in range(config.depth):
            x = self._layer(x, f"model.conformer.layers.{number}", cosine, sine)
        hidden = self._layer_norm(x, "model.conformer.layer_norm", config.epsilon)
        pooled = graph.add("ReduceMean", self._to_windows(hidden, config.dim), axes=[1], keepdims=0)  # (batch, dim)
        vector = self._head(pooled, "heads.embedding", config.vector_dim) if config.has_heads else pooled
        graph.name_output(vector, "embedding")
        outputs: dict[str, list[str | int]] = {"embedding": ["batch", config.vector_dim]}
        if config.tags:
            graph.name_output(graph.add("Sigmoid", self._head(pooled, "heads.tags", config.tags)), "tags")
            outputs["tags"] = ["batch", config.tags]
        return graph.serialise("museed_mini", {"power": ["batch", "frames", BINS]}, outputs)

    def _normalised_mel(self) -> str:
        """Add log-mel frames in dB, shifted and scaled: (batch, 1, 128, frames)."""
        graph, config = self._graph, self._config
        logarithm = graph.add("Log", graph.add("Max", self._mel(), _scalar(graph, SMALLEST_POWER)))
        scale = 10 / np.log(10) / config.mel_deviation
        shift = -config.mel_mean / config.mel_deviation
        normal = graph.affine(logarithm, np.array(scale, np.float32), np.array(shift, np.float32))
        return graph.add("Unsqueeze", graph.add("Transpose", normal, perm=[0, 2, 1]), graph.integers(1))

    def _mel(self) -> str:
        """Add mel bands, (batch, frames, 128): some at a time, for all but an eighth of one product would be zeros."""
        graph = self._graph
        filters = htk_filters(SAMPLE_RATE_HZ, N_FFT, N_MELS)
        products = []
        for some in np.split(filters, _MEL_PRODUCTS, axis=1):
            used = np.flatnonzero(some.any(axis=1))
            first, end = int(used[0]), int(used[-1]) + 1
            bins = graph.add("Slice", "power", graph.integers(first), graph.integers(end), graph.integers(2))
            products.append(graph.add("MatMul", bins, graph.constant(some[first:end])))
        return graph.add("Concat", *products, axis=2)

    def _residual(self, x: str, name: str, channels: int) -> str:
        """Add two convolutions and a third beside them, which halve bands and frames."""
        graph = self._graph
        first = graph.add("Relu", self._convolution(x, f"{name}.conv1", f"{name}.bn1", channels, stride=2))
        second = self._convolution(first, f"{name}.conv2", f"{name}.bn2", self._config.conv_dim, stride=1)
        beside = self._convolution(x, f"{name}.conv3", f"{name}.bn3", channels, stride=2)
        return graph.add("Relu", graph.add("Add", beside, second))

    def _convolution(self, x: str, name: str, norm: str, channels: int, stride: int) -> str:
        """Add a 3 × 3 convolution into which its batch normalisation is folded."""
        width = self._config.conv_dim
        kernel = self._weights.take(f"{name}.weight", width, channels, 3, 3)
        bias = self._weights.take(f"{name}.bias", width)
        scale, shift = self._weights.take_batch_norm(norm, width)
        folded = self._graph.constant(kernel * scale[:, None, None, None])
        return self._graph.add(
            "Conv", x, folded, self._graph.constant(bias * scale + shift), pads=[1] * 4, strides=[stride] * 2
        )

    def _rotation(self, frames: str) -> tuple[str, str]:
        """Add cosines, (frames, 1, 1, half), and signed sines, (frames, 1, 2, half), of the rotary positions."""
        graph, config = self._graph, self._config
        width = config.dim // config.heads
        frequencies = (1 / config.rotary_base ** (np.arange(0, width, 2) / width)).astype(np.float32)
        end = graph.add("Squeeze", frames)
        zero, one = (graph.constant(np.array(value, np.int64)) for value in (0, 1))
        positions = graph.add("Cast", graph.add("Range", zero, end, one), to=1)
        angles = graph.add(
            "Mul", graph.add("Unsqueeze", positions, graph.integers(1, 2, 3)), graph.constant(frequencies)
        )
        signs = graph.constant(np.array([[-1], [1]], np.float32))
        return graph.add("Cos", angles), graph.add("Mul", graph.add("Sin", angles), signs)

    def _layer(self, x: str, name: str, cosine: str, sine: str) -> str:
        """Add a conformer block."""
        graph = self._graph
        x = self._feed_forward(x, f"{name}.ffn1")
        normed = self._layer_norm(x, f"{name}.self_attn_layer_norm")
        x = graph.add("Add", x, self._attention(normed, f"{name}.self_attn", cosine, sine))
        x = graph.add("Add", x, self._convolutions(x, f"{name}.conv_module"))
        return self._layer_norm(self._feed_forward(x, f"{name}.ffn2"), f"{name}.final_layer_norm")

    def _feed_forward(self, x: str, name: str) -> str:
        """Add x + feed_forward(norm(x)) / 2; the half is in the weights."""
        dim, width = self._config.dim, self._config.intermediate
        inner = self._linear(self._layer_norm(x, f"{name}_layer_norm"), f"{name}.intermediate_dense", dim, width)
        outer = self._linear(self._swish(inner), f"{name}.output_dense", width, dim, scale=0.5)
        return self._graph.add("Add", x, outer)

    def _attention(self, x: str, name: str, cosine: str, sine: str) -> str:
        """Add self-attention.

        Queries and keys are projections of rotated frames, as wav2vec2_conformer has it: it turns the frames, head by
        head, before the projection and not what comes out of it. Values see the frames as they are.
        """
        graph, config = self._graph, self._config
        dim, width = config.dim, config.dim // config.heads
        halves = self._to_windows(x, config.heads, 2, width // 2)
        swapped = graph.add("Gather", halves, graph.integers(1, 0), axis=3)
        turned = graph.add("Add", graph.add("Mul", halves, cosine), graph.add("Mul", swapped, sine))
        turned = self._to_rows(turned, dim)
        query = self._linear(turned, f"{name}.linear_q", dim, dim, scale=width**-0.5)
        key = self._linear(turned, f"{name}.linear_k", dim, dim)
        value = self._linear(x, f"{name}.linear_v", dim, dim)
        # (batch, heads, frames, width), and keys the other way round
        query, key, value = (
            graph.add("Transpose", self._to_windows(part, config.heads, width), perm=axes)
            for part, axes in ((query, [0, 2, 1, 3]), (key, [0, 2, 3, 1]), (value, [0, 2, 1, 3]))
        )
        shares = graph.add("Softmax", graph.add("MatMul", query, key), axis=-1)
        mixed = graph.add("Transpose", graph.add("MatMul", shares, value), perm=[0, 2, 1, 3])
        return self._linear(self._to_rows(mixed, dim), f"{name}.linear_out", dim, dim)

    def _convolutions(self, x: str, name: str) -> str:
        """Add the convolution module: gated pointwise, depthwise over time with its batch normalisation, pointwise."""
        graph, dim, kernel = self._graph, self._config.dim, self._config.kernel
        normed = self._layer_norm(x, f"{name}.layer_norm")
        widened = self._pointwise(normed, f"{name}.pointwise_conv1", dim, 2 * dim)
        linear, gate = graph.add_many("Split", widened, outputs=2, axis=1)
        gated = graph.add("Mul", linear, graph.add("Sigmoid", gate))
        channels = graph.add("Transpose", self._to_windows(gated, 1, dim), perm=[0, 3, 2, 1])  # (batch, dim, 1, frames)
        scale, shift = self._weights.take_batch_norm(f"{name}.batch_norm", dim)
        filters = self._weights.take(f"{name}.depthwise_conv.weight", dim, 1, kernel) * scale[:, None, None]
        pads = [0, kernel // 2] * 2
        # In two dimensions, of which one is 1: ONNX Runtime has a quick depthwise convolution for images only.
        depthwise = graph.add(
            "Conv", channels, graph.constant(filters[:, :, None]), graph.constant(shift), group=dim, pads=pads
        )
        rows = self._to_rows(graph.add("Transpose", self._swish(depthwise), perm=[0, 3, 2, 1]), dim)
        return self._pointwise(rows, f"{name}.pointwise_conv2", dim, dim)

    def _linear(self, x: str, name: str, inputs: int, outputs: int, scale: float = 1.0) -> str:
        product = self._product(x, self._weights.take(f"{name}.weight", outputs, inputs) * np.float32(scale))
        bias = self._weights.take(f"{name}.bias", outputs) * np.float32(scale)
        return self._graph.add("Add", product, self._graph.constant(bias))

    def _pointwise(self, x: str, name: str, inputs: int, outputs: int) -> str:
        return self._product(x, self._weights.take(f"{name}.weight", outputs, inputs, 1)[:, :, 0])

    def _product(self, x: str, weight: Float32Array) -> str:
        """Add x · weightᵀ. MatMul and not Gemm: the quantiser takes no Gemm, and the runtime joins product and sum."""
        return self._graph.allow_eight_bits(self._graph.add("MatMul", x, self._graph.constant(weight.T)))

    def _head(self, x: str, name: str, outputs: int) -> str:
        weight = self._weights.take(f"{name}.weight", outputs, self._config.dim)
        bias = self._weights.take(f"{name}.bias", outputs)
        return self._graph.add("Gemm", x, self._graph.constant(weight), self._graph.constant(bias), transB=1)

    def _layer_norm(self, x: str, name: str, epsilon: float = EPSILON) -> str:
        scale = self._graph.constant(self._weights.take(f"{name}.weight", self._config.dim))
        shift = self._graph.constant(self._weights.take(f"{name}.bias", self._config.dim))
        return self._graph.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=epsilon)

    def _swish(self, x: str) -> str:
        return self._graph.add("Mul", x, self._graph.add("Sigmoid", x))

    def _to_rows(self, x: str, width: int) -> str:
        return self._graph.add("Reshape", x, self._graph.integers(-1, width))

    def _to_windows(self, x: str, *widths: int) -> str:
        """Add a view of rows as (batch, frames, *widths)."""
        shape = self._graph.add("Concat", self._batch_and_frames, self._graph.integers(*widths), axis=0)
        return self._graph.add("Reshape", x, shape)


def _scalar(graph: Graph, value: float) -> str:
    return graph.constant(np.array(value, np.float32))
