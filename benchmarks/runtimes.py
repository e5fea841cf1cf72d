"""How much quicker is each runtime and precision than the plain one, in one run?

On a CPU: ONNX Runtime against torch eager, museed-mini in int8 against fp32, on one thread and on all, for one 10-s
window and for a batch. On a GPU, where one is at hand: bf16 against fp32 for museed-mini and a network of MuQ-large's
size with random weights, with the peak of the GPU's memory. `--compile` adds torch.compile, which takes minutes;
`--large` adds the large network on the CPU, which takes 12 GB of memory. Nothing is fetched.

Usage: python -m benchmarks.runtimes [--rounds N] [--compile] [--large]
"""

import argparse
import gc
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.numpy import load_file
from safetensors.torch import save

from benchmarks.encoders import MUQ_LARGE, Call, Cost, timed
from services.embedder.artifact import Artifact, Manifest, open_artifact, write_artifact
from services.embedder.choice import MINI_FOLDER
from services.embedder.mini import MiniEncoder
from services.embedder.model import Float32Array, ServedEncoder
from services.embedder.musicnn import MusicnnEncoder
from services.embedder.musicnn_wheel import import_wheel
from services.embedder.precision import calibration, encode_all, lowest_cosine, probe
from services.embedder.torch_encoder import TorchEncoder
from tests.fakes.mini import build_muq, muq_options, sounds
from tests.unit.embedder import musicnn_in_torch

BATCH = 8
ONNX_GOAL, INT8_GOAL, BF16_GOAL, MEMORY_GOAL = 1.2, 1.5, 1.8, 0.5


class Row(NamedTuple):
    """One comparison: `plain` takes so many times as long as `quick`; cosine is the lowest on the probe."""

    encoder: str
    what: str
    threads: int
    windows: int
    plain: Cost
    quick: Cost
    goal: float | None

    def line(self) -> str:
        """Return the row of the table; both costs are of one window."""
        ratio, work = self.plain.wall_s / self.quick.wall_s, self.plain.cpu_s / self.quick.cpu_s
        goal = "" if self.goal is None else f"{self.goal:6.1f}"
        return (
            f"{self.encoder:12} {self.what:28} {self.threads:7} {self.windows:7}"
            f" {1000 * self.plain.wall_s / self.windows:9.1f} {1000 * self.quick.wall_s / self.windows:9.1f}"
            f" {ratio:6.2f} {work:6.2f} {goal:>6}"
        )


HEAD = f"{'encoder':12} {'compared':28} threads windows  plain ms  quick ms      ×  × CPU   goal"


def compare(name: str, threads: int, calls: dict[str, Call], windows: int, rounds: int, plain: str) -> list[Row]:
    """Time all calls in turn and compare each with the plain one."""
    costs = timed(calls, rounds)
    goals = {"ONNX Runtime": ONNX_GOAL, "int8-dynamic": INT8_GOAL, "bf16": BF16_GOAL}
    return [
        Row(name, f"{call} / {plain}", threads, windows, costs[plain], cost, goals.get(call))
        for call, cost in costs.items()
        if call != plain
    ]


def on_cpu(name: str, artifact: Artifact, threads: int, rounds: int, *, is_compiled: bool) -> None:
    """Print the rows of a network of MuQ's architecture."""
    torch.set_num_threads(threads)
    eager, exact = TorchEncoder(artifact, "cpu"), MiniEncoder(artifact, threads)
    dynamic = MiniEncoder(artifact, threads, "int8-dynamic")
    static = MiniEncoder(artifact, threads, "int8-static", calibration(artifact.manifest))
    of_torch: dict[str, ServedEncoder] = {"torch eager": eager, "ONNX Runtime": exact}
    if is_compiled:
        of_torch["torch.compile"] = TorchEncoder(artifact, "cpu", is_compiled=True)
    of_int8: dict[str, ServedEncoder] = {"fp32": exact, "int8-dynamic": dynamic, "int8-static": static}
    for count in (1, BATCH):
        windows = sounds(artifact.manifest.window_seconds, count)
        for encoders, plain in ((of_torch, "torch eager"), (of_int8, "fp32")):
            calls = {key: _call(encoder, windows) for key, encoder in encoders.items()}
            for row in compare(name, threads, calls, count, rounds, plain):
                print(row.line(), flush=True)


def musicnn_on_cpu(artifact: Artifact, threads: int, rounds: int) -> None:
    """Print the rows of musicnn, whose reference in torch gets the same patches."""
    torch.set_num_threads(threads)
    encoder, weights = MusicnnEncoder(artifact, threads), load_file(artifact.weights_path)

    for count in (1, BATCH):
        windows = sounds(10, count)[:, : artifact.manifest.window_samples]

        def in_torch(windows: Float32Array = windows) -> None:
            with torch.inference_mode():
                musicnn_in_torch.run(weights, encoder.patches(windows))

        calls = {"torch eager": in_torch, "ONNX Runtime": _call(encoder, windows)}
        for row in compare("musicnn-msd", threads, calls, count, rounds, "torch eager"):
            print(row.line(), flush=True)


def on_gpu(name: str, artifact: Artifact, rounds: int) -> None:
    """Print rows of bf16 against fp32, one at a time so that each has the memory to itself, and both peaks."""
    seconds, peaks = {}, {}
    for precision in ("fp32", "bf16"):
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        encoder = TorchEncoder(artifact, "cuda", precision)
        for count in (1, BATCH):
            windows = sounds(artifact.manifest.window_seconds, count)
            _call(encoder, windows)()
            seconds[precision, count] = timed({precision: _call(encoder, windows)}, rounds)[precision]
        peaks[precision] = torch.cuda.max_memory_allocated()
        del encoder
    for count in (1, BATCH):
        row = Row(name, "bf16 / fp32, GPU", 0, count, seconds["fp32", count], seconds["bf16", count], BF16_GOAL)
        print(row.line(), flush=True)
    lower, exact = (peaks[precision] / 2**20 for precision in ("bf16", "fp32"))
    print(f"{name:12} peak memory {lower:.0f} of {exact:.0f} MiB: {lower / exact:.2f}, goal {MEMORY_GOAL}")


def write_large(folder: Path) -> Artifact:
    """Write an artifact of MuQ-large's size with random weights."""
    options = muq_options(MUQ_LARGE)
    state = build_muq(options).state_dict()
    tensors = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    manifest = Manifest("muq-1024", "muq/1", 1024, 24_000, 10.0, 10.0, "", config=options, precision="fp16")
    return write_artifact(folder, save(tensors), manifest)


def _call(encoder: ServedEncoder, windows: Float32Array) -> Call:
    return lambda: encoder.encode(windows)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    mini = open_artifact(MINI_FOLDER)
    windows = probe(mini.manifest)
    exact = encode_all(MiniEncoder(mini), windows)
    for precision in ("int8-dynamic", "int8-static"):
        lower = MiniEncoder(mini, 0, precision, calibration(mini.manifest) if "static" in precision else ())
        cosine = lowest_cosine(encode_all(lower, windows), exact)
        print(f"museed-mini in {precision}: lowest cosine to fp32 on the probe {cosine:.6f}")
    with tempfile.TemporaryDirectory(prefix="museed-bench-") as place:
        musicnn = import_wheel(Path(place) / "musicnn-msd")
        is_gpu = torch.cuda.is_available()
        large = write_large(Path(place) / "large") if is_gpu or options.large else None
        print(HEAD)
        for threads in sorted({1, cores}):
            on_cpu("museed-mini", mini, threads, options.rounds, is_compiled=options.compile)
            musicnn_on_cpu(musicnn, threads, options.rounds)
        if large is not None and options.large:
            on_cpu("MuQ-large", large, cores, 2, is_compiled=False)
        if is_gpu and large is not None:
            on_gpu("museed-mini", mini, options.rounds)
            on_gpu("MuQ-large", large, options.rounds)


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()
