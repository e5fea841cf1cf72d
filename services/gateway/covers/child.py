"""The process that looks for the picture in one audio file: limited, and free to die. Started by `extraction`.

It is given an open file by descriptor, writes the picture to its output, and opens nothing by itself.
"""

import contextlib
import os
import sys

from services.chassis import confinement
from services.gateway.covers.embedded import embedded_picture

_NICENESS = 10
_CPU_S = 5
_MEMORY_MIB = 192


def main(descriptor: int, parent_pid: int, max_bytes: int) -> None:
    """Write the picture, or nothing.

    Args:
        descriptor: Of the audio file.
        parent_pid: Process that started this one; without it there is nothing to do.
        max_bytes: Of a picture.
    """
    confinement.enter(parent_pid, _NICENESS, _MEMORY_MIB, cpu_s=_CPU_S)
    picture = b""
    # The border of this process: a file must not be able to end it with a traceback.
    with contextlib.suppress(Exception, MemoryError, RecursionError), os.fdopen(descriptor, "rb") as file:
        picture = embedded_picture(file, max_bytes)
    sys.stdout.buffer.write(picture)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:4]))
