"""MuQ's architecture as an encoder in torch, for GPUs: fixed shapes, pinned transfers, lower precisions.

Imports torch, so it is imported where such an encoder is made and not before.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from services.embedder.aggregation import load_aggregator
from services.embedder.artifact import Artifact
from services.embedder.exact_convolutions import exact_convolutions
from services.embedder.mini_graph import N_FFT
from services.embedder.mini_network import Network
from services.embedder.mini_weights import MiniConfig, MiniWeights
from services.embedder.model import Encoded, Float32Array, centre

# Batches are filled up to one of these, so that a GPU records few shapes; larger ones run in pieces.
BATCH_SIZES = (1, 2, 4, 8, 16, 32)
_LARGEST = BATCH_SIZES[-1]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

Outputs = tuple[Tensor, Tensor]


class TorchEncoder:
    """Runs the network over windows; a window's vector is its output, centred and made unit.

    Args:
        artifact: A verified model folder of museed-mini or MuQ.
        device: "cpu" or "cuda".
        precision: "fp32", "bf16" or "fp16".
        threads: On a CPU, of the whole process; 0 leaves them as they are.
        is_compiled: Whether torch compiles the network for full windows at each of BATCH_SIZES; every one takes up to
            minutes when it comes for the first time, and a C++ compiler.

    Raises:
        ArtifactInvalid: Options or tensors are not what the architecture asks for; the message names them.
    """

    runtime = "torch"
    min_samples = N_FFT  # reflected edges need more than half of it

    def __init__(
        self,
        artifact: Artifact,
        device: str,
        precision: str = "fp32",
        *,
        threads: int = 0,
        is_compiled: bool = False,
    ) -> None:
        self.manifest = artifact.manifest
        self.aggregator = load_aggregator(artifact)
        self.device = device
        self.precision = precision
        config = MiniConfig.of(artifact.manifest)
        weights = MiniWeights(artifact.weights_path)
        centring = artifact.manifest.centring
        self._mean = None if centring is None else weights.take(centring, config.vector_dim)
        self.network = network = Network(config, weights, DTYPES[precision]).eval().to(device)
        weights.check_all_taken(has_training=not config.has_heads)
        self.parameters = weights.parameters
        tensors = [*network.parameters(), *network.buffers()]
        self.memory_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        if device == "cpu" and threads:
            torch.set_num_threads(threads)
        compiled: Callable[[Tensor], Outputs] = torch.compile(network, dynamic=False) if is_compiled else network
        is_padded = device == "cuda" or is_compiled
        self._shapes = FixedShapes(compiled, device, self.manifest.window_samples, is_padded, others=network)

    def encode(self, windows: Float32Array) -> Encoded:
        """Encode windows, shape (batch, samples) at 24 kHz; see `Encoder.encode`."""
        with torch.inference_mode(), exact_convolutions(self.precision):
            parts = [self._shapes.run(windows[at : at + _LARGEST]) for at in range(0, len(windows), _LARGEST)]
        vectors, tags = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Encoded(centre(vectors, self._mean), tags)


class FixedShapes:
    """Runs a function of full windows at a few batch sizes only, and on a GPU records what it does.

    A recorded run is replayed from one call, where launching its kernels one by one would keep a small network waiting.
    Rows do not depend on each other, so what fills a batch up, sound of earlier calls, moves nothing.

    Args:
        function: Of sound, shape (batch, samples), to two tensors of as many rows.
        device: Where it computes.
        full_samples: Length of the windows that are recorded; part windows come in any length and are not.
        is_padded: Whether batches of full windows are filled up. Without a GPU that costs time, and gains nothing but
            few shapes where the function is compiled for each.
        others: Runs what is not filled up, which is of any shape and never worth compiling for; None for `function`.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Outputs],
        device: str,
        full_samples: int,
        is_padded: bool,
        others: Callable[[Tensor], Outputs] | None = None,
    ) -> None:
        self._function = function
        self._others = others or function
        self._device = device
        self._full_samples = full_samples
        self._is_padded = is_padded
        self._recorded: dict[int, Callable[[Float32Array], Outputs]] = {}
        self._pool = torch.cuda.graph_pool_handle() if device == "cuda" else None

    def run(self, windows: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Return the function's results for windows, shape (batch, samples), at most the largest batch size."""
        count, samples = windows.shape
        if not (self._is_padded and samples == self._full_samples):
            return _to_numpy(self._others(self._upload(windows)), count)
        size = next(size for size in BATCH_SIZES if size >= count)
        if size not in self._recorded:
            self._recorded[size] = self._record(size)
        return _to_numpy(self._recorded[size](windows), count)

    def _upload(self, windows: Float32Array) -> Tensor:
        sound = torch.from_numpy(np.ascontiguousarray(windows))
        if self._device == "cpu":
            return sound
        # Only from pinned memory does a copy run beside the CPU's work.
        return sound.pin_memory().to(self._device, non_blocking=True)

    def _record(self, size: int) -> Callable[[Float32Array], Outputs]:
        """Return a function that runs `size` full windows through buffers which stay where they are."""
        is_gpu = self._device == "cuda"
        host = torch.zeros((size, self._full_samples), pin_memory=is_gpu)
        sound = host.to(self._device) if is_gpu else host
        replay, outputs = self._capture(sound) if is_gpu else (None, None)
        # Not `self`, which holds what is returned here: in a cycle, weights stay on the GPU until Python collects it.
        function = self._function
        rows: Float32Array = host.numpy()

        def run(windows: Float32Array) -> Outputs:
            rows[: len(windows)] = windows
            if replay is None or outputs is None:
                return function(sound)
            sound.copy_(host, non_blocking=True)
            replay()
            return outputs

        return run

    def _capture(self, sound: Tensor) -> tuple[Callable[[], None], Outputs]:
        """Record the function as a CUDA graph; graphs share their memory, since only one runs at a time."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch has no type for it
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # plans and workspaces are made before anything is recorded
            for _ in range(3):
                self._function(sound)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            outputs = self._function(sound)
        return graph.replay, outputs


def _to_numpy(outputs: Outputs, count: int) -> tuple[Float32Array, Float32Array]:
    vectors, tags = (output[:count].float().cpu().numpy() for output in outputs)
    return vectors, tags
