"""Keeps cuDNN from rounding fp32 convolutions to TF32, which is its default. Runs no network; imports torch."""

import contextlib
from collections.abc import Iterator
from threading import Lock

import torch

_lock = Lock()
_inside = 0
_outermost = contextlib.ExitStack()


@contextlib.contextmanager
def exact_convolutions(precision: str) -> Iterator[None]:
    """Make fp32 convolutions exact while this is entered; what computes in another precision has none.

    The flag is the process's and networks run in several threads: the first to enter sets it, the last to leave puts it
    back. If each did both, one that ends would round the rest of another's run.
    """
    if precision != "fp32":
        yield
        return
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _inside
    with _lock:
        if not _inside:
            flags: contextlib.AbstractContextManager[None] = torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=False, allow_tf32=False
            )
            _outermost.enter_context(flags)
        _inside += 1


def _leave() -> None:
    global _inside
    with _lock:
        _inside -= 1
        if not _inside:
            _outermost.close()
