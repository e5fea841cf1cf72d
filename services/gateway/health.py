"""GET /healthz and /readyz: whether the process lives, and whether it should get requests."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.chassis.bus import Bus
from services.gateway.clients import Upstream


class Health:
    """What probes ask.

    Args:
        upstream: The services that are needed.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self.bus: Bus | None = None
        self.is_draining = False
        # Connections that are used once more are closed behind the answer: the next one finds somebody else.
        self.is_leaving = False

    async def alive(self, request: Request) -> Response:
        """Answer as long as the loop turns."""
        return JSONResponse({"status": "alive"})

    async def ready(self, request: Request) -> Response:
        """Answer 200 when everything that is needed is there and the process is not on its way out, else 503.

        Parts that the query names are told, and not asked for: `/readyz?exclude=bus`, as with Kubernetes's own.
        """
        found = {
            **await self._upstream.health(),
            "bus": self.bus is not None and self.bus.is_connected,
            "gateway": not self.is_draining,
        }
        excluded = request.query_params.getlist("exclude")
        is_ready = all(is_good for name, is_good in found.items() if name not in excluded)
        states = {name: "serving" if is_good else "away" for name, is_good in found.items()}
        return JSONResponse(
            {"status": "ready" if is_ready else "not ready", "parts": states}, status_code=200 if is_ready else 503
        )
