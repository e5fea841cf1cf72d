"""The TCP ports of a local mesh, all on the loopback."""

import contextlib
import random
import socket
from dataclasses import dataclass, field
from errno import EADDRINUSE
from pathlib import Path

from deploy.local.settings import LocalSettings
from deploy.local.state import StateError

LOOPBACK = "127.0.0.1"
# Free ports are looked for from here up to where the kernel begins to give ports to outgoing connections: one of those
# would be gone again before the service that shall listen there has started.
_FIRST_FREE = 20_000
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_EPHEMERAL_START = 32_768
_TRIES = 50
# Processes that serve metrics, in the order of their ports.
_MEASURED = ("gateway", "social", "embedder", "retriever", "embedder-2")
# Those that another process can stand in for while they are started again.
_REPLACED = ("social", "embedder", "retriever", "embedder-2")
_PORT_SETTINGS = ("gateway_port", "social_port", "embedder_port", "retriever_port", "nats_port", "second_embedder_port")


@dataclass(frozen=True, slots=True)
class Ports:
    """Where each process of one mesh listens."""

    gateway: int
    social: int
    embedder: int
    retriever: int
    nats: int
    second_embedder: int
    metrics: dict[str, int] = field(default_factory=dict)
    stand_ins: dict[str, int] = field(default_factory=dict)

    @classmethod
    def choose(cls, settings: LocalSettings) -> "Ports":
        """Take the ports of the settings, free ones for those that are 0.

        Raises:
            StateError: A port is taken; the text names it with its setting.
        """
        first = settings.metrics_port
        wanted = [(name, getattr(settings, name)) for name in _PORT_SETTINGS]
        if first is not None:
            wanted += [("metrics_port", first and first + number) for number in range(len(_MEASURED))]
        wanted += [("stand_in", 0) for _ in _REPLACED]
        chosen: list[int] = []
        with contextlib.ExitStack() as held:
            for name, port in wanted:
                probe = held.enter_context(socket.socket())
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    bind_loopback(probe, port)
                except OSError as error:
                    cause = "is taken by another program" if error.errno == EADDRINUSE else f"cannot be used: {error}"
                    raise _refused(name, port, cause) from None
                found = probe.getsockname()[1]
                if found in chosen:
                    raise _refused(name, port, "is set for two services")
                chosen.append(found)
        services = dict(zip((name.removesuffix("_port") for name in _PORT_SETTINGS), chosen, strict=False))
        metrics = dict(zip(_MEASURED, chosen[len(_PORT_SETTINGS) : -len(_REPLACED)], strict=False))
        return cls(**services, metrics=metrics, stand_ins=dict(zip(_REPLACED, chosen[-len(_REPLACED) :], strict=True)))

    def target(self, process: str) -> str:
        """Return where a service is called: at its own address, or at that of who stands in for it."""
        port = self.second_embedder if process == "embedder-2" else getattr(self, process)
        return f"ipv4:{LOOPBACK}:{port},{LOOPBACK}:{self.stand_ins[process]}"

    def metrics_listen(self, process: str) -> str:
        """Return where a process serves its metrics, "host:port"; empty where it does not."""
        port = self.metrics.get(process)
        return f"{LOOPBACK}:{port}" if port else ""

    @property
    def metrics_urls(self) -> dict[str, str]:
        """Where metrics are read, by process."""
        return {name: f"http://{LOOPBACK}:{port}/metrics" for name, port in self.metrics.items()}

    @property
    def url(self) -> str:
        """Where people and clients find the mesh."""
        return f"http://{LOOPBACK}:{self.gateway}"


def bind_loopback(probe: socket.socket, port: int) -> None:
    """Bind to a port of the loopback; 0 stands for one that is free and that no outgoing connection will be given.

    Raises:
        OSError: The port is taken or forbidden.
    """
    if port == 0:
        for candidate in (random.randrange(_FIRST_FREE, _ephemeral_start()) for _ in range(_TRIES)):
            with contextlib.suppress(OSError):
                probe.bind((LOOPBACK, candidate))
                return
    probe.bind((LOOPBACK, port))


def _ephemeral_start() -> int:
    try:
        start = int(_EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        start = _USUAL_EPHEMERAL_START
    return start if start > _FIRST_FREE else _USUAL_EPHEMERAL_START


def _refused(setting: str, port: int, cause: str) -> StateError:
    return StateError(f"port {port} {cause}.\nChoose another one: MUSEED_{setting.upper()}=0 picks a free port.")
