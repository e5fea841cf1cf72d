"""Waits while a part of the mesh is away, and not for ever."""

import time
from collections.abc import Callable
from typing import TypeVar

from clients.python.errors import ClientError

T = TypeVar("T")

# A part that was killed is back within seconds.
_PATIENCE_S = 60.0
_RETRY_INTERVAL_S = 1.0


class Patience:
    """How long one call has been tried."""

    def __init__(self) -> None:
        self._deadline = time.monotonic() + _PATIENCE_S

    def wait(self, error: ClientError) -> None:
        """Wait until the call may be made again: as long as the gateway says, else for a moment.

        Raises:
            ClientError: This one, where waiting does not help, or not any more.
        """
        if not error.is_transient or time.monotonic() > self._deadline:
            raise error
        time.sleep(_RETRY_INTERVAL_S if error.retry_after_ms is None else error.retry_after_ms / 1000)


def patiently(call: Callable[[], T]) -> T:
    """Repeat a call, which must be safe to repeat, while a part of the mesh is away."""
    patience = Patience()
    while True:
        try:
            return call()
        except ClientError as error:
            patience.wait(error)
