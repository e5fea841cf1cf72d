"""Looks at an aggregator on soundtracks that it does not learn from: does it know what is hidden, what is near what?"""

from collections.abc import Sequence

import numpy as np
import torch

from services.embedder.model import Float32Array, pool, unit
from training.aggregator_network import AggregatorNetwork
from training.catalogue import Track
from training.evaluation.retrieval import score_families
from training.window_crops import WindowedTrack, draw_mask

_SHARE = 0.15
_SHORTEST = 2


class AggregatorValidation:
    """A fixed set of tracks and masks.

    Args:
        held_out: Tracks that nothing is learnt from, none of the test part.
        judged: Labelled tracks, learnt from or held out, by their path, with what the catalogue says of them.
        learnt: Tracks that are learnt from; with `held_out` they are what may be near.
    """

    def __init__(
        self, held_out: Sequence[WindowedTrack], learnt: Sequence[WindowedTrack], judged: dict[str, Track]
    ) -> None:
        self._held_out = [track for track in held_out if len(track.vectors) >= _SHORTEST]
        self._masks = [
            draw_mask(len(track.vectors), _SHARE, np.random.default_rng([0, number]))
            for number, track in enumerate(self._held_out)
        ]
        self._queries = [track for track in held_out if track.path in judged]
        self._judged = [*self._queries, *(track for track in learnt if track.path in judged)]
        self._labels = [judged[track.path] for track in self._judged]
        self._of_mean = self._precision(
            np.stack([pool(track.vectors, track.seconds) for track in self._judged]) if self._judged else None
        )

    def __call__(self, network: AggregatorNetwork) -> dict[str, float]:
        """Judge a network in evaluation; blocks for as long as some hundred tracks take.

        Returns:
            `masked_cosine` (of what it says of hidden windows to them), `mean_cosine` ([CLS] to the weighted mean), and
            precision at 5 by family of the held-out tracks, for [CLS] and for the mean; NaN where there is nothing.
        """
        masked, near = [], []
        for track, mask in zip(self._held_out, self._masks, strict=True):
            _, windows = run(network, track, mask)
            masked.append(float(np.mean(np.sum(unit(windows[mask]) * track.vectors[mask], axis=1))))
            summary, _ = run(network, track, None)
            near.append(float(unit(summary[None])[0] @ pool(track.vectors, track.seconds)))
        vectors = np.stack([run(network, track, None)[0] for track in self._judged]) if self._judged else None
        return {
            "masked_cosine": float(np.mean(masked)) if masked else float("nan"),
            "mean_cosine": float(np.mean(near)) if near else float("nan"),
            "precision": self._precision(vectors),
            "precision_mean": self._of_mean,
        }

    def _precision(self, vectors: Float32Array | None) -> float:
        if vectors is None or not self._queries:
            return float("nan")
        is_query = np.arange(len(vectors)) < len(self._queries)
        families, packages = [one.family for one in self._labels], [one.package for one in self._labels]
        return float(score_families(unit(vectors), families, packages, is_query).precision_at_5.mean())


def run(
    network: AggregatorNetwork, track: WindowedTrack, mask: np.ndarray[tuple[int], np.dtype[np.bool_]] | None
) -> tuple[Float32Array, Float32Array]:
    """Run one track; returns what [CLS] says, shape (dim,), and each window, shape (n, dim)."""
    is_masked = None if mask is None else torch.from_numpy(mask)[None]
    with torch.no_grad():
        summary, windows = network(
            torch.from_numpy(track.vectors)[None], torch.from_numpy(track.seconds)[None], is_masked
        )
    return summary[0].numpy(), windows[0].numpy()
