"""Embeds the real music of a corpus window by window, as the embedder would, without the embedder."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from services.embedder.model import unit
from training.corpus import Corpus, Kind, Take
from training.network import Network
from training.progress import Progress

Float32Array = NDArray[np.float32]

WINDOW_SECONDS = 10
_BATCH = 24


@dataclass(frozen=True, slots=True)
class EmbeddedFile:
    """A file of real music.

    Attributes:
        path: Relative to the music folder.
        group: Its soundtrack.
        windows: Unit vectors of its windows, shape (windows, dim), float32.
    """

    path: str
    group: str
    windows: Float32Array


def files_of(takes: Sequence[Take]) -> dict[str, list[Take]]:
    """Gather the chapters of each file that hold a whole window, in the order of time."""
    files: dict[str, list[Take]] = {}
    for take in takes:
        if take.kind is Kind.ORIGINAL and take.seconds >= WINDOW_SECONDS:
            files.setdefault(take.source.rpartition("@")[0], []).append(take)
    return {path: sorted(chapters, key=_start_s) for path, chapters in sorted(files.items())}


def window_starts(take: Take) -> range:
    """Return where the windows of a take begin, in seconds."""
    return range(0, int(take.seconds) - WINDOW_SECONDS + 1, WINDOW_SECONDS)


def embed_files(
    network: Network,
    corpus: Corpus,
    takes: Sequence[Take],
    head: Float32Array | None = None,
    bias: Float32Array | None = None,
) -> list[EmbeddedFile]:
    """Embed the real music among takes; blocks for as long as all its windows take.

    Args:
        network: In evaluation.
        corpus: The store.
        takes: Of the store; those of real music are embedded, file by file.
        head: Of the pooled output, shape (dim, encoder_dim); None takes the pooled output as it is.
        bias: Shape (dim,).
    """
    files = []
    chapters_of = files_of(takes)
    with Progress("measuring", len(chapters_of), "files") as progress:
        for path, chapters in chapters_of.items():
            mels = [
                corpus.read(take.take_id, start_s=start, seconds=WINDOW_SECONDS).mel.astype(np.float32)
                for take in chapters
                for start in window_starts(take)
            ]
            pooled = np.concatenate([_pooled(network, mels[at : at + _BATCH]) for at in range(0, len(mels), _BATCH)])
            vectors = pooled if head is None else pooled @ head.T + (0 if bias is None else bias)
            files.append(EmbeddedFile(path, chapters[0].group, unit(vectors)))
            progress.advance(path)
    return files


def _pooled(network: Network, mels: Sequence[Float32Array]) -> Float32Array:
    with torch.no_grad():
        found: Float32Array = network(torch.from_numpy(np.stack(mels))).pooled.numpy()
    return found


def _start_s(take: Take) -> float:
    return float(take.source.rpartition("@")[2].partition("+")[0])
