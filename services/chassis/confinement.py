"""Limits of a child process that reads files of strangers: it takes so much, reaches nothing, dies with its parent.

Called by the child itself, once everything that it needs is imported.
"""

import contextlib
import ctypes
import os
import resource
import signal
import struct
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_VERSION = 1
# Rights to files that a version of it knows of: all but what comes later.
_LANDLOCK_RIGHTS = ((1, (1 << 13) - 1), (2, (1 << 14) - 1), (3, (1 << 15) - 1), (5, (1 << 16) - 1))
# Execute, read a file, read a folder.
_LANDLOCK_READ = 0b1101
# To bind, to connect; abstract sockets, signals.
_LANDLOCK_TCP, _LANDLOCK_SCOPES = 0b11, 0b11
_OPEN_FILES = 32
_OOM_SCORE = "500"
_MIB = 1024 * 1024
# Nothing of the parent's own environment: it holds passwords. One thread: more only take address space.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
# How a process ends that a file has got the better of.
CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL})


def environment(**more: str) -> dict[str, str]:
    """Return the whole environment of a child that shall run modules of ours, with what it needs beside that."""
    return {"PYTHONPATH": os.pathsep.join(sys.path), **ENVIRONMENT, **more}


def enter(parent_pid: int, niceness: int, memory_mib: int, file_bytes: int = 0, cpu_s: float | None = None) -> None:
    """Take all limits on, once everything that is needed is imported; see the functions below for each.

    Args:
        parent_pid: Process that started this one.
        niceness: 0 to 19.
        memory_mib: Address space beyond what the process has now.
        file_bytes: Largest file that it may write.
        cpu_s: CPU seconds from now on; None leaves that to `limit_cpu`, file by file.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides
    die_with(parent_pid)
    give_way(niceness)
    limit_once(memory_mib, file_bytes)
    reach_nothing()
    if cpu_s is not None:
        limit_cpu(cpu_s)


def die_with(parent_pid: int) -> None:
    """End with the parent, more exactly with the thread of it that started this process; gain no rights by `exec`."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for option, value in ((_PR_SET_PDEATHSIG, signal.SIGKILL), (_PR_SET_NO_NEW_PRIVS, 1)):
        if prctl(option, int(value), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl {option}")
    if os.getppid() != parent_pid:  # it died before the line above
        sys.exit(1)


def give_way(niceness: int) -> None:
    """Let others have the processor first, and let the kernel end this process before its parent for lack of memory.

    Args:
        niceness: 0 to 19; see nice(2).
    """
    os.nice(niceness)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(_OOM_SCORE)


def limit_once(memory_mib: int, file_bytes: int = 0) -> None:
    """Limit address space, files and processes for good.

    Args:
        memory_mib: Address space beyond what the process has now.
        file_bytes: Largest file that it may write.
    """
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    for kind, limit in (
        (resource.RLIMIT_AS, used + memory_mib * _MIB),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))


def reach_nothing() -> None:
    """Open no file any more but those of Python and its libraries, nor a TCP connection; read and signal no process.

    By Landlock, see landlock(7): a process below it may not look into one that is not, its parent's environment and
    memory included. A kernel, or a container, without it leaves that to the limits above.
    """
    version = landlock_version()
    if version < 1:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    rights = [bits for since, bits in _LANDLOCK_RIGHTS if since <= version]
    # So many words of it does a kernel of that version know: files, connections, signals.
    words = [rights[-1], *([_LANDLOCK_TCP] if version >= 4 else []), *([_LANDLOCK_SCOPES] if version >= 6 else [])]
    rules = _landlock(libc, _LANDLOCK_CREATE_RULESET, struct.pack(f"={len(words)}Q", *words), 8 * len(words), 0)
    for folder in _readable():
        with contextlib.suppress(FileNotFoundError):
            place = os.open(folder, os.O_PATH | os.O_CLOEXEC)
            _landlock(libc, _LANDLOCK_ADD_RULE, rules, 1, struct.pack("=Qi", _LANDLOCK_READ, place), 0)
            os.close(place)
    _landlock(libc, _LANDLOCK_RESTRICT_SELF, rules, 0)
    os.close(rules)


def _readable() -> set[str]:
    """Return the folders of Python and its libraries, and those where files lie that are only linked there."""
    modules = [module for name, module in list(sys.modules.items()) if "." not in name and hasattr(module, "__path__")]
    files = [file for module in modules if (file := getattr(module, "__file__", None)) is not None]
    libraries = {
        os.path.dirname(place)
        for file in files
        if "site-packages" in file.split(os.sep)
        for place in (file, os.path.realpath(file))
    }
    return {sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", *libraries}


def landlock_version() -> int:
    """Return which version of Landlock the kernel has; less than 1 for none."""
    return int(ctypes.CDLL(None).syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION))


def _landlock(libc: ctypes.CDLL, *arguments: int | bytes) -> int:
    found = int(libc.syscall(*arguments))
    if found < 0:
        raise OSError(ctypes.get_errno(), "landlock")
    return found


def limit_cpu(allowance_s: float) -> None:
    """Allow so many more CPU seconds from now on; then SIGXCPU ends the process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(usage.ru_utime + usage.ru_stime + allowance_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))
