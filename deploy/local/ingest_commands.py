"""`museed ingest`: folders, manifests, FMA and Jamendo."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from deploy.local import account
from deploy.local.client import ClientError
from deploy.local.encoder_commands import DEFAULT_STATE, StateOption
from deploy.local.files import MIN_DURATION_S
from deploy.local.ingest_ledger import LEDGER
from deploy.local.jamendo_download import METADATA
from deploy.local.progress import ingest_rows_with_progress, ingest_with_progress, show_ingest
from deploy.local.trouble import told_errors
from services.chassis.errors import DomainError
from services.social.sources import fma, jamendo, manifest
from services.social.sources.rows import LeftOut, SourceTrack

app = typer.Typer(no_args_is_help=True, help="Bring music into the library. Every command may be stopped and repeated.")

ReportOption = Annotated[
    Path | None, typer.Option(help="Write every file that was changed or left out here, as JSON Lines.")
]
Audio = Annotated[Path, typer.Argument(help="Folder of the audio; it is read in place, and must stay there.")]
# The clips of 30 s of its smaller subsets are some hundredths shorter.
FMA_CLIP_S = 29.0
_METADATA_FOLDERS = (".", "fma_metadata", "../fma_metadata")


class Subset(StrEnum):
    """Subsets of FMA; each holds all before it."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
    FULL = "full"


@app.command("folder")
def folder_command(
    folder: Annotated[Path, typer.Argument(help="Folder of music; it is read in place, and must stay there.")],
    state: StateOption = DEFAULT_STATE,
    report: ReportOption = None,
) -> None:
    """Bring every track of a folder into the library.

    What did not change since the last time is not opened again. A file that was moved keeps its track, with
    everybody's playlists; one that is gone is marked missing.
    """
    with told_errors(), account.connect(state) as client:
        _check_report(report)
        show_ingest(ingest_with_progress(client, folder, ledger=_ledger(state)), report)


@app.command("manifest")
def manifest_command(
    file: Annotated[Path, typer.Argument(help="JSON Lines, one track a line: path, title, artist, album, genre, …")],
    root: Annotated[
        Path | None, typer.Option(help="Folder that the paths are below; else the manifest's own, else where it lies.")
    ] = None,
    state: StateOption = DEFAULT_STATE,
    report: ReportOption = None,
) -> None:
    """Bring the tracks in that a manifest names.

    Its first line may be {"manifest": 1, "source": "melon", "root": "/srv/music", "genres": {"Ballad": "Pop"}}: a map
    of its own from its genres to the 16.
    """
    with _opened(file) as stream:
        read = manifest.read_manifest(stream)
        folder = root or (file.parent / read.head.root)
        _ingest(state, folder, read.rows, report)


@app.command("fma")
def fma_command(
    audio: Audio,
    metadata: Annotated[
        Path | None, typer.Option(help="Folder with tracks.csv and genres.csv; else it is looked for beside the audio.")
    ] = None,
    subset: Annotated[Subset, typer.Option(help="Each holds those before it.")] = Subset.FULL,
    state: StateOption = DEFAULT_STATE,
    report: ReportOption = None,
) -> None:
    """Bring the Free Music Archive's data set in: tracks.csv, genres.csv, audio at NNN/NNNNNN.mp3.

    Left out, and counted by reason: rows without title, artist or genre, audio that is missing or broken, and files
    with the very same audio as one before.
    """
    with told_errors():
        folder = metadata or _metadata_of(audio)
    with _opened(folder / "genres.csv") as stream:
        genres = fma.read_genres(stream)
    with _opened(folder / "tracks.csv") as stream:
        _ingest(state, audio, fma.read_tracks(stream, genres, subset.value), report, FMA_CLIP_S)


@app.command("jamendo")
def jamendo_command(
    audio: Audio,
    tsv: Annotated[
        Path | None, typer.Option(help="Of the MTG-Jamendo set, for example autotagging.tsv.", show_default=False)
    ] = None,
    meta: Annotated[Path | None, typer.Option(help="Its raw.meta.tsv: titles, artists, albums, years.")] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Answers of Jamendo's API, or one track a line.", show_default=False)
    ] = None,
    low: Annotated[bool, typer.Option("--low", help="The audio is the set's low-quality one: NN/ID.low.mp3.")] = False,
    state: StateOption = DEFAULT_STATE,
    report: ReportOption = None,
) -> None:
    """Bring Jamendo's tracks in, by the TSV files of the MTG set or by the JSON of Jamendo's API.

    Without --tsv and --json the folder's own jamendo_metadata.jsonl is taken, which `museed jamendo download` writes.
    """
    with told_errors():
        if tsv is not None and json is not None:
            raise ClientError("give either --tsv or --json", "OPTIONS_CONFLICT")
        if meta is not None and tsv is None:
            raise ClientError("--meta goes with --tsv", "OPTIONS_CONFLICT")
    if tsv is None:
        with _opened(json or audio / METADATA) as stream:
            _ingest(state, audio, jamendo.read_json(stream), report)
        return
    names = None
    if meta is not None:
        with _opened(meta) as stream:
            names = jamendo.read_meta(stream)
    with _opened(tsv) as stream:
        _ingest(state, audio, jamendo.read_tsv(stream, names, is_low=low), report)


def _ingest(
    state: Path,
    folder: Path,
    rows: Iterable[SourceTrack | LeftOut],
    report: Path | None,
    min_duration_s: float = MIN_DURATION_S,
) -> None:
    with account.connect(state) as client:
        _check_report(report)
        found = ingest_rows_with_progress(client, folder, rows, _ledger(state), min_duration_s)
        show_ingest(found, report, "rows")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a source for reading; what is wrong with it, and all else that is expected, is told in one sentence."""
    with told_errors(), told_refusals(path), path.expanduser().open("rb") as stream:
        yield stream


@contextlib.contextmanager
def told_refusals(path: Path) -> Iterator[None]:
    """Tell a parser's refusals as those of the gateway are told, with the file."""
    try:
        yield
    except DomainError as error:
        raise ClientError(f"{path}: {error.message}", error.reason) from error


def _check_report(report: Path | None) -> None:
    if report is not None:
        report.touch()  # a report that cannot be written is told before the work, not after it


def _ledger(state: Path) -> Path | None:
    """Return where readings are remembered; a mesh that runs elsewhere has no folder here."""
    folder = state.expanduser()
    return folder / LEDGER if folder.is_dir() and os.access(folder, os.W_OK) else None


def _metadata_of(audio: Path) -> Path:
    for name in _METADATA_FOLDERS:
        folder = audio.expanduser() / name
        if (folder / "tracks.csv").exists():
            return folder
    looked = ", ".join(str(audio / name) for name in _METADATA_FOLDERS)
    raise ClientError(f"no tracks.csv in {looked}: name its folder by --metadata", "UNREADABLE")
