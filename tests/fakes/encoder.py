"""An encoder without weights: a window's vector tells its level, and chosen windows fail."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.embedder.aggregation import WEIGHTED_MEAN, Aggregator
from services.embedder.artifact import Manifest
from services.embedder.model import Encoded

MANIFEST = Manifest(
    name="fake",
    architecture="fake/1",
    dim=2,
    sample_rate_hz=1000,
    window_seconds=10,
    hop_seconds=10,
    weights_sha256="00" * 32,
    centring="centring.mean",
    random_pair_cosine={"0.99": 0.75, "0.5": 0.125},
    tags=("loud", "quiet"),
)
POISON = 0.666
NOT_FINITE = 0.777


def vector_of(level: float) -> NDArray[np.float32]:
    """Return what the fake makes of a window whose samples all are `level`."""
    return np.array([np.cos(level), np.sin(level)], dtype=np.float32)


@dataclass
class FakeEncoder:
    """Counts what it is given; a window at the level POISON raises, one at NOT_FINITE gives NaN."""

    manifest: Manifest = MANIFEST
    device: str = "cpu"
    runtime: str = "onnxruntime"
    precision: str = "fp32"
    parameters: int = 4
    memory_bytes: int = 16
    min_samples: int = 10
    aggregator: Aggregator = WEIGHTED_MEAN
    batches: list[list[float]] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    # Cleared, it holds every call until it is set.
    open: threading.Event = field(default_factory=threading.Event)
    # What else happens during a call.
    on_call: Callable[[], object] = lambda: None

    def __post_init__(self) -> None:
        self.open.set()

    def encode(self, windows: NDArray[np.float32]) -> Encoded:
        self.threads.add(threading.current_thread().name)
        levels = np.median(windows, axis=1)
        self.batches.append([round(float(level), 4) for level in levels])
        self.open.wait()
        self.on_call()
        if np.isclose(levels, POISON, atol=1e-4).any():
            raise RuntimeError("poison")
        vectors = np.stack([vector_of(level) for level in levels])
        vectors[np.isclose(levels, NOT_FINITE, atol=1e-4)] = np.nan
        return Encoded(vectors, np.stack([levels, 1 - levels], axis=1).astype(np.float32))
