"""Embeds many files in a few processes, into a store; what cannot be embedded is listed, and nothing stops the rest."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import threadpoolctl

from services.embedder.errors import AudioError
from services.embedder.model import Encoder
from training.evaluation.baselines import embed_and_keep
from training.evaluation.encoders import EncoderChoice
from training.evaluation.store import VectorStore

PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Work:
    """A file to embed.

    Attributes:
        path: Of the file.
        digest: SHA-256 of the file, hex.
        key: What its vectors are kept under; where there are several, the last that is written.
    """

    path: Path
    digest: str
    key: str


Task = Callable[[Encoder, VectorStore, Work], None]
Ended = Callable[[Work, str | None], None]


@dataclass(frozen=True, slots=True)
class Failure:
    """A file without vectors, and why."""

    path: Path
    reason: str


def embed_all(
    choice: EncoderChoice,
    encoder_id: str,
    works: Iterable[Work],
    store: VectorStore,
    task: Task,
    done: Callable[[Work], None] = lambda work: None,
) -> list[Failure]:
    """Embed what the store lacks; blocks until all is done.

    Args:
        choice: The encoder.
        encoder_id: Of that encoder.
        works: Files; those that the store has are passed over.
        store: Where to.
        task: Embeds one file and writes under its key, in a worker: a function of a module, since it is pickled.
        done: Called after each file in this process, failed ones too.

    Returns:
        The files that could not be embedded, in the order of `works`.

    Raises:
        KeyboardInterrupt: Of Ctrl-C, once the workers are gone; what they had written is kept.
    """
    missing = [work for work in works if not store.has(encoder_id, work.key)]
    reasons: dict[str, str] = {}

    def ended(work: Work, reason: str | None) -> None:
        if reason is not None:
            reasons[work.key] = reason
        done(work)

    queue = deque(missing)
    while queue:
        # A file that kills its process takes the other's with it: each is tried once more, alone.
        for work in _run(choice, store, task, queue, ended):
            if _run(choice, store, task, deque([work]), ended):
                ended(work, "the process that decoded it died")
    return [Failure(work.path, reasons[work.key]) for work in missing if work.key in reasons]


def _run(choice: EncoderChoice, store: VectorStore, task: Task, queue: deque[Work], ended: Ended) -> list[Work]:
    """Take files from the queue until it is empty or a process dies; return those in flight then."""
    context = multiprocessing.get_context("spawn")
    running: dict[Future[str | None], Work] = {}
    processes = min(PROCESSES, len(queue))
    before = set(multiprocessing.active_children())
    with ProcessPoolExecutor(processes, context, _start, (choice, store, task)) as pool:
        try:
            while queue or running:
                while queue and len(running) < processes:
                    with _deaf_to_ctrl_c():
                        running[pool.submit(_embed, queue[0])] = queue[0]
                    queue.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    ended(running[future], future.result())
                    del running[future]
        except BrokenProcessPool:
            return list(running.values())
        except KeyboardInterrupt:
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
            raise  # and wait for them
    return []


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Hold Ctrl-C back for a moment; processes that are started meanwhile never get it: this one tells them to end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def embed_track(encoder: Encoder, store: VectorStore, work: Work) -> None:
    """Embed a whole file: a task of `embed_all`."""
    embed_and_keep(encoder, store, work.path, work.key)


@dataclass(frozen=True, slots=True)
class _Worker:
    """What a worker process has."""

    encoder: Encoder
    store: VectorStore
    task: Task


_workers: list[_Worker] = []


def _start(choice: EncoderChoice, store: VectorStore, task: Task) -> None:
    """Build this process's encoder: the processes share the cores, so each takes one."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"
    _workers.append(_Worker(choice.load(), store, task))
    threadpoolctl.threadpool_limits(1)
    # Raised where the task is, so that it removes what it has put into temporary folders.
    signal.signal(signal.SIGTERM, _end)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(1)


def _end_with_parent() -> None:
    """End this process when its parent is gone, which a killed parent cannot ask for."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _embed(work: Work) -> str | None:
    worker = _workers[0]
    try:
        worker.task(worker.encoder, worker.store, work)
    except (AudioError, OSError, MemoryError) as error:
        return f"{type(error).__name__}: {error}"
    return None
