"""Trees of spans: drawn once they are whole, each span once, what is alike together."""

from io import StringIO

from rich.console import Console
from rich.tree import Tree

from deploy.local.span_trees import QUIET_S, SpanRow, SpanTrees, draw

MS = 1_000_000


def span(
    name: str,
    at_ms: float,
    took_ms: float,
    *,
    parent: str = "",
    service: str = "gateway",
    fault: str = "",
    own: str = "",
) -> SpanRow:
    began = 1_000 * MS + round(at_ms * MS)
    return SpanRow("trace", own or name, parent, service, name, began, began + round(took_ms * MS), fault)


def text(tree: Tree) -> list[str]:
    console = Console(file=StringIO(), width=200, color_system=None)
    console.print(tree)
    shown = console.file.getvalue()  # type: ignore[attr-defined]  # it is a StringIO
    return [line.rstrip() for line in shown.splitlines()]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_tree_shows_who_asked_whom_how_long_and_when() -> None:
    rows = [
        span("faiss", 4, 1.5, parent="search", service="retriever"),
        span("museed.retriever.v1.RetrieverService/Search", 3, 3, parent="call", service="retriever", own="search"),
        span("museed.retriever.v1.RetrieverService/Search", 2, 5, parent="root", own="call"),
        span("POST /graphql", 0, 10, own="root"),
        span("publish VECTORS", 8, 1, parent="gone", service="social", fault="BUS_UNAVAILABLE"),
    ]
    assert text(draw("abc", rows, 1_000 * MS)) == [
        "trace abc",
        "├── POST /graphql  gateway  10.0 ms  +0.0",
        "│   └── retriever.v1.RetrieverService/Search  gateway → retriever  5.0 ms (3.0 there)  +2.0",
        "│       └── faiss  retriever  1.5 ms  +4.0",
        "└── publish VECTORS  social  1.0 ms  +8.0  BUS_UNAVAILABLE",
    ]


def test_many_of_one_name_are_one_line_unless_something_is_below_them() -> None:
    waits = [span("queue_wait", n, 2, parent="root", service="embedder", own=f"wait-{n}") for n in range(1, 5)]
    models = [span("model", 5 + n, 1, parent="root", service="embedder", own=f"model-{n}") for n in range(3)]
    decode = span("faiss", 6, 1, parent="model-1", service="embedder")
    shown = text(draw("abc", [span("POST /graphql", 0, 10, own="root"), *waits, *models, decode], 1_000 * MS))
    assert shown == [
        "trace abc",
        "└── POST /graphql  gateway  10.0 ms  +0.0",
        "    ├── queue_wait × 4  embedder  8.0 ms  +1.0",
        "    ├── model  embedder  1.0 ms  +5.0",
        "    ├── model  embedder  1.0 ms  +6.0",
        "    │   └── faiss  embedder  1.0 ms  +6.0",
        "    └── model  embedder  1.0 ms  +7.0",
    ]


def test_request_is_drawn_when_it_is_quiet_and_what_comes_later_by_itself() -> None:
    clock = Clock()
    trees = SpanTrees(clock)
    trees.take([span("GET /me", 1, 1, parent="root", service="social")])
    clock.now = QUIET_S
    assert list(trees.ready()) == []  # nobody knows yet what began it
    trees.take([span("POST /graphql", 0, 5, own="root")])
    clock.now += QUIET_S - 0.1
    assert list(trees.ready()) == []
    clock.now += 0.1
    (tree,) = trees.ready()
    assert len(text(tree)) == 3
    assert list(trees.ready()) == []
    trees.take([span("process EMBED_WORK", 90, 5, parent="root", service="embedder")])
    clock.now += QUIET_S
    (later,) = trees.ready()
    assert text(later) == ["trace trace, later", "└── process EMBED_WORK  embedder  5.0 ms  +90.0"]


def test_what_no_request_began_is_never_drawn() -> None:
    clock = Clock()
    trees = SpanTrees(clock)
    trees.take([span("GET /readyz", 0, 5)])
    trees.take([SpanRow("poll", "a", "", "gateway", "museed.social.v1.AccountService/ListRevokedSessions", 1, 2)])
    trees.take([SpanRow("batch", "a", "", "embedder", "batch", 1, 2)])
    for _ in range(200):
        clock.now += 1.0
        assert list(trees.ready()) == []
    assert not trees._traces


def test_number_of_traces_and_of_their_spans_is_bounded() -> None:
    trees = SpanTrees(Clock())
    rows = [span("x", 0, 1, own=str(number)) for number in range(5_000)]
    trees.take(rows)
    assert [len(one.spans) for one in trees._traces.values()] == [2_000]
    trees.take(SpanRow(str(number), "a", "", "social", "x", 1, 2) for number in range(1_000))
    assert list(trees._traces) == [str(number) for number in range(500, 1_000)]
