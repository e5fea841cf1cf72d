"""Do playlists of a running mesh keep to the family of their seed, as the bench's table says of the encoder?

Starts a mesh on a folder of music that the catalogue knows, lets it hear every piece, and asks for a playlist of 25
from each labelled one. Of each playlist two shares are told: of the five most similar labelled entries from other
packages, which is what the table's P@5 counts, and of all labelled entries. Embedding is kept in the state folder, so
that a second run takes seconds.

Usage: python -m benchmarks.family MUSIC [ENCODER [STATE]]
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TypeVar

from clients.python.operations import RegisterTracksSuccess, SeedInput
from clients.python.wire import Json, Operation
from deploy.local import account
from deploy.local.client import Credentials, GatewayClient
from deploy.local.mesh import running_mesh
from deploy.local.playlists import Entry, make_playlist
from deploy.local.progress import ingest_with_progress
from deploy.local.settings import LocalSettings
from deploy.local.state import State
from training.catalogue import FAMILIES, Track, read_catalogue
from training.evaluation.tunes import find_tunes, kept_tracks
from training.progress import Progress

_LENGTH = 25
T = TypeVar("T")
_NEAREST = 5


class NotingClient(GatewayClient):
    """A client that notes which track became of which file."""

    def __init__(self, url: str, credentials: Credentials | None) -> None:
        super().__init__(url, credentials)
        self.track_ids: dict[str, str] = {}

    def execute(self, operation: Operation[T], variables: Json) -> T:
        """Run an operation; of registrations, the ids are noted."""
        answer = super().execute(operation, variables)
        if isinstance(answer, RegisterTracksSuccess):
            for file, track in zip(variables["input"]["tracks"], answer.tracks, strict=True):
                self.track_ids[file["relativePath"]] = track.track_id or ""
        return answer


def shares(seed: Track, entries: Sequence[Entry], known: dict[str, Track]) -> tuple[float, float] | None:
    """Return which share of the nearest five, and of all, is of the seed's family; None without five to count.

    Args:
        seed: A labelled piece.
        entries: Of its playlist, as the gateway answers.
        known: Labelled pieces by track_id.
    """
    labelled = [(entry.similarity or 0.0, known[entry.track.track_id]) for entry in entries
                if entry.track.track_id in known]  # fmt: skip
    others = sorted((pair for pair in labelled if pair[1].package != seed.package), key=lambda pair: -pair[0])
    if len(others) < _NEAREST:
        return None
    nearest = fmean(track.family == seed.family for _, track in others[:_NEAREST])
    return nearest, fmean(track.family == seed.family for _, track in labelled)


def measure(client: NotingClient) -> dict[str, list[tuple[float, float] | None]]:
    """Ask for a playlist from every labelled tune; return the shares by family."""
    kept = [track for track in kept_tracks(find_tunes(read_catalogue())) if track.is_labelled]
    seeds = [track for track in kept if track.path in client.track_ids]
    known = {client.track_ids[track.path]: track for track in seeds}
    found: dict[str, list[tuple[float, float] | None]] = {family: [] for family in FAMILIES}
    with Progress("asking", len(seeds), "playlists") as progress:
        for track_id, seed in known.items():
            playlist = make_playlist(client, [SeedInput(track_id=track_id)], lambda _: None, length=_LENGTH)
            found[seed.family].append(shares(seed, playlist.entries, known))
            progress.advance()
    return found


async def main(music: Path, encoder: str, state: Path) -> None:
    """Print one table."""
    settings = LocalSettings(
        state=state, encoder=encoder, gateway_port=0, social_port=0, embedder_port=0, retriever_port=0, nats_port=0
    )
    async with running_mesh(settings, lambda _: None) as mesh:
        with NotingClient(mesh.ports.url, account.operator(State.open(settings.state))) as client:
            await asyncio.to_thread(ingest_with_progress, client, music)
            found = await asyncio.to_thread(measure, client)
    print(f"{'playlists of ' + str(_LENGTH):16} {'seeds':>6} {'nearest 5':>10} {'all':>6} {'too few':>8}")
    for family, of_seeds in {**found, "over all": [one for some in found.values() for one in some]}.items():
        told = [one for one in of_seeds if one is not None]
        nearest, every = (fmean(one[at] for one in told) if told else float("nan") for at in (0, 1))
        print(f"{family:16} {len(told):6} {nearest:10.3f} {every:6.3f} {len(of_seeds) - len(told):8}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        print("Playlists by family: left out, it needs a folder of music: python -m benchmarks.family MUSIC")
        sys.exit()
    options = [*sys.argv[1:], *["", "auto", ".museed/benchmarks/family"][len(sys.argv) - 1 :]]
    asyncio.run(main(Path(options[0]), options[1], Path(options[2])))
