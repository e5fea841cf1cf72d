"""How many people come, and what they ask for in the busiest hour."""

from deploy.capacity.lines import DAY_S, Figures


def active(f: Figures) -> float:
    """People who come on one day."""
    return f["users"] * f["active_share"]


def requests_at_peak(f: Figures) -> float:
    """GraphQL requests in a second of the busiest hour."""
    return active(f) * f["requests_per_active"] / DAY_S * f["peak_over_mean"]


def index_calls_at_peak(f: Figures) -> float:
    """Calls of the index in a second of the busiest hour."""
    return active(f) * (f["generations_per_active"] + f["searches_per_active"]) / DAY_S * f["peak_over_mean"]


def commits_at_peak(f: Figures) -> float:
    """Transactions that write, in a second of the busiest hour."""
    acts = f["plays_per_active"] + f["acts_per_active"] + 8 * f["generations_per_active"] + f["uploads_per_active"]
    return active(f) * acts / DAY_S * f["peak_over_mean"]


def streamed_bytes_a_day(f: Figures) -> float:
    """What players fetch."""
    return active(f) * f["plays_per_active"] * f["track_bytes"] * f["streamed_share"]
