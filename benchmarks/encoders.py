"""How long does each encoder take for a 10-s window, against MuQ-large in the same run, and how far from the bound?

All networks have random weights but those of musicnn and, where it is there, the museed-mini that ships. MuQ-large is
built from its published sizes and needs 1.5 GB of memory; nothing is fetched. Times say something as ratios only.

Usage: python -m benchmarks.encoders [ROUNDS]
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import torch
from torch.utils.flop_counter import FlopCounterMode

from services.embedder.artifact import Artifact, open_artifact
from services.embedder.choice import MINI_FOLDER, load_encoder
from services.embedder.mel import power_spectra
from services.embedder.mini import MiniEncoder
from services.embedder.mini_graph import HOP, N_FFT
from services.embedder.onnx_graph import Graph
from services.embedder.precision import lowest_cosine
from tests.fakes.mini import FULL, MiniInTorch, build_muq, muq_options, sounds, write_mini

GOAL = 0.03
MUQ_LARGE = {"encoder_dim": 1024, "encoder_depth": 12, "conv_dim": 512, "intermediate_size": 4096, "heads": 16}
_BATCH = 8
_SIDE = 2048
_LARGE = "MuQ-large, torch"
_IN_TORCH = "museed-mini, torch"
_MINI = "museed-mini, ONNX Runtime"
_OF_BATCH = f"  one of {_BATCH} windows"

Call = Callable[[], object]


class Cost(NamedTuple):
    """Seconds on the clock, and of all cores together."""

    wall_s: float
    cpu_s: float


def timed(calls: dict[str, Call], rounds: int) -> dict[str, Cost]:
    """Return the lowest cost of each call; the calls take turns, so that a busy machine is so to all of them."""
    taken: dict[str, list[Cost]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            began, worked = time.perf_counter(), time.process_time()
            call()
            taken[name].append(Cost(time.perf_counter() - began, time.process_time() - worked))
    return {name: Cost(*(min(column) for column in zip(*costs, strict=True))) for name, costs in taken.items()}


def count_gflop(call: Call) -> float:
    """Run a call and return torch's work in products and convolutions, in 10⁹ operations; 0 where torch has none."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 1e9


def peak_gflops() -> float:
    """Return what one core reaches in a product of float32 matrices, in 10⁹ operations in a second of its time.

    By ONNX Runtime: on AMD's processors torch's library leaves a third of it unused.
    """
    graph = Graph()
    graph.name_output(graph.add("MatMul", "a", "b"), "product")
    shape: list[str | int] = [_SIDE, _SIDE]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        graph.serialise("product", {"a": shape, "b": shape}, {"product": shape}), options
    )
    matrix = np.random.default_rng(0).random((_SIDE, _SIDE), np.float32)
    fastest = timed({"product": lambda: session.run(None, {"a": matrix, "b": matrix})}, 6)["product"]
    return 2 * _SIDE**3 / fastest.cpu_s / 1e9


def measure(folder: Path, artifact: Artifact, rounds: int) -> None:
    """Print one table of times."""
    mini, in_torch = MiniEncoder(artifact), MiniInTorch(artifact)
    musicnn = load_encoder("musicnn-msd", artifacts_folder=folder, muq_folder=None, threads=0)
    large = build_muq(muq_options(MUQ_LARGE)).eval()
    window, batch = sounds(10, 1), sounds(10, _BATCH)

    def run_large() -> None:
        with torch.no_grad():
            large(torch.from_numpy(window), output_hidden_states=False)

    calls: dict[str, Call] = {
        _LARGE: run_large,
        _IN_TORCH: lambda: in_torch.encode(window),
        _MINI: lambda: mini.encode(window),
        "  its spectra": lambda: power_spectra(window, N_FFT, HOP),
        _OF_BATCH: lambda: mini.encode(batch),
        "musicnn-msd, ONNX Runtime": lambda: musicnn.encode(window[:, : musicnn.manifest.window_samples]),
    }
    work = {name: count_gflop(call) for name, call in calls.items()}  # which warms up as well
    costs = timed(calls, rounds)
    costs[_OF_BATCH] = Cost(*(value / _BATCH for value in costs[_OF_BATCH]))
    peak = peak_gflops()
    work |= {_MINI: work[_IN_TORCH], _OF_BATCH: work[_IN_TORCH]}
    print(f"{len(os.sched_getaffinity(0))} cores of {peak:.0f} GFLOP/s; bound: operations of the network over that")
    print(f"{'10-s window, fp32':30} {'ms':>8} {'× large':>8} {'CPU ms':>8} {'× large':>8} {'bound':>7} {'× bound':>8}")
    for name, cost in costs.items():
        row = f"{name:30} {1000 * cost.wall_s:8.1f} {cost.wall_s / costs[_LARGE].wall_s:8.4f}"
        row += f" {1000 * cost.cpu_s:8.1f} {cost.cpu_s / costs[_LARGE].cpu_s:8.4f}"
        if work[name]:
            bound_s = work[name] / peak
            row += f" {1000 * bound_s:7.1f} {cost.cpu_s / bound_s:8.2f}"
        print(row)
    wall, cpu = (mine / of_large for mine, of_large in zip(costs[_MINI], costs[_LARGE], strict=True))
    print(f"goal: {GOAL} × the time of MuQ-large; museed-mini takes {wall:.4f} of it, {cpu:.4f} of its CPU time")
    if costs[_MINI].wall_s > 2 * costs[_MINI].cpu_s:
        print("the machine is busy with other things: times on the clock say little, CPU times hold")


def compare_precisions(folder: Path, halves: Artifact, rounds: int) -> None:
    """Print what lower precisions gain and cost; they count from a cosine of 0.999."""
    exact = MiniEncoder(write_mini(folder / "exact", FULL, dtype=torch.float32))
    windows = sounds(10, 4, seed=3)
    stored = lowest_cosine(MiniEncoder(halves).encode(windows).vectors, exact.encode(windows).vectors)
    print(f"stored in fp16, computed in fp32, random weights: lowest cosine to fp32 {stored:.6f}")
    trained = open_artifact(MINI_FOLDER) if MINI_FOLDER.is_dir() else halves
    full, eight = MiniEncoder(trained), MiniEncoder(trained, precision="int8-dynamic")
    cosine = lowest_cosine(eight.encode(windows).vectors, full.encode(windows).vectors)
    costs = timed({"fp32": lambda: full.encode(windows), "int8": lambda: eight.encode(windows)}, rounds)
    print(
        f"dynamic int8, {'random' if trained is halves else 'trained'} weights: lowest cosine to fp32"
        f" {cosine:.6f}, {costs['int8'].cpu_s / costs['fp32'].cpu_s:.2f} × its time"
    )


if __name__ == "__main__":
    repeated = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory(prefix="museed-bench-") as place:
        untrained = write_mini(Path(place) / "mini", FULL)
        measure(Path(place), untrained, repeated)
        compare_precisions(Path(place), untrained, repeated)
