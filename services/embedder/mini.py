"""MuQ's architecture on ONNX Runtime, without torch: museed-mini, and MuQ itself. Reads only its artifact."""

import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from services.embedder.aggregation import load_aggregator
from services.embedder.artifact import Artifact
from services.embedder.mel import power_spectra
from services.embedder.mini_graph import BINS, HOP, N_FFT, build_graph
from services.embedder.mini_weights import ARCHITECTURE as OF_WEIGHTS
from services.embedder.mini_weights import MiniConfig, MiniWeights
from services.embedder.model import Encoded, Float32Array, centre
from services.embedder.onnx_session import Session, Workers

NAME = "museed-mini"
ARCHITECTURE = OF_WEIGHTS


class MiniEncoder:
    """Runs the network over windows; a window's vector is its output, centred and made unit.

    Args:
        artifact: A verified model folder of museed-mini or MuQ.
        threads: Windows at a time; 0 takes one a core.
        precision: "fp32", "int8-dynamic" or "int8-static".
        calibration: Windows that the scales of "int8-static" are taken from, each of shape (samples,).
        model: What `build_model` made of the artifact, where that was done before; None does it now.

    Raises:
        ArtifactInvalid: Options or tensors are not what the architecture asks for; the message names them.
        EncoderUnavailable: The weights are more than an ONNX model holds.
    """

    device = "cpu"
    runtime = "onnxruntime"
    min_samples = N_FFT  # reflected edges need more than half of it

    def __init__(
        self,
        artifact: Artifact,
        threads: int = 0,
        precision: str = "fp32",
        calibration: Sequence[Float32Array] = (),
        model: "MiniModel | None" = None,
    ) -> None:
        self.manifest = artifact.manifest
        self.aggregator = load_aggregator(artifact)
        self.precision = precision.partition("-")[0]
        graph, self._mean, self.parameters = model or build_model(artifact)
        if precision != "fp32":
            # Loading the quantiser takes as long as fp32 does to start, and few ask for it.
            from services.embedder.onnx_quantise import quantise_dynamic, quantise_static

            powers = [power_spectra(window[None], N_FFT, HOP, frames=len(window) // HOP) for window in calibration]
            graph = quantise_static(graph, "power", powers) if powers else quantise_dynamic(graph)
        self._session = Session(graph)
        self.memory_bytes = self._session.memory_bytes
        self._workers = Workers(threads, "mini")
        self._scratch = threading.local()

    def encode(self, windows: Float32Array) -> Encoded:
        """Encode windows, shape (batch, samples) at 24 kHz; see `Encoder.encode`."""
        runs = self._workers.map(self._run, windows)
        vectors = centre(np.concatenate([run[0] for run in runs]), self._mean)
        tags = [run[1] for run in runs] if self.manifest.tags else [np.zeros((len(windows), 0), np.float32)]
        return Encoded(vectors, np.concatenate(tags))

    def _run(self, window: Float32Array) -> list[Float32Array]:
        """Run one window, shape (samples,): so its result cannot depend on others."""
        frames = len(window) // HOP
        power: Float32Array | None = getattr(self._scratch, "power", None)
        if power is None or power.shape[1] != frames:
            power = self._scratch.power = np.empty((1, frames, BINS), np.float32)
        return self._session.run(power=power_spectra(window[None], N_FFT, HOP, frames=frames, out=power))


class MiniModel(NamedTuple):
    """An artifact as an ONNX model in fp32, its centring, shape (dim,), and how many parameters it has."""

    graph: bytes
    mean: Float32Array | None
    parameters: int


def build_model(artifact: Artifact) -> MiniModel:
    """Read an artifact; raises what `MiniEncoder` does."""
    config = MiniConfig.of(artifact.manifest)
    weights = MiniWeights(artifact.weights_path)
    centring = artifact.manifest.centring
    mean = None if centring is None else weights.take(centring, config.vector_dim)
    graph = build_graph(config, weights)
    weights.check_all_taken(has_training=not config.has_heads)
    return MiniModel(graph, mean, weights.parameters)
