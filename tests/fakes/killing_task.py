"""A task of the bench's workers that dies as a decoder does that reads where it must not."""

import os
import signal

from services.embedder.model import Encoder
from training.evaluation.store import VectorStore
from training.evaluation.workers import Work, embed_track


def kill_at_three(encoder: Encoder, store: VectorStore, work: Work) -> None:
    """Embed a file, unless it is called 3.wav."""
    if work.path.name == "3.wav":
        os.kill(os.getpid(), signal.SIGKILL)
    embed_track(encoder, store, work)
