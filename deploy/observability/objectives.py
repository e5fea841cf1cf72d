"""What people may expect of the gateway, and how fast it may fall short of it."""

from dataclasses import dataclass

from deploy.observability.queries import known, rate

# Over which the objectives hold.
PERIOD_DAYS = 30


@dataclass(frozen=True, slots=True)
class Objective:
    """A share of requests that may be bad.

    Attributes:
        name: In names of recorded series.
        allowed: The share.
        says: In words.
    """

    name: str
    allowed: float
    says: str


ANSWERED = Objective(
    "unanswered", 0.001, "99.9 % of requests are answered: not refused for want of room, and by no fault of ours"
)
QUICK = Objective("slow", 0.01, "99 % of GraphQL requests are answered within a second")
OBJECTIVES = (ANSWERED, QUICK)
WINDOWS = ("5m", "30m", "1h", "6h", "3d")


def series(objective: Objective, window: str) -> str:
    """Return the name of the recorded share of bad requests in a window."""
    return f"museed:gateway_{objective.name}:ratio_rate{window}"


def bad_share(objective: Objective, window: str) -> str:
    """Return the expression of it."""
    if objective is QUICK:
        quick = rate("museed_gateway_request_seconds_bucket", where='route="/graphql", le="1.0"', window=window)
        return "1 - " + quick + " / " + rate("museed_gateway_request_seconds_count", "", 'route="/graphql"', window)
    refused = rate("museed_gateway_refused_requests_total", window=window)
    broken = known(rate("museed_gateway_requests_total", where='status=~"5.."', window=window))
    # They come with status 200.
    failed = known(rate("museed_gateway_operations_total", where='outcome="failed"', window=window))
    return f"({broken} + {failed} + {refused}) / ({rate('museed_gateway_requests_total', window=window)} + {refused})"


def burns(objective: Objective, times: float, long: str, short: str) -> str:
    """Return an expression that holds while bad requests come so many times as fast as the period allows.

    Args:
        objective: Whose.
        times: 1 uses up in a whole period what is allowed in it.
        long: Window in which it has been so.
        short: Window in which it still is.
    """
    limit = f"{times * objective.allowed:g}"
    return f"{series(objective, long)} > {limit} and {series(objective, short)} > {limit}"
