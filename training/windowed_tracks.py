"""Gets the window vectors of a folder's music, by split; embeds what the bench's store lacks. Learns nothing."""

import os
from collections.abc import Sequence
from pathlib import Path

from services.embedder.artifact import Manifest
from training.catalogue import Split
from training.errors import ManifestInvalid
from training.evaluation.encoders import EncoderChoice
from training.evaluation.store import VectorStore, file_key
from training.evaluation.workers import Work, embed_all, embed_track
from training.manifest import Entry, list_music
from training.progress import Progress
from training.window_crops import WindowedTrack


def windowed_tracks(
    music: Path, choice: EncoderChoice, manifest: Manifest, store: VectorStore, splits: Sequence[Split]
) -> dict[Split, list[WindowedTrack]]:
    """Embed the music of some splits; blocks for up to hours where nothing is kept yet.

    Args:
        music: Folder of music.
        choice: The encoder, for worker processes.
        manifest: Of the encoder.
        store: Where window vectors are kept; what cannot be embedded is told and left out.
        splits: Which.

    Raises:
        ManifestInvalid: No music, or none to learn from.
    """
    listed = list_music(music)
    works = {entry: _work(music, entry) for split in splits for entry in listed.of(split)}
    missing = [work for work in works.values() if work and not store.has(manifest.encoder_id, work.key)]
    if missing:
        with Progress(f"embedding with {manifest.name}", len(missing), "files") as progress:
            failures = embed_all(
                choice, manifest.encoder_id, missing, store, embed_track, lambda work: progress.advance(work.path.name)
            )
        for failure in failures:
            print(f"Left out: {os.fspath(failure.path)}: {failure.reason}")
    found: dict[Split, list[WindowedTrack]] = {split: [] for split in splits}
    for entry, work in works.items():
        kept = store.read(manifest.encoder_id, work.key) if work else None
        if kept is not None:
            found[entry.split].append(WindowedTrack(entry.path, entry.group, kept.windows, kept.seconds))
    if not found.get(Split.TRAIN):
        raise ManifestInvalid(f"{music} has nothing to learn from: put a soundtrack of the train split into it")
    return found


def _work(music: Path, entry: Entry) -> Work | None:
    path = music / entry.path
    try:
        digest = file_key(path)
    except OSError:
        return None
    return Work(path, digest, digest)
