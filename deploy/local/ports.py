"""The TCP ports of a local mesh, all on the loopback."""

import contextlib
import socket
from dataclasses import dataclass
from errno import EADDRINUSE

from deploy.local.settings import LocalSettings
from deploy.local.state import StateError

LOOPBACK = "127.0.0.1"
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

    @classmethod
    def choose(cls, settings: LocalSettings) -> "Ports":
        """Take the ports of the settings, free ones for those that are 0.

        Raises:
            StateError: A port is taken; the text names it with its setting.
        """
        chosen = []
        with contextlib.ExitStack() as held:
            for name in _PORT_SETTINGS:
                wanted = getattr(settings, name)
                probe = held.enter_context(socket.socket())
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((LOOPBACK, wanted))
                except OSError as error:
                    cause = "is taken by another program" if error.errno == EADDRINUSE else f"cannot be used: {error}"
                    raise _refused(name, wanted, cause) from None
                port = probe.getsockname()[1]
                if port in chosen:
                    raise _refused(name, wanted, "is set for two services")
                chosen.append(port)
        return cls(*chosen)

    @property
    def url(self) -> str:
        """Where people and clients find the mesh."""
        return f"http://{LOOPBACK}:{self.gateway}"


def _refused(setting: str, port: int, cause: str) -> StateError:
    return StateError(f"port {port} {cause}.\nChoose another one: MUSEED_{setting.upper()}=0 picks a free port.")
