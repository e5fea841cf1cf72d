"""Questions to Prometheus that come again and again, in its own language."""

# How far back a rate looks; Grafana puts its own in the place of the first.
WINDOW = "$__rate_interval"
ALERT_WINDOW = "5m"


def rate(metric: str, by: str = "", where: str = "", window: str = WINDOW) -> str:
    """Return how much a counter grows a second, summed by some labels."""
    return f"sum{_by(by)} (rate({metric}{_where(where)}[{window}]))"


def news(counter: str, by: str, where: str = "", window: str = "15m") -> str:
    """Return an expression that holds when a counter has grown, by some labels, or was not there before it had.

    What has never happened has no series: its first time is where that begins, which no rate sees.
    """
    before = total(counter, by, where, f" offset {window}")
    grown = f"sum{_by(by)} (increase({counter}{_where(where)}[{window}])) > 0"
    return f"{grown} or {total(counter, by, where)} > 0 unless {before}"


def quantile(share: float, histogram: str, by: str = "", where: str = "", window: str = WINDOW) -> str:
    """Return below which value a share of what a histogram saw lies, by some labels."""
    labels = ", ".join(filter(None, (by, "le")))
    return f"histogram_quantile({share:g}, sum by ({labels}) (rate({histogram}_bucket{_where(where)}[{window}])))"


def mean(histogram: str, by: str = "", where: str = "", window: str = WINDOW) -> str:
    """Return the mean of what a histogram saw, by some labels."""
    return f"{rate(f'{histogram}_sum', by, where, window)} / {rate(f'{histogram}_count', by, where, window)}"


def largest(gauge: str, by: str = "", where: str = "") -> str:
    """Return the largest of what several processes tell, of what they all tell alike."""
    return f"max{_by(by)} ({gauge}{_where(where)})"


def total(gauge: str, by: str = "", where: str = "", when: str = "") -> str:
    """Return the sum of what processes tell, each of itself."""
    return f"sum{_by(by)} ({gauge}{_where(where)}{when})"


def known(expression: str) -> str:
    """Return an expression that is 0 where nothing was counted yet, so that sums with it are not empty."""
    return f"({expression} or vector(0))"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


def _where(matchers: str) -> str:
    return f"{{{matchers}}}" if matchers else ""
