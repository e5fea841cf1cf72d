"""What the gateway tells of requests and operations, in words of the work. Counts nothing: `metrics.py` does."""


class GatewayCounts:
    """Takes notice of everything and does nothing with it: the default, and what tests get."""

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Say how a request ended; routes and methods are some of few, and the status is 0 where nobody heard it."""

    def ran(self, kind: str, outcome: str, seconds: float) -> None:
        """Say how a query or mutation ended: "ok", "refused" (the client's fault, or too much), "failed" (ours)."""

    def cost(self, points: int) -> None:
        """Say what an operation that was admitted can cost."""

    def told(self, code: str, reason: str) -> None:
        """Say which coded error an answer holds, beside those in the unions of mutations."""
