"""The process that looks for the picture in one audio file: limited, and free to die. Started by `extraction`.

It is given an open file by descriptor, writes the picture to its output, and opens nothing by itself.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys

from services.gateway.covers.embedded import embedded_picture

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CPU_S = 5
_OPEN_FILES = 16
_MEMORY_BYTES = 192 << 20
_OOM_SCORE = "500"


def main(descriptor: int, parent_pid: int, max_bytes: int) -> None:
    """Write the picture, or nothing.

    Args:
        descriptor: Of the audio file.
        parent_pid: Process that started this one; without it there is nothing to do.
        max_bytes: Of a picture.
    """
    _confine(parent_pid)
    picture = b""
    # The border of this process: a file must not be able to end it with a traceback.
    with contextlib.suppress(Exception, MemoryError, RecursionError), os.fdopen(descriptor, "rb") as file:
        picture = embedded_picture(file, max_bytes)
    sys.stdout.buffer.write(picture)
    sys.stdout.buffer.flush()


def _confine(parent_pid: int) -> None:
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for option, value in ((_PR_SET_PDEATHSIG, signal.SIGKILL), (_PR_SET_NO_NEW_PRIVS, 1)):
        if prctl(option, int(value), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl {option}")
    if os.getppid() != parent_pid:  # it died before the line above
        sys.exit(1)
    os.nice(10)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(_OOM_SCORE)
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    for kind, limit in (
        (resource.RLIMIT_AS, used + _MEMORY_BYTES),
        (resource.RLIMIT_CPU, _CPU_S),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:4]))
