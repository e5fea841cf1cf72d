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
_PORTS = 65_536
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
    replicas: dict[str, int] = field(default_factory=dict)

    @classmethod
    def choose(cls, settings: LocalSettings) -> "Ports":
        """Take the ports of the settings, free ones for those that are 0.

        Raises:
            StateError: A port is taken; the text names it with its setting.
        """
        with contextlib.ExitStack() as held:
            taken = _Taken(held)
            services = {
                name.removesuffix("_port"): taken.take(name, getattr(settings, name)) for name in _PORT_SETTINGS
            }
            return cls(
                **services,
                metrics=taken.take_metrics(settings),
                stand_ins={name: taken.take("stand_in", 0) for name in _REPLACED},
                replicas={
                    replica: taken.take("replica", 0)
                    for name in _REPLACED
                    for replica in names_of(name, settings.replicas)[1:]
                },
            )

    def target(self, process: str) -> str:
        """Return where a service is called: at the addresses of all its processes, and of who stands in for one."""
        first = self.second_embedder if process == "embedder-2" else getattr(self, process)
        others = [port for name, port in self.replicas.items() if service_of(name) == process]
        return "ipv4:" + ",".join(f"{LOOPBACK}:{port}" for port in (first, *others, self.stand_ins[process]))

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


def names_of(service: str, count: int) -> list[str]:
    """Return the names of a service's processes."""
    return [service, *(f"{service}.{number}" for number in range(2, count + 1))]


def service_of(name: str) -> str:
    """Return of which service a process is, by its name."""
    return name.partition(".")[0]


class _Taken:
    """Ports that were chosen so far, each held so that it is not found twice."""

    def __init__(self, held: contextlib.ExitStack) -> None:
        self._held = held
        self._chosen: list[int] = []

    def take(self, setting: str, port: int) -> int:
        """Take a port, a free one for 0.

        Raises:
            StateError: It is taken; the text names it with its setting.
        """
        found = self._bound(setting, port)
        while port == 0 and found in self._chosen:  # sockets that do not listen yet may share one
            found = self._bound(setting, port)
        if found in self._chosen:
            raise _refused(setting, port, "is set for two services")
        self._chosen.append(found)
        return found

    def _bound(self, setting: str, port: int) -> int:
        probe = self._held.enter_context(socket.socket())
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bind_loopback(probe, port)
        except OSError as error:
            cause = "is taken by another program" if error.errno == EADDRINUSE else f"cannot be used: {error}"
            raise _refused(setting, port, cause) from None
        found: int = probe.getsockname()[1]
        return found

    def take_metrics(self, settings: LocalSettings) -> dict[str, int]:
        """Take a port for each process that serves metrics: consecutive ones, or where 0 is set, any.

        The gateway's processes get consecutive ones always, since they count their ports themselves.
        """
        first = settings.metrics_port
        if first is None:
            return {}
        names = [
            name
            for service in _MEASURED
            for name in names_of(service, settings.gateway_processes if service == "gateway" else settings.replicas)
        ]
        if first:
            if first + len(names) > _PORTS:
                raise _refused("metrics_port", first, f"is too high: {len(names)} processes serve metrics")
            return {name: self.take("metrics_port", first + number) for number, name in enumerate(names)}
        gateways = self._take_row(settings.gateway_processes)
        return {
            name: gateways[number] if number < len(gateways) else self.take("metrics_port", 0)
            for number, name in enumerate(names)
        }

    def _take_row(self, count: int) -> list[int]:
        for _ in range(_TRIES):
            before = list(self._chosen)
            try:
                first = self.take("metrics_port", 0)
                return [first, *(self.take("metrics_port", first + number) for number in range(1, count))]
            except StateError:
                self._chosen = before
        raise _refused("metrics_port", 0, f"has no {count} free ones in a row")


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
