"""MusiCNN as an encoder: the penultimate layer of a music tagger, on ONNX Runtime. Reads only its artifact."""

from collections.abc import Sequence

import numpy as np
from safetensors.numpy import load_file

from services.embedder.aggregation import load_aggregator
from services.embedder.artifact import Artifact
from services.embedder.errors import ArtifactInvalid
from services.embedder.mel import mel_power
from services.embedder.model import Encoded, Float32Array, centre
from services.embedder.musicnn_graph import N_MELS, PENULTIMATE, build_graph
from services.embedder.onnx_session import Session, Workers

ARCHITECTURE = "musicnn/1"
SAMPLE_RATE_HZ = 16_000
HOP = 256
PATCH_FRAMES = 187  # 3 s: what the network was trained on

_N_FFT = 512
_LOG_GAIN = 10_000.0
# Runs of 1 to 6 patches stay in the processor's caches; 8 took a third longer.
_MAX_PATCHES_PER_RUN = 4


class MusicnnEncoder:
    """Runs MusiCNN over windows in patches of 3 s; a window's vector is the mean of its patches, made unit.

    Args:
        artifact: A verified model folder of this architecture.
        threads: Runs of patches at a time; 0 takes one a core.
        precision: "fp32", "int8-dynamic" or "int8-static".
        calibration: Windows that the scales of "int8-static" are taken from, each of shape (samples,).
    """

    device = "cpu"
    runtime = "onnxruntime"
    min_samples = _N_FFT

    def __init__(
        self,
        artifact: Artifact,
        threads: int = 0,
        precision: str = "fp32",
        calibration: Sequence[Float32Array] = (),
    ) -> None:
        self.manifest = artifact.manifest
        self.aggregator = load_aggregator(artifact)
        self.precision = precision.partition("-")[0]
        weights = load_file(artifact.weights_path)
        centring = artifact.manifest.centring
        try:
            graph = build_graph(weights)
            self._mean = None if centring is None else weights[centring]
        except KeyError as error:
            raise ArtifactInvalid(f"{artifact.weights_path} lacks the tensor {error}", field="weights") from error
        if precision != "fp32":
            from services.embedder.onnx_quantise import quantise_dynamic, quantise_static

            patches = [self.patches(window[None]) for window in calibration]
            graph = quantise_static(graph, "mel", patches) if patches else quantise_dynamic(graph)
        self._session = Session(graph)
        self.parameters = sum(tensor.size for tensor in weights.values())
        self.memory_bytes = self._session.memory_bytes
        # A run that finds its scales by itself must see one patch alone, else its neighbours would move it.
        self._max_patches = 1 if precision == "int8-dynamic" else _MAX_PATCHES_PER_RUN
        self._workers = Workers(threads, "musicnn")

    def encode(self, windows: Float32Array) -> Encoded:
        """Encode windows, shape (batch, samples) at 16 kHz; see `Encoder.encode`."""
        penultimate, tags = self.run_patches(self.patches(windows))
        of_windows = penultimate.reshape(-1, len(windows), PENULTIMATE)
        scores = tags.reshape(len(of_windows), len(windows), -1)
        return Encoded(centre(of_windows.mean(axis=0), self._mean), scores.mean(axis=0))

    def patches(self, windows: Float32Array) -> Float32Array:
        """Return the first patches of all windows, then the second ones, and so on, shape (n, frames, 96)."""
        log_mel = self.log_mel(windows)
        return np.concatenate([log_mel[:, at : at + PATCH_FRAMES] for at in patch_starts(log_mel.shape[1])])

    def log_mel(self, windows: Float32Array) -> Float32Array:
        """Compute what the network sees of windows, shape (batch, samples) at 16 kHz.

        Returns:
            Shape (batch, 1 + samples // 256, 96), float32, not negative.
        """
        power = mel_power(windows, SAMPLE_RATE_HZ, _N_FFT, HOP, N_MELS)
        log_mel: Float32Array = np.log10(_LOG_GAIN * power + 1)
        return log_mel

    def run_patches(self, patches: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Run the network over patches of log-mel spectrograms, neither centred nor made unit afterwards.

        Args:
            patches: Shape (n, frames, 96), float32, at least one; the network was trained on 187 frames, which is 3 s.

        Returns:
            The penultimate layer, shape (n, 200), and tag scores in [0, 1], shape (n, n_tags); both float32.
        """
        size = min(self._max_patches, -(-len(patches) // self._workers.count))
        parts = [patches[at : at + size] for at in range(0, len(patches), size)]
        runs = self._workers.map(self._run, parts)
        return np.concatenate([run[0] for run in runs]), np.concatenate([run[1] for run in runs])

    def _run(self, patches: Float32Array) -> list[Float32Array]:
        return self._session.run(mel=patches)


def patch_starts(frames: int) -> list[int]:
    """Return the first frames of the patches that cover a window evenly; a short window is one shorter patch.

    The number is rounded, so that neighbours overlap or leave a gap of at most half a patch: 10 s are 626 frames and
    get 3 patches with gaps of 32 frames.
    """
    count = max(1, round(frames / PATCH_FRAMES))
    last = max(0, frames - PATCH_FRAMES)
    if count == 1:
        return [last // 2]
    return [round(at * last / (count - 1)) for at in range(count)]
