"""The transformer that aggregates windows, in numpy: [CLS] and four layers of self-attention. Learns nothing.

Pre-norm encoder layers (Vaswani et al. 2017, arXiv:1706.03762; Xiong et al. 2020, arXiv:2002.04745) over the windows of
one track with sinusoidal positions; what comes out at [CLS] (Devlin et al. 2018, arXiv:1810.04805) is the vector. A
window's share of the attention grows with its seconds: their logarithm is added to what every token has for it.

`training/aggregator_network.py` is the same in torch, and learns the tensors.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from safetensors import SafetensorError, safe_open

from services.embedder.artifact import AGGREGATOR_PREFIX, Artifact
from services.embedder.errors import ArtifactInvalid
from services.embedder.model import Float32Array, unit

LAYERS = 4
HEADS = 4
EPSILON = 1e-5
_LONGEST_WAVE = 10_000.0
_WIDTHS = (2 * HEADS, 4_096)
_LAYER_PARTS = ("attention_norm", "queries_keys_values", "attended", "feed_forward_norm", "widen", "narrow")


@dataclass(frozen=True, slots=True)
class _Layer:
    """One encoder layer; each is a weight, shape (out, in) or (width,) of a norm, and its bias."""

    attention_norm: tuple[Float32Array, Float32Array]
    queries_keys_values: tuple[Float32Array, Float32Array]
    attended: tuple[Float32Array, Float32Array]
    feed_forward_norm: tuple[Float32Array, Float32Array]
    widen: tuple[Float32Array, Float32Array]
    narrow: tuple[Float32Array, Float32Array]


class TransformerAggregator:
    """Aggregates by self-attention; one track at a time, so there is nothing that batching could change.

    720 windows of 10 s take about 0.1 core-seconds: not for an event loop.
    """

    def __init__(self, tensors: "_Tensors", dim: int) -> None:
        width, hidden = tensors.width(), tensors.hidden()
        shapes = {
            "attention_norm": (width,),
            "queries_keys_values": (3 * width, width),
            "attended": (width, width),
            "feed_forward_norm": (width,),
            "widen": (hidden, width),
            "narrow": (width, hidden),
        }
        self._scale = np.float32(dim**0.5)
        self._cls = tensors.take("cls", width)
        self._input = tensors.pair("input", width, dim)
        self._layers = [
            _Layer(**{part: tensors.pair(f"layers.{number}.{part}", *shapes[part]) for part in _LAYER_PARTS})
            for number in range(LAYERS)
        ]
        self._norm = tensors.pair("norm", width)
        self._output = tensors.pair("output", dim, width)
        tensors.check_all_taken()

    @classmethod
    def load(cls, artifact: Artifact) -> Self:
        """Read the tensors `aggregator.*` of a model folder.

        Raises:
            ArtifactInvalid: One is missing, malformed or too many; the message names it.
        """
        return cls(_Tensors(artifact.weights_path), artifact.manifest.dim)

    def aggregate(self, vectors: Float32Array, seconds: Float32Array) -> Float32Array:
        """Aggregate; see `Aggregator.aggregate`."""
        tokens = _linear(vectors * self._scale, self._input)  # (n, width)
        tokens += positions(*tokens.shape)
        tokens = np.concatenate([self._cls[None], tokens])
        # Of the longest window, so that the scale of the seconds is forgotten; [CLS] counts as one such window.
        weights = np.concatenate([[np.float32(0)], np.log(seconds / seconds.max())]).astype(np.float32)
        for layer in self._layers[:-1]:
            tokens = _run(layer, tokens, weights, len(tokens))
        last = _run(self._layers[-1], tokens, weights, 1)  # only [CLS] is wanted
        vector: Float32Array = unit(_linear(_normalise(last, self._norm), self._output))[0]
        return vector


def positions(count: int, width: int) -> Float32Array:
    """Return sines and cosines of the number of each window, shape (count, width), width even."""
    waves = _LONGEST_WAVE ** (-np.arange(0, width, 2) / width)
    angles = np.arange(count)[:, None] * waves  # (count, width / 2)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def _run(layer: _Layer, tokens: Float32Array, weights: Float32Array, wanted: int) -> Float32Array:
    """Run one layer over all tokens, shape (n, width), and return the first `wanted` of what comes out."""
    width = tokens.shape[1]
    joined = _linear(_normalise(tokens, layer.attention_norm), layer.queries_keys_values)
    queries, keys, values = joined[:wanted, :width], joined[:, width : 2 * width], joined[:, 2 * width :]
    size = width // HEADS
    heads = np.empty((wanted, width), np.float32)
    for start in range(0, width, size):  # one at a time holds a quarter of the memory
        part = slice(start, start + size)
        scores = queries[:, part] @ keys[:, part].T * np.float32(size**-0.5) + weights  # (wanted, n)
        heads[:, part] = _softmax(scores) @ values[:, part]
    out = tokens[:wanted] + _linear(heads, layer.attended)
    widened = np.maximum(_linear(_normalise(out, layer.feed_forward_norm), layer.widen), 0)
    return np.asarray(out + _linear(widened, layer.narrow), np.float32)


def _linear(rows: Float32Array, pair: tuple[Float32Array, Float32Array]) -> Float32Array:
    return np.asarray(rows @ pair[0].T + pair[1], np.float32)


def _normalise(rows: Float32Array, pair: tuple[Float32Array, Float32Array]) -> Float32Array:
    rest = rows - rows.mean(axis=1, keepdims=True)
    variance = np.square(rest).mean(axis=1, keepdims=True)
    return np.asarray(rest / np.sqrt(variance + np.float32(EPSILON)) * pair[0] + pair[1], np.float32)


def _softmax(scores: Float32Array) -> Float32Array:
    scores = scores - scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    return np.asarray(scores / scores.sum(axis=1, keepdims=True), np.float32)


class _Tensors:
    """The tensors below the prefix, widened to float32 as they are taken."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._taken: set[str] = set()
        try:
            with safe_open(path, framework="numpy") as file:
                names = [name for name in file.keys() if name.startswith(AGGREGATOR_PREFIX)]
                self._found = {name: file.get_tensor(name) for name in names}
        except (SafetensorError, OSError, TypeError, ValueError, KeyError) as error:
            raise ArtifactInvalid(f"{path} holds no tensors of numpy: {error!r}", field="weights") from error
        if not self._found:
            raise ArtifactInvalid(
                f"{path} has no tensors {AGGREGATOR_PREFIX}*, which the pooling transformer needs:"
                " python -m training.aggregator makes them",
                field="pooling.method",
                value="transformer",
            )

    def width(self) -> int:
        """Return how long a token is."""
        found = self._get("cls")
        width = len(found) if found.ndim == 1 else 0
        low, high = _WIDTHS
        if not (low <= width <= high and width % (2 * HEADS) == 0):
            raise self._invalid("cls", f"has the shape {found.shape}, it must be a multiple of {low} up to {high}")
        return width

    def hidden(self) -> int:
        """Return how wide the feed-forward parts are."""
        found = self._get("layers.0.widen.bias")
        if found.ndim != 1 or not 1 <= len(found) <= 4 * _WIDTHS[1]:
            raise self._invalid("layers.0.widen.bias", f"has the shape {found.shape}, it must be a row")
        return len(found)

    def pair(self, name: str, *shape: int) -> tuple[Float32Array, Float32Array]:
        """Return a weight of this shape and its bias; raises what `take` raises."""
        return self.take(f"{name}.weight", *shape), self.take(f"{name}.bias", shape[0])

    def take(self, name: str, *shape: int) -> Float32Array:
        """Return a tensor.

        Raises:
            ArtifactInvalid: It is missing, has another shape, is neither float16 nor float32, or is not finite.
        """
        tensor = self._get(name)
        self._taken.add(AGGREGATOR_PREFIX + name)
        if tensor.shape != shape:
            raise self._invalid(name, f"has the shape {tensor.shape}, {shape} is needed")
        if tensor.dtype not in (np.float16, np.float32):
            raise self._invalid(name, f"is of {tensor.dtype}, float16 and float32 are allowed")
        if not np.isfinite(tensor).all():
            raise self._invalid(name, "has values that are not finite")
        return np.ascontiguousarray(tensor, np.float32)

    def check_all_taken(self) -> None:
        """Refuse tensors that nobody took: they are of another network."""
        if rest := sorted(self._found.keys() - self._taken):
            raise self._invalid(
                rest[0].removeprefix(AGGREGATOR_PREFIX), f"is one of {len(rest)} that {LAYERS} layers have no use for"
            )

    def _get(self, name: str) -> Float32Array:
        tensor: Float32Array | None = self._found.get(AGGREGATOR_PREFIX + name)
        if tensor is None:
            raise self._invalid(name, "is missing")
        return tensor

    def _invalid(self, name: str, what: str) -> ArtifactInvalid:
        name = AGGREGATOR_PREFIX + name
        return ArtifactInvalid(f"{self._path}: the tensor {name} {what}", field="weights", value=name)
