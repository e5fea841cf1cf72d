"""Builds the ONNX graph of the MusiCNN tagger from its trained weights; runs nothing.

The network is that of Pons & Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging"
(ISMIR late-breaking 2019, https://arxiv.org/abs/1909.06654). Its input is a log-mel patch, its outputs are the
penultimate layer and the tag scores.
"""

from collections.abc import Mapping

import numpy as np

from services.embedder.onnx_graph import Float32Array, Graph

N_MELS = 96
PENULTIMATE = 200
_BATCH_NORM_EPSILON = 1e-3
# Tall filters listen to timbre, long ones to rhythm; each ends in a maximum over its frequencies.
_TIMBRAL = ("conv2d", "conv2d_1")
_TEMPORAL = ("conv2d_2", "conv2d_3", "conv2d_4")
_MIDDLE = ("conv2d_5", "conv2d_6", "conv2d_7")


def build_graph(weights: Mapping[str, Float32Array]) -> bytes:
    """Build the network.

    Args:
        weights: Tensors by their names in the TensorFlow checkpoint.

    Returns:
        A serialised ONNX model. Input `mel`: log-mel patches, shape (batch, frames, 96), float32. Outputs
        `penultimate`: (batch, 200), and `tags`: (batch, n_tags) in [0, 1].

    Raises:
        KeyError: A tensor is missing.
    """
    graph = Graph()
    scale, shift = _batch_norm(weights, "")
    x = graph.add("Unsqueeze", graph.affine("mel", scale, shift), graph.integers(1))  # (batch, 1, t, 96)
    norms = [f"_{number}" for number in range(1, 11)]
    layers = zip((*_TIMBRAL, *_TEMPORAL), norms[:5], strict=True)
    front = graph.add("Concat", *(_front_block(graph, x, weights, *layer) for layer in layers), axis=1)
    features = [front]  # each (batch, channels, t)
    for convolution, norm in zip(_MIDDLE, norms[5:8], strict=True):
        block = _middle_block(graph, features[-1], weights, convolution, norm)
        features.append(block if features == [front] else graph.add("Add", block, features[-1]))
    _back_end(graph, graph.add("Concat", *features, axis=1), weights)
    return graph.serialise(
        "musicnn",
        {"mel": ["batch", "frames", N_MELS]},
        {"penultimate": ["batch", PENULTIMATE], "tags": ["batch", len(weights["dense_1/bias"])]},
    )


def _batch_norm(weights: Mapping[str, Float32Array], suffix: str) -> tuple[Float32Array, Float32Array]:
    """Return scale and shift of a batch normalisation in evaluation."""
    name = f"batch_normalization{suffix}"
    deviation = np.sqrt(weights[f"{name}/moving_variance"].astype(np.float64) + _BATCH_NORM_EPSILON)
    scale = weights[f"{name}/gamma"] / deviation
    shift = weights[f"{name}/beta"] - weights[f"{name}/moving_mean"] * scale
    return scale.astype(np.float32), shift.astype(np.float32)


def _front_block(graph: Graph, x: str, weights: Mapping[str, Float32Array], convolution: str, norm: str) -> str:
    """Add convolution, ReLU, batch normalisation and maximum over frequency: (batch, 1, t, 96) to (batch, c, t).

    The maximum is taken first, on the bare convolution: ReLU is monotone, and a normalisation whose scale is negative
    turns the maximum into a minimum, which is the maximum of the negated filter. That leaves 1/30 to 1/96 of the
    elementwise work.
    """
    kernel = weights[f"{convolution}/kernel"].transpose(3, 2, 0, 1)  # (c, 1, height in frames, width in bands)
    scale, shift = _batch_norm(weights, norm)
    sign = np.where(scale < 0, -1, 1).astype(np.float32)
    height = kernel.shape[2]
    # TensorFlow's "same" padding puts the odd frame behind.
    pads = [(height - 1) // 2, 0, height // 2, 0]
    convolved = graph.add(
        "Conv",
        x,
        graph.constant(kernel * sign[:, None, None, None]),
        graph.constant(weights[f"{convolution}/bias"] * sign),
        pads=pads,
    )
    if convolution in _TIMBRAL:
        graph.allow_eight_bits(convolved)
    loudest = graph.add("ReduceMax", convolved, axes=[3], keepdims=0)
    rectified = graph.add("Relu", graph.add("Mul", loudest, graph.constant(sign[:, None])))
    return graph.affine(rectified, scale[:, None], shift[:, None])


def _middle_block(graph: Graph, x: str, weights: Mapping[str, Float32Array], convolution: str, norm: str) -> str:
    """Add convolution over time, ReLU and batch normalisation: (batch, c, t) to (batch, 64, t)."""
    kernel = weights[f"{convolution}/kernel"][:, :, 0].transpose(2, 1, 0)  # (64, c, 7)
    bias = graph.constant(weights[f"{convolution}/bias"])
    rectified = graph.add("Relu", graph.add("Conv", x, graph.constant(kernel), bias, pads=[3, 3]))
    scale, shift = _batch_norm(weights, norm)
    return graph.affine(rectified, scale[:, None], shift[:, None])


def _back_end(graph: Graph, x: str, weights: Mapping[str, Float32Array]) -> None:
    """Add pooling over time and the dense layers, and name the outputs."""
    loudest = graph.add("ReduceMax", x, axes=[2], keepdims=1)
    mean = graph.add("ReduceMean", x, axes=[2], keepdims=1)
    # TensorFlow flattens (channels, [max, mean]) row by row.
    pooled = graph.add("Flatten", graph.add("Concat", loudest, mean, axis=2), axis=1)
    normed = graph.affine(pooled, *_batch_norm(weights, "_9"))
    kernel, bias = graph.constant(weights["dense/kernel"]), graph.constant(weights["dense/bias"])
    dense = graph.add("Relu", graph.add("Gemm", normed, kernel, bias))
    scale, shift = _batch_norm(weights, "_10")
    penultimate = graph.affine(dense, scale, shift)
    logits = graph.add(
        "Gemm", penultimate, graph.constant(weights["dense_1/kernel"]), graph.constant(weights["dense_1/bias"])
    )
    graph.name_output(penultimate, "penultimate")
    graph.name_output(graph.add("Sigmoid", logits), "tags")
