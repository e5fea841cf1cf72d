"""museed-mini as an encoder: a small MuQ of our own with heads for vector and tags, on ONNX Runtime without torch."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime

from services.embedder.aggregation import load_aggregator
from services.embedder.artifact import Artifact
from services.embedder.mel import power_spectra
from services.embedder.mini_graph import HOP, N_FFT, build_graph
from services.embedder.mini_weights import MiniConfig, MiniWeights
from services.embedder.model import Encoded, Float32Array, centre

NAME = "museed-mini"
ARCHITECTURE = "museed-mini/1"


class MiniEncoder:
    """Runs museed-mini over windows; a window's vector is its vector head's output, centred and made unit.

    Args:
        artifact: A verified model folder of this architecture.
        threads: Windows at a time; 0 takes one a core.

    Raises:
        ArtifactInvalid: Options or tensors are not what the architecture asks for; the message names them.
    """

    device = "cpu"
    min_samples = N_FFT  # reflected edges need more than half of it

    def __init__(self, artifact: Artifact, threads: int = 0) -> None:
        self.manifest = artifact.manifest
        self.aggregator = load_aggregator(artifact)
        config, weights = MiniConfig.of(artifact.manifest), MiniWeights(artifact.weights_path)
        centring = artifact.manifest.centring
        self._mean = None if centring is None else weights.take(centring, config.vector_dim)
        options = onnxruntime.SessionOptions()
        # A window a thread: with 8 windows on two busy cores less than half the time of ONNX Runtime's own threads.
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        graph = build_graph(config, weights)
        weights.check_all_taken()
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._threads = threads or len(os.sched_getaffinity(0))
        self._executor = ThreadPoolExecutor(self._threads, "mini")

    def encode(self, windows: Float32Array) -> Encoded:
        """Encode windows, shape (batch, samples) at 24 kHz; see `Encoder.encode`."""
        runs = list(self._executor.map(self._run, windows))
        vectors = centre(np.concatenate([run[0] for run in runs]), self._mean)
        tags = [run[1] for run in runs] if self.manifest.tags else [np.zeros((len(windows), 0), np.float32)]
        return Encoded(vectors, np.concatenate(tags))

    def _run(self, window: Float32Array) -> list[Float32Array]:
        """Run one window, shape (samples,): so its result cannot depend on others."""
        power = power_spectra(window[None], N_FFT, HOP, frames=len(window) // HOP)
        outputs: list[Float32Array] = self._session.run(None, {"power": power})
        return outputs
