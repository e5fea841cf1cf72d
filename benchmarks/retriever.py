"""How much of the bare engine does the retriever serve, and how do its answers and its neighbours' compare?

Starts the real process on a NATS of its own, calls it from another one, and compares with FAISS in this process and
with an RPC that only echoes, in the same run: the figures are ratios. The library is made of clustered vectors in the
shares of the genres that MUSEED was designed for; truth is brute force.

Usage: python -m benchmarks.retriever [--size 10000] [--kinds flat ivf-sq8] [--only PART] [--seconds 5] [--rounds 3]
    [--music FOLDER] [--million]
"""

import argparse
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.retrieval import calls, data, engines, million
from benchmarks.retrieval.changes import churn, fresh, merges
from benchmarks.retrieval.data import Library
from benchmarks.retrieval.run import K, Row, Run
from benchmarks.retrieval.served import CALLERS, CORES, served
from benchmarks.retrieval.service import Service, reading_s, restored, restoring_s, running_service
from museed.retriever.v1 import retriever_pb2
from services.retriever.live import threads

PLAYLIST_CALLERS = 16
QUERIES = 200
LENGTH = 25
EXACT = ("flat", "flat-fp16")


def playlists(run: Run) -> list[Row]:
    """From a seed to a finished playlist with all rules on, by one caller."""
    rows = []
    for kind in run.kinds:
        with running_service(run.library, index=kind) as service:
            requests = [_playlist(run.library, number) for number in range(QUERIES)]
            heard = run.call(service.address, calls.BUILD_PLAYLIST, service.signer.job_token(), requests, 1)
            alone = run.call(service.address, calls.SEARCH, "", run.searches(), 1)
            beside = _beside_playlists(run, service, requests)
        lengths = [len(retriever_pb2.BuildPlaylistResponse.FromString(each or b"").tracks) for each in heard.answers]
        goal = "≤ 100 ms" if kind in EXACT else "≤ 30 ms"
        rows.append(
            Row(
                f"{kind}: seed → {statistics.median(lengths):.0f} tracks, all rules on, p50 (p99)",
                f"{1e3 * heard.p50_s:.1f} ms ({1e3 * heard.p99_s():.0f} ms)",
                goal if len(run.library.tracks) == data.TRACKS else "",
            )
        )
        rows.append(
            Row(
                f"  Search p50 (p99) while {PLAYLIST_CALLERS} build playlists; alone {1e3 * alone.p50_s:.1f} ms",
                f"{1e3 * beside.p50_s:.1f} ms ({1e3 * beside.p99_s():.0f} ms)",
            )
        )
    return rows


def _beside_playlists(run: Run, service: Service, requests: list[bytes]) -> calls.Heard:
    """Let one caller search while others build playlists all the time."""
    token = service.signer.job_token()
    arguments = (service.address, calls.BUILD_PLAYLIST, token, requests, PLAYLIST_CALLERS, run.seconds + 2)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as others:
        building = others.submit(calls.call_in_turn, *arguments)
        time.sleep(1.5)
        heard = run.call(service.address, calls.SEARCH, "", run.searches()[:1], 1)
        building.result()
    return heard


def side_by_side(run: Run) -> list[Row]:
    """Engines at equal recall, in this process and over a socket."""
    measured: list[engines.Measured | str] = []
    own: list[engines.Measured] = []
    for kind in run.kinds:
        with running_service(run.library, index=kind) as service:
            requests = run.searches()
            found = run.rows_of(run.call(service.address, calls.SEARCH, "", requests, 1, 0))
            alone = run.call(service.address, calls.SEARCH, "", requests, 1)
            many = run.call(service.address, calls.SEARCH, "", requests, CALLERS)
            share = data.recall(found, run.expected)
            name = f"retriever {service.describe().kind}, gRPC"
            assert service.saved is not None  # it began with something
            place = {track.track_id: row for row, track in enumerate(run.library.tracks)}
            index = restored(service.saved.folder, kind)
            measured.append(engines.own(index, place, run.asked, run.expected, CORES))
            own.append(engines.Measured(name, "", share, alone.p50_s, many.per_second, service.ready_s, True))
    arguments = (run.library.vectors, run.asked, run.expected)
    measured += [engines.faiss_flat(*arguments, CORES), engines.faiss_ivf(*arguments, CORES)]
    measured += [engines.faiss_hnsw(*arguments, CORES), engines.usearch(*arguments, CORES)]
    measured.append(engines.milvus(run.library, run.asked, run.expected))
    postgres = engines.pgvector(*arguments, CALLERS, run.seconds)
    measured.append(postgres)
    rows = [Row("engine, its knob, recall@100, built in", f"p50, answers/s of {CALLERS}")]
    for each in (*own, *measured):
        if isinstance(each, str):
            rows.append(Row(f"  {each}", ""))
            continue
        goal, ratio = "", ""
        if isinstance(postgres, engines.Measured) and each is not postgres:
            ratio = f" = {each.per_second / postgres.per_second:.1f} × pgvector"
            is_ours = each.name.startswith("our ") and each.recall >= engines.WANTED_RECALL
            goal = "≥ 5 ×" if is_ours and "Milvus" not in each.name else ""
        effort = f", {each.effort}" if each.effort else ""
        what = f"  {each.name}{effort}, {each.recall:.4f}, {each.build_s:.0f} s"
        rows.append(Row(what, f"{1e3 * each.p50_s:.2f} ms, {each.per_second:.0f}/s{ratio}", goal))
    return rows


def start(run: Run) -> list[Row]:
    """Restoring a snapshot against reading and checksumming its file; memory against the codes."""
    rows = []
    with running_service(None) as service:
        empty_bytes, empty_s = service.anonymous_bytes(), service.ready_s
    for kind in run.kinds:
        with running_service(run.library, index=kind) as service:
            assert service.saved is not None  # it began with something
            plain_s = statistics.median(reading_s(service.saved.files) for _ in range(3))
            restored_s = statistics.median(restoring_s(service.saved.folder, kind) for _ in range(3))
            size = service.saved.size
            run.call(service.address, calls.SEARCH, "", run.searches(), 1, 0)
            described, anonymous = service.describe(), service.anonymous_bytes() - empty_bytes
            ready_s = service.ready_s
        codes = described.memory_bytes or run.library.vectors.nbytes
        rows += [
            Row(
                f"{kind}: first answer from a snapshot of {size / 2**20:.0f} MiB {restored_s:.2f} s"
                f" / reading and checksumming {plain_s:.2f} s",
                f"{restored_s / plain_s:.2f}",
                "≤ 2",
            ),
            Row("  the process is ready after its start; an empty one", f"{ready_s:.1f} s; {empty_s:.1f} s"),
            Row(
                f"  anonymous memory {anonymous / 2**20:.0f} MiB above empty / codes {codes / 2**20:.0f} MiB;"
                f" mapped {described.mapped_bytes / 2**20:.0f} MiB",
                f"{anonymous / codes:.2f}",
                "≤ 1.2",
            ),
        ]
    return rows


def _playlist(library: Library, number: int) -> bytes:
    """Ask for a playlist with every rule that there is."""
    generator = np.random.default_rng(number)
    seed, other, negative = (library.tracks[row].track_id for row in generator.choice(len(library.tracks), 3, False))
    request = retriever_pb2.BuildPlaylistRequest(
        seeds=[
            retriever_pb2.Seed(track_id=seed, weight=2),
            retriever_pb2.Seed(track_id=other, weight=0.3),
            retriever_pb2.Seed(track_id=negative, weight=-1),
        ],
        length=LENGTH,
        max_per_artist=2,
        include_seed=True,
        min_similarity=-0.9,
        exclude_track_ids=[library.tracks[row].track_id for row in range(100)],
        negative_penalty=0.5,
        weigh_agreement=True,
        artist_window=3,
        diversity=0.3,
        temperature=0.2,
        random_seed=number,
        arrangement=retriever_pb2.ARRANGEMENT_FLOW,
        hub_damping=0.2,
    )
    request.filter.blocked_artists.append("artist 0-0")
    request.filter.duration_seconds.min = 30
    request.filter.year.min = 1975
    return request.SerializeToString()


PARTS = {
    "served": served,
    "playlists": playlists,
    "engines": side_by_side,
    "fresh": fresh,
    "churn": churn,
    "merges": merges,
    "start": start,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=10_000, help=f"of the library; the documents' is {data.TRACKS}")
    parser.add_argument("--kinds", nargs="+", default=["flat", "ivf-sq8"])
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--music", type=Path, help="serve the windows of real music instead")
    parser.add_argument("--kept", type=Path, default=Path(".museed/evaluation"), help="vectors that evaluation keeps")
    parser.add_argument("--million", action="store_true", help="1,000,000 × 1024; name kinds with codes: 4 GB of disk")
    parser.add_argument("--only", choices=PARTS)
    chosen = parser.parse_args()
    # As the service has it: BLAS threads that wait would keep FAISS's from the cores.
    threads.use_in_this_process(1)
    if chosen.million:
        many = million.make(chosen.size if chosen.size > data.TRACKS else million.COUNT)
        library: Library = many
        asked = million.queries(many, QUERIES)
        expected = million.truth(many, asked, K)
        chosen.only = chosen.only or "served"
    else:
        library = data.real(chosen.music, chosen.kept) if chosen.music else data.clustered(chosen.size)
        asked = data.queries(library, QUERIES)
        expected = data.truth(library.vectors, asked, K)
    print(f"{CORES} cores, {library.name}", flush=True)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as loads:
        run = Run(library, asked, expected, chosen.kinds, chosen.seconds, chosen.rounds, loads)
        for name, part in PARTS.items():
            if chosen.only in (None, name):
                for row in part(run):
                    print(f"{row.what:<88} {row.figure:>34} {row.goal:>9}", flush=True)


if __name__ == "__main__":
    main()
