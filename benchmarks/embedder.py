"""How much of the bare model does the embedder serve, how long does somebody wait, and what happens at overload?

Starts the real process, calls it from another one, and compares with the same model in a plain loop in the same run:
the figures are ratios. Where callers run beside it the model gets one core less.

Usage: python -m benchmarks.embedder [--encoder NAME] [--precision auto] [--seconds 8] [--rounds 3] [--soak-minutes 0]
    [--only PART]
"""

import argparse
import asyncio
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import grpc
import numpy as np
from numpy.typing import NDArray

from benchmarks.embedder_ import callers, parts
from benchmarks.embedder_.callers import Heard
from benchmarks.embedder_.service import Service, running_service
from museed.embedder.v1 import embedder_pb2
from services.chassis.blobs import open_blob_store
from services.embedder.model import Encoder

CORES = len(os.sched_getaffinity(0))
CALLERS = 8
BATCH_SECONDS = 80
_REPEATED_WINDOWS = 45
_LOADING_S = 4
_WARM_UP_S = 4
PCM = embedder_pb2.AUDIO_ENCODING_PCM_F32LE
FILE = embedder_pb2.AUDIO_ENCODING_UNSPECIFIED


class Row(NamedTuple):
    """One line of the table; `goal` says what it should be."""

    what: str
    figure: str
    goal: str = ""


class Run(NamedTuple):
    """What all parts of the benchmark are given."""

    encoder: str
    precision: str
    seconds: float
    rounds: int
    soak_minutes: float
    loads: ProcessPoolExecutor


def samples_in(run: Run) -> list[Row]:
    """Samples at the model's rate from concurrent callers, against the model in a loop over ready windows."""
    threads = max(1, CORES - 1)
    bare = parts.make_encoder(run.encoder, run.precision, threads)
    clip = parts.make_clip(bare)
    # Chosen once: the highest of several measurements would be high by chance, too.
    best = parts.best_batch(bare, clip.windows, run.seconds)
    ratios = []
    with running_service(
        encoder=run.encoder, precision=run.precision, model_threads=threads, max_batch_seconds=BATCH_SECONDS
    ) as service:
        for _ in range(run.rounds):
            before = parts.windows_per_second(bare, clip.windows, best, run.seconds / 2)
            heard = run.loads.submit(
                callers.embed_in_turn, service.address, service.user_token, clip.samples, PCM, CALLERS, run.seconds
            ).result()
            _check(heard)
            after = parts.windows_per_second(bare, clip.windows, best, run.seconds / 2)
            ratios.append(len(heard.served_s) * len(clip.windows) / heard.seconds / ((before + after) / 2))
    return [
        Row(f"samples, {CALLERS} callers: served / bare model (best batch {best})", _ratios(ratios), "≥ 0.95"),
        Row("embedder ready after its start", f"{service.ready_s:.1f} s", "≤ 3 s"),
    ]


def files_in_bulk(run: Run) -> list[Row]:
    """Encoded files by one stream of EmbedBatch, against the core-seconds of the parts: clips, and whole tracks."""
    bare = parts.make_encoder(run.encoder, run.precision, 1)
    return [*_in_bulk(run, bare, "30-s clips", 30), *_in_bulk(run, bare, "4-minute tracks", 240)]


def _in_bulk(run: Run, bare: Encoder, name: str, length_s: float) -> list[Row]:
    clip = parts.make_clip(bare, length_s)
    shares, plain_shares, work_shares, script_shares = [], [], [], []
    with running_service(encoder=run.encoder, precision=run.precision, max_batch_seconds=BATCH_SECONDS) as service:
        digest = _put(service, clip.file)
        for _ in range(run.rounds):
            before = _parts_of(clip, bare)
            with _busy(service, digest, 3 * run.seconds + _WARM_UP_S):
                began, heard_s, worked_s = time.perf_counter(), service.encoded_s(), service.cpu_s()
                time.sleep(2 * run.seconds)
                taken = time.perf_counter() - began
                served = (service.encoded_s() - heard_s) / length_s / taken
                work = (service.cpu_s() - worked_s) / taken
            alone = (before + _parts_of(clip, bare)) / 2
            work_shares.append(served * alone.sum() / work)
            script_shares.append(served / _scripts_per_second(run, length_s))
            shares.append(served / CORES * alone.sum())
            plain_shares.append(served / CORES * (alone.sum() - alone[1]))
    figures = ", ".join(f"{1000 * part:.0f}" for part in alone)
    return [
        Row(f"Ogg, {name} alone: decode + resample, descriptors, forward", f"{figures} core-ms"),
        Row("  in bulk: served × those / cores", _ratios(shares), "≥ 0.92"),
        Row("  served / one plain script a core, side by side", _ratios(script_shares)),
        Row("  descriptors not counted as work", _ratios(plain_shares)),
        Row("  those / core-seconds of the service, whoever else had the cores", _ratios(work_shares)),
    ]


def _scripts_per_second(run: Run, length_s: float) -> float:
    """Return the clips a second of as many plain scripts as there are cores: nothing is quicker on this machine."""
    with ProcessPoolExecutor(CORES, multiprocessing.get_context("spawn")) as scripts:
        until = time.time() + _LOADING_S + run.seconds
        rates = [scripts.submit(parts.script_rate, run.encoder, run.precision, length_s, until) for _ in range(CORES)]
        return sum(rate.result() for rate in rates)


def _parts_of(clip: parts.Clip, encoder: Encoder) -> NDArray[np.float64]:
    """Return the core-seconds of decoding, of descriptors and of the model, each by itself."""
    repeats = max(3, _REPEATED_WINDOWS // len(clip.windows))
    decoding = parts.cost(lambda: parts.decode_clip(clip, encoder, describe=False), repeats).cpu_s
    both = parts.cost(lambda: parts.decode_clip(clip, encoder, describe=True), repeats).cpu_s
    forward = parts.cost(lambda: encoder.encode(clip.windows), repeats).cpu_s
    return np.array([decoding, both - decoding, forward])


def somebody_waits(run: Run) -> list[Row]:
    """One caller with a 30-s file, alone and beside bulk work that keeps all cores busy."""
    bare = parts.make_encoder(run.encoder, run.precision, CORES)
    clip = parts.make_clip(bare)

    def script() -> None:
        bare.encode(np.stack(parts.decode_clip(clip, bare, describe=True)[: len(clip.windows)]))

    with running_service(encoder=run.encoder, precision=run.precision, max_batch_seconds=BATCH_SECONDS) as service:
        digest = _put(service, clip.file)

        def wait(seconds: float) -> list[float]:
            arguments = (service.address, service.user_token, clip.file, FILE, 1, seconds)
            heard = run.loads.submit(callers.embed_in_turn, *arguments).result()
            _check(heard)
            return heard.served_s

        ratios = []
        for _ in range(run.rounds):
            alone = parts.cost(script, 7).wall_s
            ratios.append(statistics.median(wait(run.seconds / 2)) / alone)
        idle_s = wait(2 * run.seconds)
        batch = np.concatenate([clip.windows] * CALLERS)[: BATCH_SECONDS // 10]
        batch_s = parts.cost(lambda: bare.encode(batch), 5).wall_s
        with _busy(service, digest, 2.5 * run.seconds + _WARM_UP_S):
            busy_s = wait(2 * run.seconds)
    allowed_s = 2 * _p99(idle_s) + batch_s
    return [
        Row("one 30-s file, nobody else: served / one script", _ratios(ratios), "≤ 1.15"),
        Row("  p99, nobody else", f"{1000 * _p99(idle_s):.0f} ms of {len(idle_s)}"),
        Row("  one batch of the model", f"{1000 * batch_s:.0f} ms"),
        Row(
            "  p99 beside bulk work / (2 × p99 alone + one batch)",
            f"{_p99(busy_s) / allowed_s:.2f} ({1000 * _p99(busy_s):.0f} ms of {len(busy_s)})",
            "≤ 1",
        ),
    ]


def overload(run: Run) -> list[Row]:
    """Calls at a rate that does not depend on the answers, up to five times what can be served."""
    threads = max(1, CORES - 1)
    clip = parts.make_clip(parts.make_encoder(run.encoder, run.precision, threads))
    rows = []
    with running_service(
        encoder=run.encoder, precision=run.precision, model_threads=threads, max_batch_seconds=BATCH_SECONDS
    ) as service:
        in_turn = run.loads.submit(
            callers.embed_in_turn, service.address, service.user_token, clip.samples, PCM, CALLERS, run.seconds
        ).result()
        peak = len(in_turn.served_s) / in_turn.seconds

        def at(times: float, seconds: float) -> Heard:
            arguments = (service.address, service.user_token, clip.samples, PCM, times * peak, seconds, 20.0)
            return run.loads.submit(callers.embed_at_rate, *arguments).result()

        rows.append(Row("peak: 30-s clips served, callers in turn", f"{peak:.1f} / s"))
        made = _generator_alone(run, clip.samples, 10 * peak)
        rows.append(Row("callers alone, asked for ten times that", f"{made / peak:.1f} ×", "10 ×"))
        for times in (0.5, 1, 2, 5):
            heard = at(times, run.seconds)
            rows.append(Row(f"at {times:g} ×: goodput / peak", _goodput(heard, peak), "≥ 0.90" if times > 1 else ""))
        refused = sorted(heard.refused_s)
        rows.append(
            Row(
                "  refusals at 5 ×, p95",
                f"{1000 * refused[int(0.95 * len(refused))]:.0f} ms of {len(refused)}",
                "< 50 ms",
            )
        )
        rows.append(Row("  of them with a retry hint", f"{heard.hints / len(refused):.0%}", "100%"))
        if run.soak_minutes:
            rows.append(_soak(service, lambda: at(5, run.seconds), 60 * run.soak_minutes))
    return rows


def _soak(service: Service, load: Callable[[], Heard], seconds: float) -> Row:
    load()  # what is allocated once
    found = [service.memory_mib()]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        load()
        found.append(service.memory_mib())
    middle = len(found) // 2
    before, after = max(found[:middle]), max(found[middle:])
    return Row(
        f"memory at 5 × for {seconds / 60:g} min: most in the second half / in the first",
        f"{after / before:.3f} ({after:.0f} MiB)",
        "≤ 1.02",
    )


def _generator_alone(run: Run, samples: bytes, per_second: float) -> float:
    """Return how many calls a second the callers make when each is refused at once."""

    def refuse(request_iterator: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        return b""

    handler = grpc.method_handlers_generic_handler(
        "museed.embedder.v1.EmbedderService", {"Embed": grpc.stream_unary_rpc_method_handler(refuse)}
    )
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((handler,))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        heard = run.loads.submit(
            callers.embed_at_rate, address, "", samples, PCM, per_second, run.seconds, 20.0
        ).result()
    finally:
        server.stop(None)
    return heard.sent / heard.seconds


@contextmanager
def _busy(service: Service, digest: bytes, seconds: float) -> Iterator[None]:
    """Keep the service busy with bulk work from a process of its own, and wait until it is."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as bulk:
        arguments = (service.address, service.job_token, [digest], seconds, 1)
        work: Future[Heard] = bulk.submit(callers.embed_batch, *arguments)
        time.sleep(_WARM_UP_S)
        yield
        if work.done():
            raise RuntimeError("the bulk work ended before the callers did")
        _check(work.result())


def _put(service: Service, file: bytes) -> bytes:
    return asyncio.run(open_blob_store(service.blob_store_url).put(file))


def _check(heard: Heard) -> None:
    if heard.other or heard.refused_s or not heard.served_s:
        raise RuntimeError(f"calls failed: {heard.other}, {len(heard.refused_s)} refused, {len(heard.served_s)} served")


def _p99(latencies_s: list[float]) -> float:
    return float(np.percentile(latencies_s, 99))


def _goodput(heard: Heard, peak: float) -> str:
    # What was still at work when the last call was made was served, too: it is counted over its own time.
    others = f", {heard.other}" if heard.other else ""
    return f"{len(heard.served_s) / heard.ended_s / peak:.2f}{others}"


def _ratios(found: list[float]) -> str:
    spread = f" ({min(found):.2f} to {max(found):.2f})" if len(found) > 1 else ""
    return f"{statistics.median(found):.2f}{spread}"


PARTS = {"samples": samples_in, "bulk": files_in_bulk, "waiting": somebody_waits, "overload": overload}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="auto")
    parser.add_argument("--precision", default="auto", help="of the service and of the bare model")
    parser.add_argument("--seconds", type=float, default=8, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--soak-minutes", type=float, default=0, help="how long memory is watched at overload")
    parser.add_argument("--only", choices=PARTS)
    chosen = parser.parse_args()
    served = parts.make_encoder(chosen.encoder, chosen.precision, 1)
    print(f"{CORES} cores, {served.manifest.encoder_id} in {served.precision} on {served.runtime}", flush=True)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as loads:
        run = Run(chosen.encoder, chosen.precision, chosen.seconds, chosen.rounds, chosen.soak_minutes, loads)
        for name, part in PARTS.items():
            if chosen.only in (None, name):
                for row in part(run):
                    print(f"{row.what:<75} {row.figure:>28} {row.goal:>10}", flush=True)


if __name__ == "__main__":
    main()
