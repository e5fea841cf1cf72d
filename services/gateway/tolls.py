"""What plain routes cost: points of the network that asks, taken before it is known who that is."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from services.chassis import auth
from services.gateway.budget import Budgets
from services.gateway.settings import GatewaySettings

Handler = Callable[[Request], Awaitable[Response]]

# A range of audio; what is kept, or one call upstream.
LOOK = 1
# A file that social or the index computes, or bytes that are recorded.
MAKE = 20
# What reads much of what there is.
GATHER = 200


class Tolls:
    """Takes points for requests of plain routes.

    Args:
        budgets: Theirs alone: what players fetch must not keep a page from asking.
    """

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets

    @classmethod
    def of(cls, settings: GatewaySettings) -> "Tolls":
        """Return those of a worker."""
        workers = settings.workers
        capacity = max(GATHER, settings.route_capacity // workers)
        return cls(Budgets(capacity, settings.route_refill_per_s / workers))

    def on(self, handler: Handler, points: int = LOOK) -> Handler:
        """Return a handler that takes points before it answers.

        Raises:
            ResourceExhausted: COST_LIMIT_REACHED, by the handler; nothing else was done.
        """

        async def take(request: Request) -> Response:
            self._budgets.spend(f"routes {auth.client()}", points)
            return await handler(request)

        return take
