"""A task of the bench's workers that is in the middle of a file when it is stopped."""

import tempfile
import time
from pathlib import Path

from services.embedder.model import Encoder
from training.evaluation.store import VectorStore
from training.evaluation.workers import Work

PREFIX = "lingering-"
LINGERS_S = 600


def linger(encoder: Encoder, store: VectorStore, work: Work) -> None:
    """Be done with 0.wav as soon as another file is worked on; hold a temporary folder for minutes for any other."""
    if work.path.name == "0.wav":
        while not list(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")):
            time.sleep(0.05)
        return
    with tempfile.TemporaryDirectory(prefix=PREFIX):
        time.sleep(LINGERS_S)
