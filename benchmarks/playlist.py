"""How long is the way from the question to the saved playlist, and where does the time go?

Starts a mesh with a library of 64 short pieces that are rendered here, asks for playlists from library seeds over HTTP
as one client does, and compares with the floor: the same client asking the same gateway for nothing.

Usage: python -m benchmarks.playlist [ROUNDS]
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from deploy.local import account
from deploy.local.client import GatewayClient
from deploy.local.ingest import ingest_folder
from deploy.local.mesh import running_mesh
from deploy.local.playlists import fetch_playlist, search_tracks
from deploy.local.settings import LocalSettings
from deploy.local.state import State
from tests.e2e.conftest import Silent, render_library

_GENERATE = """mutation G($input: GeneratePlaylistInput!) { generatePlaylist(input: $input) {
  __typename ... on GeneratePlaylistSuccess { job { state playlistId } } ... on UserError { message code } } }"""
_WARM_UP_ROUNDS = 5


def timed_ms(rounds: int, call: Callable[[int], object]) -> list[float]:
    """Return how long each of `rounds` calls took after a few that are not counted, sorted, in ms."""
    for number in range(_WARM_UP_ROUNDS):
        call(number)
    taken = []
    for number in range(rounds):
        started = time.perf_counter()
        call(number)
        taken.append(1000 * (time.perf_counter() - started))
    return sorted(taken)


def measure(client: GatewayClient, rounds: int) -> dict[str, list[float]]:
    """Time each operation against a filled mesh."""
    tracks = [track.track_id for track in search_tracks(client, "", 50)]
    made: list[str] = []

    def generate(number: int) -> None:
        seeds = [{"trackId": tracks[number % len(tracks)]}]
        job = client.mutate(_GENERATE, {"seeds": seeds, "length": 25})["job"]
        assert job["state"] == "SUCCEEDED", job
        made.append(job["playlistId"])

    return {
        "ask for nothing (floor)": timed_ms(rounds, lambda _: client.query("{ __typename }")),
        "generate: mutation to saved playlist": timed_ms(rounds, generate),
        "fetch a 25-track playlist": timed_ms(rounds, lambda number: fetch_playlist(client, made[number])),
        "similar tracks of a track": timed_ms(
            rounds,
            lambda number: client.query(
                "query S($id: ID!) { similarTracks(trackId: $id) { nodes { title } } }",
                id=tracks[number % len(tracks)],
            ),
        ),
    }


async def main(rounds: int) -> None:
    """Print one table."""
    with tempfile.TemporaryDirectory(prefix="museed-bench-") as folder:
        library = await asyncio.to_thread(render_library, Path(folder) / "music", 8, 8)
        settings = LocalSettings(
            state=Path(folder) / "state", gateway_port=0, social_port=0, embedder_port=0, retriever_port=0, nats_port=0
        )
        async with running_mesh(settings, lambda _: None) as mesh:
            with GatewayClient(mesh.ports.url, account.operator(State.open(settings.state))) as client:
                await asyncio.to_thread(ingest_folder, client, library, Silent())
                results = await asyncio.to_thread(measure, client, rounds)
    floor = statistics.median(next(iter(results.values())))
    print(f"{'64 tracks, one client, ' + str(rounds) + ' rounds':40} {'p50 ms':>8} {'p95 ms':>8} {'× floor':>8}")
    for name, taken in results.items():
        middle, late = statistics.median(taken), taken[int(0.95 * (len(taken) - 1))]
        print(f"{name:40} {middle:8.1f} {late:8.1f} {middle / floor:8.1f}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
