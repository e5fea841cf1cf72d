"""Opens ONNX models as they are served: one thread a run, and the caller brings the threads."""

import os

import onnxruntime

from services.embedder.model import Float32Array


class Session:
    """A model that is ready to run; `run` may be called from many threads at a time.

    Args:
        model: A serialised ONNX model.
        threads: Of one run. Several runs of one thread each beat one run of several: with 8 windows on two cores it is
            half the time.
    """

    def __init__(self, model: bytes, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.memory_bytes = len(model)

    def run(self, **inputs: Float32Array) -> list[Float32Array]:
        """Return the model's outputs in its own order."""
        outputs: list[Float32Array] = self._session.run(None, inputs)
        return outputs


def thread_count(wanted: int) -> int:
    """Return how many runs go on at a time: as many as wanted, for 0 one a core."""
    return wanted or len(os.sched_getaffinity(0))
