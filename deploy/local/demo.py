"""The demo: from nothing to two playlists, each step told with its time; a check of the whole mesh on the way."""

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from rich.progress import Progress

from clients.python.operations import JobStatus, SeedInput
from deploy.local import account
from deploy.local.client import ClientError, Credentials, GatewayClient
from deploy.local.files import Candidate, Skipped, read_all, scan
from deploy.local.ingest import IngestReport
from deploy.local.mesh import running_mesh
from deploy.local.playlists import make_playlist, seed_input
from deploy.local.progress import COLUMNS, ingest_with_progress, show_ingest
from deploy.local.settings import LocalSettings
from deploy.local.state import State
from deploy.local.tables import command, console, job_line, show_playlist, show_urls

_LENGTH = 12
_FIRST_BYTES = 64 * 1024
_LISTENER = "listener"


class _Steps:
    """Numbers the steps, says what each does and how long it took."""

    def __init__(self) -> None:
        self._number = 0
        self.started = time.monotonic()

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        self._number += 1
        console.print(f"\n{self._number}. {title}", style="bold", soft_wrap=True)
        started = time.monotonic()
        yield
        console.print(f"   {time.monotonic() - started:.1f} s", style="dim")


async def run_demo(music: Path | None, state_folder: Path) -> None:
    """Run the demo and stop everything again.

    Args:
        music: Folder of music; None renders a library, once.
        state_folder: The demo keeps its libraries and meshes below it; a second run goes on from there.

    Raises:
        ClientError: A step failed; the text says which part and why.
        StartError: The mesh did not start.
    """
    steps = _Steps()
    if music is None:
        with steps.step("Rendering a small library of public-domain music (kept for the next time)"):
            library, upload = await asyncio.to_thread(_rendered, state_folder / "music")
        state = _state(state_folder, library)
    else:
        with steps.step(f"Choosing a track of {music} that stays out of the library, to be uploaded as a seed"):
            library = await asyncio.to_thread(_folder, music)
            state = _state(state_folder, library)
            upload = await asyncio.to_thread(_held_out, library, state)
    console.print(f"   library: {library}\n   upload:  {upload}", soft_wrap=True)
    settings = LocalSettings(
        state=state.folder, gateway_port=0, social_port=0, embedder_port=0, retriever_port=0, nats_port=0
    )
    async with contextlib.AsyncExitStack() as stack:
        with steps.step("Starting PostgreSQL, NATS, embedder, retriever, social and gateway"):
            mesh = await stack.enter_async_context(running_mesh(settings, _announce))
        await asyncio.to_thread(_use, steps, mesh.ports.url, state, library, upload)
        console.print("\nStopping the mesh …")
    console.print(f"Done in {time.monotonic() - steps.started:.1f} s. Go on with your own music:\n")
    console.print("  make run                                 # serves until Ctrl-C, with GraphiQL")
    console.print(f"  {command('ingest folder ~/Music')}   # in another terminal")
    console.print(f"  {command('playlist --seed FILE')}    # any audio file, or a track id")


def _rendered(folder: Path) -> tuple[Path, Path]:
    from deploy.local.demo_library import render_library

    with Progress(*COLUMNS, console=console) as progress:
        task = progress.add_task("rendering", total=None, rate="")
        seeds = render_library(folder, lambda _, done, total: progress.update(task, completed=done, total=total))
        progress.remove_task(task)
    return folder / "library", seeds[0]


def _state(folder: Path, library: Path) -> State:
    """Open the state of this library's mesh: one each, so that a second run finds everything done."""
    return State.open(folder / f"mesh-{hashlib.sha256(os.fsencode(library)).hexdigest()[:8]}")


def _folder(music: Path) -> Path:
    library = music.expanduser().resolve()
    if not library.is_dir():
        raise ClientError(f"{library} is not a folder", "UNREADABLE")
    return library


def _held_out(library: Path, state: State) -> Path:
    """Choose the middle one of the tracks that are long enough, by path, and keep to it the next time."""
    remembered = state.read_json("upload.json")
    if remembered is not None and (library / remembered).is_file():
        return library / str(remembered)
    candidates = [item for item in scan(library) if isinstance(item, Candidate)]
    middle = len(candidates) // 2
    order = candidates[middle:] + candidates[:middle]
    with contextlib.closing(read_all(order)) as results:
        for candidate, result in zip(order, results, strict=True):
            if not isinstance(result, Skipped):
                state.write_json("upload.json", candidate.relative_path)
                return library / candidate.relative_path
    raise ClientError(f"{library} holds no audio file of 30 s or more", "NO_MUSIC")


def _use(steps: _Steps, url: str, state: State, library: Path, upload: Path) -> None:
    with GatewayClient(url, account.operator(state)) as operator:
        with steps.step(f"Ingesting {library}"):
            exclude = frozenset({str(upload.relative_to(library))}) if upload.is_relative_to(library) else frozenset()
            report = ingest_with_progress(operator, library, exclude)
            show_ingest(report, state / "left-out.jsonl")
            _require_tracks(report)
    listener = Credentials(_LISTENER, state.secret("listener"), sign_up_email="listener@museed.localhost")
    with GatewayClient(url, listener) as client:
        with steps.step("Making an account for a listener"):
            client.enter()
        with steps.step(f"Uploading {upload.name} as a seed, and asking for what sounds like it"):
            playlist = make_playlist(client, [seed_input(client, str(upload))], _tell, length=_LENGTH)
            show_playlist(playlist)
            console.print("   Each can be played for 15 minutes, while this mesh runs:")
            show_urls(playlist)
        with steps.step("Fetching the first 64 KiB of the first track by a range request"):
            response = client.read_range(playlist.entries[0].track.stream_url, 0, _FIRST_BYTES - 1)
            kind, extent = response.headers["Content-Type"], response.headers["Content-Range"]
            console.print(f"   {len(response.content)} bytes of {kind}, {extent}")
        first = playlist.entries[0].track
        with steps.step(f"Asking for a playlist from a track of the library: {first.title}"):
            started = time.monotonic()
            second = make_playlist(client, [SeedInput(track_id=first.track_id)], _tell, length=_LENGTH)
            asked_ms = 1000 * (time.monotonic() - started)
            show_playlist(second)
            console.print(f"   from the question to the saved and fetched playlist: {asked_ms:.0f} ms")


def _announce(text: str) -> None:
    console.print(f"   {text}", soft_wrap=True)


def _tell(job: JobStatus) -> None:
    console.print(f"   {job_line(job)}")


def _require_tracks(report: IngestReport) -> None:
    if report.indexed < 2:
        raise ClientError(f"only {report.indexed} tracks could be used; a playlist needs some more", "NO_MUSIC")
