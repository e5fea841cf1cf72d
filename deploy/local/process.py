"""One supervised child: started, watched, started again when it dies, and never left behind."""

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_READY_INTERVAL_S = 0.05
_FIRST_DELAY_S = 0.2
_MAX_DELAY_S = 10.0
_LASTING_RUN_S = 30.0
_LOG_TAIL_LINES = 15


class StartError(RuntimeError):
    """A child did not become ready; the text ends with the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run and how to know that it works.

    Attributes:
        name: Short name, also of the log file.
        command: Program and arguments.
        is_ready: Asked again and again until it says yes; must not raise.
        environment: Added to this process's own.
        user: System user to run as, None for the caller's own.
        stop_signal: Asks for a clean end.
        start_timeout_s: Longest wait for the first yes.
    """

    name: str
    command: list[str]
    is_ready: Callable[[], Awaitable[bool]]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    start_timeout_s: float = 60.0


class SupervisedProcess:
    """Runs a Spec until told to stop.

    Args:
        spec: What to run.
        log_folder: Standard output and error are appended to `<name>.log` there.
        on_change: Called with a sentence for people when the child dies or is back.
    """

    def __init__(self, spec: Spec, log_folder: Path, on_change: Callable[[str], None]) -> None:
        self.spec = spec
        self.log = log_folder / f"{spec.name}.log"
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._restarted: asyncio.Event | None = None
        self._started_at = 0.0

    @property
    def pid(self) -> int | None:
        """Process id of the running child, None when there is none."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Start the child and wait until it is ready.

        Raises:
            StartError: It ended before, or was not ready in time.
        """
        await self._spawn()
        deadline = time.monotonic() + self.spec.start_timeout_s
        while not await self.spec.is_ready():
            if self.pid is None:
                raise StartError(f"{self.spec.name} ended at its start.\n{self._tail()}")
            if time.monotonic() > deadline:
                await self._end(grace_s=1.0)
                raise StartError(
                    f"{self.spec.name} was not ready in {self.spec.start_timeout_s:.0f} s.\n{self._tail()}"
                )
            await asyncio.sleep(_READY_INTERVAL_S)

    async def watch(self) -> None:
        """Start the child again whenever it dies, with a growing delay, until `stop`."""
        delay_s = _FIRST_DELAY_S
        while not self._stopping:
            assert self._process is not None
            code = await self._process.wait()
            if self._stopping:
                return
            if self._restarted is None:
                self._on_change(f"{self.spec.name} ended ({_describe(code)}), starting it again; its log: {self.log}")
                if time.monotonic() - self._started_at > _LASTING_RUN_S:
                    delay_s = _FIRST_DELAY_S
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, _MAX_DELAY_S)
                if self._stopping:
                    return
            try:
                await self.start()
            except (StartError, OSError) as error:  # tried again: the machine may have room later
                self._on_change(str(error))
            else:
                self._on_change(f"{self.spec.name} is back")
            if self._restarted is not None:
                self._restarted.set()
                self._restarted = None

    async def restart(self, grace_s: float = 20.0) -> None:
        """Ask the child to end and have `watch` start it again at once; returns when it is ready.

        Raises:
            StartError: It is not; `watch` goes on trying.
        """
        tried = self._restarted = asyncio.Event()
        await self._end(grace_s)
        await tried.wait()
        if self.pid is None:
            raise StartError(f"{self.spec.name} did not start again.\n{self._tail()}")

    async def stop(self, grace_s: float = 20.0) -> None:
        """Ask the child to end, and kill it when it has not after the grace."""
        self._stopping = True
        await self._end(grace_s)

    async def _end(self, grace_s: float) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(self.spec.stop_signal)
        try:
            await asyncio.wait_for(process.wait(), grace_s)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _spawn(self) -> None:
        parent = os.getpid()
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.spec.command,
                env={**os.environ, **self.spec.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self.spec.user,
                group=self.spec.user,
                extra_groups=None if self.spec.user is None else [],
                cwd="/" if self.spec.user is not None else None,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops all in order
                preexec_fn=lambda: die_with(parent, self.spec.stop_signal),
            )
        self._started_at = time.monotonic()

    def _tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        return "\n".join([*lines, f"The whole log: {self.log}"])


def die_with(parent: int, number: signal.Signals) -> None:
    """Have the kernel send this child, which calls it, a signal when its parent dies, however it dies."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:
        os._exit(1)  # it died in between


def _describe(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
