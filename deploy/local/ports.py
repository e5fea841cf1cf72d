"""The TCP ports of a local mesh, all on the loopback."""

import contextlib
import socket
from dataclasses import dataclass

from deploy.local.settings import LocalSettings
from deploy.local.state import StateError

LOOPBACK = "127.0.0.1"
_PORT_SETTINGS = ("gateway_port", "social_port", "embedder_port", "retriever_port", "nats_port")


@dataclass(frozen=True, slots=True)
class Ports:
    """Where each process of one mesh listens."""

    gateway: int
    social: int
    embedder: int
    retriever: int
    nats: int

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
                except OSError:
                    raise StateError(
                        f"port {wanted} is taken by another program.\n"
                        f"Choose another one: MUSEED_{name.upper()}=0 picks a free port."
                    ) from None
                chosen.append(probe.getsockname()[1])
        return cls(*chosen)

    @property
    def url(self) -> str:
        """Where people and clients find the mesh."""
        return f"http://{LOOPBACK}:{self.gateway}"
