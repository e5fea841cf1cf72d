"""Opens ONNX models as they are served: one thread a run, and the caller brings the threads."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import onnxruntime

from services.embedder.model import Float32Array

Item = TypeVar("Item")
Result = TypeVar("Result")


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


class Workers:
    """Calls a function for each of some items in threads that live as long as this object.

    Args:
        threads: At a time; 0 takes one a core. With one, the caller's own thread does the work.
        name: Of the threads.
    """

    def __init__(self, threads: int, name: str) -> None:
        self.count = threads or len(os.sched_getaffinity(0))
        self._executor = None if self.count == 1 else ThreadPoolExecutor(self.count, name)

    def map(self, call: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Return what the calls return, in the order of the items; raises what the first failing one raises."""
        if self._executor is None:
            return [call(item) for item in items]
        calls = [self._executor.submit(call, item) for item in items]
        wait(calls)  # for all at once: waking up for each would take the interpreter from the others
        return [future.result() for future in calls]
