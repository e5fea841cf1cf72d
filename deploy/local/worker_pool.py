"""Makes pools of child processes that end with their parent, however that ends, and may be limited in memory."""

import multiprocessing
import os
import resource
import signal
import threading
from concurrent.futures import ProcessPoolExecutor


def worker_pool(workers: int | None = None, memory_bytes: int | None = None) -> ProcessPoolExecutor:
    """Make a pool of processes that a Ctrl-C in the terminal ends without a word.

    Args:
        workers: Processes; None takes one per core.
        memory_bytes: What a process may take beyond what it holds at its start; None does not limit it. A process
            that wants more gets a MemoryError.
    """
    # Not forked: the caller may have threads.
    context = multiprocessing.get_context("forkserver")
    return ProcessPoolExecutor(
        workers or os.cpu_count() or 1, mp_context=context, initializer=_confine, initargs=(memory_bytes,)
    )


def _confine(memory_bytes: int | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Not PR_SET_PDEATHSIG: the process that forks lives as long as its children do.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if memory_bytes is None:
        return
    with open("/proc/self/statm", encoding="ascii") as statm:
        held = int(statm.read().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = held + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
