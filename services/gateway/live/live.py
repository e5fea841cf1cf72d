"""The live parts of a process, built once by `__main__`."""

from collections.abc import Container

from services.gateway.live.asking import Asking
from services.gateway.live.cursors import CursorSigner
from services.gateway.live.hub import Hub
from services.gateway.sockets import OpenSockets


class Live:
    """What is heard, who follows it, and by which sockets.

    Args:
        key: Signs cursors; at least 32 bytes, the same in every replica.
        ended_sessions: Sessions that ended.
        hub: Another one than the usual.
    """

    def __init__(self, key: bytes, ended_sessions: Container[str], hub: Hub | None = None) -> None:
        self.hub = hub or Hub()
        self.sockets = OpenSockets(ended_sessions)
        self.cursors = CursorSigner(key)
        self.asking = Asking()
