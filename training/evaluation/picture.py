"""Draws the tracks as t-SNE maps (van der Maaten & Hinton, JMLR 9, 2008), one panel an encoder, a colour a family."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from services.embedder.model import Float32Array, unit

matplotlib.use("Agg")

from matplotlib import pyplot

_COLUMNS = 3
_PANEL_INCHES = 4.2
_PERPLEXITY = 15.0
_SEED = 20_240_501


def draw_maps(path: Path, vectors: Mapping[str, Float32Array], families: Sequence[str]) -> None:
    """Write a PNG with a map of each encoder.

    Args:
        path: Where to.
        vectors: By the encoder's name, each of shape (n, dim); n at least 3.
        families: Of the n tracks.
    """
    rows = -(-len(vectors) // _COLUMNS)
    size = (_PANEL_INCHES * min(_COLUMNS, len(vectors)), _PANEL_INCHES * rows)
    figure, axes = pyplot.subplots(rows, min(_COLUMNS, len(vectors)), figsize=size, squeeze=False)
    for panel in axes.flat:
        panel.set_axis_off()
    of_family = np.asarray(families)
    for panel, (name, of_encoder) in zip(axes.flat, vectors.items(), strict=False):
        places = project(of_encoder)
        for family in sorted(set(families)):
            chosen = places[of_family == family]
            panel.scatter(chosen[:, 0], chosen[:, 1], s=14, label=family, alpha=0.8, linewidths=0)
        panel.set_title(name, fontsize=10)
    axes.flat[0].legend(fontsize=8, frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def project(vectors: Float32Array) -> NDArray[np.float32]:
    """Project vectors, shape (n, dim), to the plane by cosine distance: shape (n, 2), the same for the same input."""
    perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, metric="cosine", init="random", random_state=_SEED, method="exact")
    return np.asarray(tsne.fit_transform(unit(vectors)), dtype=np.float32)
