"""MusiCNN written out in torch layer by layer as its TensorFlow source does it: the slow reference of our graph."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Weights = Mapping[str, NDArray[np.float32]]


def _tensor(weights: Weights, name: str) -> Tensor:
    return torch.from_numpy(np.array(weights[name], dtype=np.float32))


def _norm(weights: Weights, x: Tensor, suffix: str) -> Tensor:
    name = f"batch_normalization{suffix}"
    return functional.batch_norm(
        x,
        _tensor(weights, f"{name}/moving_mean"),
        _tensor(weights, f"{name}/moving_variance"),
        _tensor(weights, f"{name}/gamma"),
        _tensor(weights, f"{name}/beta"),
        training=False,
        eps=1e-3,
    )


def _convolve(weights: Weights, x: Tensor, name: str) -> Tensor:
    kernel = _tensor(weights, f"{name}/kernel").permute(3, 2, 0, 1)
    return torch.relu(functional.conv2d(x, kernel, _tensor(weights, f"{name}/bias")))


def run(weights: Weights, mel: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return penultimate layer (batch, 200) and tags (batch, 50) of log-mel patches (batch, frames, 96)."""
    x = _norm(weights, torch.from_numpy(mel)[:, None], "")
    parts = []
    for name, norm in (("conv2d", "_1"), ("conv2d_1", "_2")):
        y = _norm(weights, _convolve(weights, functional.pad(x, (0, 0, 3, 3)), name), norm)
        parts.append(y.amax(dim=3))
    for name, norm, height in (("conv2d_2", "_3", 128), ("conv2d_3", "_4", 64), ("conv2d_4", "_5", 32)):
        total = height - 1
        y = _convolve(weights, functional.pad(x, (0, 0, total // 2, total - total // 2)), name)
        parts.append(_norm(weights, y, norm).amax(dim=3))
    front = torch.cat(parts, dim=1)
    features = [front]
    for name, norm in (("conv2d_5", "_6"), ("conv2d_6", "_7"), ("conv2d_7", "_8")):
        rows = features[-1].transpose(1, 2)[:, None]
        y = _norm(weights, _convolve(weights, functional.pad(rows, (0, 0, 3, 3)), name), norm)[..., 0]
        features.append(y if len(features) == 1 else y + features[-1])
    middle = torch.cat(features, dim=1)
    pooled = torch.stack([middle.amax(dim=2), middle.mean(dim=2)], dim=2).flatten(1)
    dense = _norm(weights, pooled, "_9") @ _tensor(weights, "dense/kernel") + _tensor(weights, "dense/bias")
    penultimate = _norm(weights, torch.relu(dense), "_10")
    logits = penultimate @ _tensor(weights, "dense_1/kernel") + _tensor(weights, "dense_1/bias")
    return penultimate.numpy(), torch.sigmoid(logits).numpy()
