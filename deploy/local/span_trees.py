"""Spans as they come from the processes of a mesh, put together to one tree for each request. Knows no network."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rich.text import Text
from rich.tree import Tree

# A request's spans are drawn when none has come for so long: processes send theirs twice a second.
QUIET_S = 1.5
# What no request began is forgotten after this.
_FORGET_S = 60.0
_MOST_TRACES = 500
_MOST_SPANS = 2_000
# So many of one name beside each other are drawn one by one.
_ONE_BY_ONE = 3
_PROBES = frozenset({"GET /healthz", "GET /readyz"})
_DOOR = "gateway"


@dataclass(frozen=True, slots=True)
class SpanRow:
    """One span.

    Attributes:
        trace_id: Hexadecimal, as in the log.
        span_id: Hexadecimal.
        parent_id: Of the span that it is part of; empty where it begins a trace.
        service: Whose.
        name: What was done.
        began_ns: Unix time.
        ended_ns: Unix time.
        fault: The reason of a failure; empty without one.
        process: Which of the service's processes, by the name of its log; empty where that is not told.
    """

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    name: str
    began_ns: int
    ended_ns: int
    fault: str = ""
    process: str = ""

    @property
    def ms(self) -> float:
        """How long it took."""
        return (self.ended_ns - self.began_ns) / 1e6

    @property
    def where(self) -> str:
        """The process, where it is told by a name: OpenTelemetry makes up an id of one that has none."""
        return self.process if self.process.startswith(self.service) else self.service


@dataclass(slots=True)
class _Trace:
    heard_at: float
    spans: list[SpanRow] = field(default_factory=list)
    began_ns: int = 0
    is_request: bool = False
    was_drawn: bool = False


class SpanTrees:
    """Keeps spans until their trees can be drawn; what comes later of a drawn one makes a tree of its own.

    Args:
        clock: Seconds that only rise.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._traces: OrderedDict[str, _Trace] = OrderedDict()

    def take(self, spans: Iterable[SpanRow]) -> None:
        """Take what a process sent."""
        now = self._clock()
        for span in spans:
            trace = self._traces.setdefault(span.trace_id, _Trace(now))
            self._traces.move_to_end(span.trace_id)
            trace.heard_at = now
            if len(trace.spans) < _MOST_SPANS:
                trace.spans.append(span)
            # What the gateway asks by itself begins traces, too.
            is_http = span.service == _DOOR and " /" in span.name
            if not span.parent_id and is_http and span.name not in _PROBES:
                trace.is_request, trace.began_ns = True, span.began_ns
        while len(self._traces) > _MOST_TRACES:
            self._traces.popitem(last=False)

    def ready(self) -> Iterator[Tree]:
        """Draw the requests of which nothing has come for a while, oldest first; each span once."""
        now = self._clock()
        for trace_id, trace in list(self._traces.items()):
            silent_s = now - trace.heard_at
            if trace.is_request and trace.spans and silent_s >= QUIET_S:
                yield draw(trace_id, trace.spans, trace.began_ns, is_later=trace.was_drawn)
                trace.spans, trace.was_drawn = [], True
            elif silent_s >= _FORGET_S:
                del self._traces[trace_id]


def draw(trace_id: str, spans: Sequence[SpanRow], began_ns: int, *, is_later: bool = False) -> Tree:
    """Draw one trace: each span with its service, how long it took, and when it began after the request did.

    Args:
        trace_id: Finds the log lines.
        spans: In any order.
        began_ns: When the request came.
        is_later: Whether these came after the request's tree was drawn.
    """
    known = {span.span_id for span in spans}
    below: dict[str, list[SpanRow]] = {}
    for span in sorted(spans, key=lambda one: (one.began_ns, one.span_id)):
        below.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)
    tree = Tree(Text(f"trace {trace_id}{', later' if is_later else ''}", style="dim"))
    _grow(tree, below.get("", []), below, began_ns)
    return tree


def _grow(tree: Tree, spans: Sequence[SpanRow], below: dict[str, list[SpanRow]], began_ns: int) -> None:
    counts = Counter((span.service, span.name) for span in spans if span.span_id not in below)
    drawn: set[tuple[str, str]] = set()
    for span in spans:
        kind = (span.service, span.name)
        inner = below.get(span.span_id, [])
        if len(inner) == 1 and inner[0].name == span.name:  # both sides of a call
            _grow(tree.add(_line(span, began_ns, there=inner[0])), below.get(inner[0].span_id, []), below, began_ns)
        elif inner or counts[kind] <= _ONE_BY_ONE:
            _grow(tree.add(_line(span, began_ns)), inner, below, began_ns)
        elif kind not in drawn:
            drawn.add(kind)
            same = [one for one in spans if (one.service, one.name) == kind and one.span_id not in below]
            tree.add(_line(span, began_ns, same))


def _line(span: SpanRow, began_ns: int, same: Sequence[SpanRow] = (), there: SpanRow | None = None) -> Text:
    line = Text(span.name.rpartition("museed.")[2], style="bold")
    if same:
        line.append(f" × {len(same)}", style="not bold")
    line.append(f"  {span.where}{f' → {there.where}' if there else ''}", style="not bold cyan")
    taken_ms = sum(one.ms for one in same) if same else span.ms
    line.append(f"  {taken_ms:.1f} ms{f' ({there.ms:.1f} there)' if there else ''}", style="not bold")
    line.append(f"  +{(span.began_ns - began_ns) / 1e6:.1f}", style="not bold dim")
    if fault := next((one.fault for one in (same or [span]) if one.fault), ""):
        line.append(f"  {fault}", style="red")
    return line
