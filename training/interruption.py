"""Lets a loop end its step before Ctrl-C or SIGTERM stops it."""

import signal
from types import FrameType


class Interruption:
    """Lets the step in work end before Ctrl-C or SIGTERM stops the loop; the second one stops at once."""

    def __init__(self) -> None:
        self.is_wanted = False
        self._before = {}  # type: dict[signal.Signals, signal._HANDLER]

    def __enter__(self) -> "Interruption":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.is_wanted = True
        signal.signal(number, self._before[signal.Signals(number)])
