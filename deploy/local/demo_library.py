"""Renders the demo's library as tagged OGG files, once: what is there and up to date is left alone."""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Set
from concurrent.futures import as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deploy.local.demo_scores import LIBRARY, SEEDS, Piece
from deploy.local.worker_pool import worker_pool

# Part of every piece's digest: raise it when the same piece would sound otherwise.
_VERSION = 1
_MANIFEST = "manifest.json"
# libsndfile's Vorbis encoder overflows its stack when it is given a long recording in one write.
_WRITE_FRAMES = 16_384

# Digest and size in bytes of a rendered file, by its path below the destination.
Manifest = dict[str, dict[str, Any]]


def render_library(dest: Path, on_piece: Callable[[Piece, int, int], None], workers: int | None = None) -> list[Path]:
    """Render the demo's library below `dest/library` and its upload seeds below `dest/seeds`.

    Blocks: half a minute on two cores where nothing is there, milliseconds where everything is, and as long as another
    call for the same folder lasts. An interrupted call is taken up by the next one; files appear whole under their
    names or not at all. Samples, and so audio hashes, are the same every time; the serial number in an Ogg file is not.

    Args:
        dest: Made if missing. Files in it that this function did not write are left alone.
        on_piece: Told each piece that was rendered, how many of all are there now, and how many there will be.
        workers: Processes; None takes one per core.

    Returns:
        The seeds' paths. None of them is in the library.

    Raises:
        OSError: If the folder cannot be written.
    """
    wanted = {f"library/{piece.file_name}": piece for piece in LIBRARY}
    wanted |= {f"seeds/{piece.file_name}": piece for piece in SEEDS}
    dest.mkdir(parents=True, exist_ok=True)
    with (dest / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        manifest = _read_manifest(dest)
        missing = {name: piece for name, piece in wanted.items() if not _is_current(dest, name, piece, manifest)}
        if missing or manifest.keys() != wanted.keys():
            _clear(dest, manifest, wanted.keys())
            _render_missing(dest, missing, manifest, len(wanted), on_piece, workers)
    return [dest / name for name in wanted if name.startswith("seeds/")]


def _clear(dest: Path, manifest: Manifest, wanted: Set[str]) -> None:
    """Remove what an earlier set of pieces left, and what an interrupted call did."""
    for name in manifest.keys() - wanted:
        (dest / name).unlink(missing_ok=True)
        del manifest[name]
    _write_manifest(dest, manifest)
    for unfinished in dest.rglob("*.[0-9]*.part"):
        unfinished.unlink(missing_ok=True)


def _render_missing(
    dest: Path,
    missing: dict[str, Piece],
    manifest: Manifest,
    total: int,
    on_piece: Callable[[Piece, int, int], None],
    workers: int | None,
) -> None:
    done = total - len(missing)
    pool = worker_pool(workers)
    try:
        futures = {pool.submit(write_piece, piece, dest / name): name for name, piece in missing.items()}
        for future in as_completed(futures):
            name = futures[future]
            manifest[name] = {"digest": _digest(missing[name]), "size": future.result()}
            _write_manifest(dest, manifest)
            done += 1
            on_piece(missing[name], done, total)
    finally:
        pool.shutdown(cancel_futures=True)


def _is_current(dest: Path, name: str, piece: Piece, manifest: Manifest) -> bool:
    try:
        size = (dest / name).stat().st_size
    except OSError:
        return False
    return manifest.get(name) == {"digest": _digest(piece), "size": size}


def _digest(piece: Piece) -> str:
    return hashlib.sha256(json.dumps([_VERSION, asdict(piece)], sort_keys=True).encode()).hexdigest()


def _read_manifest(dest: Path) -> Manifest:
    try:
        found = json.loads((dest / _MANIFEST).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_manifest(dest: Path, manifest: Manifest) -> None:
    unfinished = dest / f"{_MANIFEST}.{os.getpid()}.part"
    unfinished.write_text(json.dumps(manifest, indent=1, sort_keys=True), "utf-8")
    unfinished.replace(dest / _MANIFEST)


def write_piece(piece: Piece, path: Path) -> int:
    """Render one piece to a tagged OGG Vorbis file. Blocks for about a second.

    Args:
        piece: What to render.
        path: Appears when it is whole; folders are made.

    Returns:
        Size of the file in bytes.
    """
    # Only a process that renders needs these, and they take longer to load than a finished library takes to check.
    import soundfile
    from mutagen.oggvorbis import OggVorbis

    from deploy.local.demo_synthesis import SAMPLE_RATE_HZ, render

    samples = render(piece)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with soundfile.SoundFile(unfinished, "w", SAMPLE_RATE_HZ, 2, format="OGG", subtype="VORBIS") as file:
            for start in range(0, len(samples), _WRITE_FRAMES):
                file.write(samples[start : start + _WRITE_FRAMES])
        tagged = OggVorbis(unfinished)
        tagged.update(_tags(piece))
        tagged.save()
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path.stat().st_size


def _tags(piece: Piece) -> dict[str, str]:
    tags = {
        "title": piece.title,
        "artist": piece.score.composer,
        "album": piece.style.album,
        "genre": piece.genre,
    }
    return tags | ({"date": str(piece.score.year)} if piece.score.year else {})
