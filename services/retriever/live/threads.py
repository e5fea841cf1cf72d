"""Says how many threads numbers are crunched on, instead of leaving it to three libraries that each take all."""

import os
import sys
import threading

import faiss
import threadpoolctl

# A search comes back to Python a few times, and waits so long each time while another thread runs Python. 5 ms, the
# usual, would make it ten times as slow while a base is made.
_SWITCH_INTERVAL_S = 0.0005
_BACKGROUND_NICE = 10


def use_in_this_process(count: int) -> None:
    """Let BLAS use so many threads, whoever calls it: numpy's, and the one that FAISS brings along."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    threadpoolctl.threadpool_limits(limits=count, user_api="blas")


def use_in_this_thread(count: int) -> None:
    """Let FAISS use so many threads for what this thread asks of it.

    More than one pays on idle cores only: OpenMP's threads wait for each other. At 10,000 × 1024 on two busy cores a
    search took 4.6 ms to 26 ms with two threads and 1.3 ms with one; at 40,000 × 1024 a lone exact query took BLAS
    4.9 ms with one thread and 7.4 ms with two, and 32 joined ones 34 ms and 56 ms.
    """
    faiss.omp_set_num_threads(count)


def work_in_background() -> None:
    """Let this thread crunch numbers on one core, and give way to the others of this process.

    While IVF was built at 88,423 × 1024 on two busy cores, a search took 1.4 ms at the median and 4.7 ms at the 99th
    percentile (4.0 ms without a merge); with equal rights the latter was 10 ms and more.
    """
    use_in_this_thread(1)
    if sys.platform == "linux":  # where each thread has a priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _BACKGROUND_NICE)
