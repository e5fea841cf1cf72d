"""Reads as much of Prometheus's language as our dashboards and alerts are written in, and refuses everything else."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

# Arguments by kind: r a range of samples, v a vector, n a number.
FUNCTIONS = {
    "rate": "r",
    "increase": "r",
    "changes": "r",
    "histogram_quantile": "nv",
    "vector": "n",
    "absent": "v",
}
AGGREGATIONS = {"sum": "v", "min": "v", "max": "v", "avg": "v", "count": "v", "topk": "nv"}
_LEVELS = (("or",), ("and", "unless"), ("==", "!=", "<=", ">=", "<", ">"), ("+", "-"), ("*", "/", "%"))
_SETS = ("or", "and", "unless")
_TOKEN = re.compile(
    r"\s*(?:(?P<range>\[\d+[smhdw]\])|(?P<number>\d+(?:\.\d+)?(?:e-?\d+)?)|(?P<text>\"[^\"\\]*\")"
    r"|(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)|(?P<sign>=~|!~|==|!=|<=|>=|[-+*/%<>=(){},]))"
)


class NotPromQL(ValueError):
    """The text is no expression of the part of the language that is read here."""


@dataclass(frozen=True)
class Matcher:
    label: str
    sign: str
    value: str


@dataclass(frozen=True)
class Selector:
    """Samples of a metric; `grouped` are the labels that the aggregations around it name."""

    metric: str
    matchers: tuple[Matcher, ...] = ()
    grouped: frozenset[str] = frozenset()


@dataclass
class _Read:
    kind: str  # r, v or n
    selectors: list[Selector] = field(default_factory=list)


def selectors(expression: str) -> list[Selector]:
    """Return what an expression asks for.

    Raises:
        NotPromQL: It is none.
    """
    reader = _Reader(_tokens(expression.replace("[$__rate_interval]", "[5m]")))
    found = reader.binary(0)
    if reader.at < len(reader.tokens):
        raise NotPromQL(f"{reader.tokens[reader.at][1]!r} stands behind the end of {expression!r}")
    if found.kind == "r":
        raise NotPromQL(f"{expression!r} is a range")
    return found.selectors


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise NotPromQL(f"{text[at:]!r} cannot be read")
        found.append((str(token.lastgroup), token[str(token.lastgroup)]))
        at = token.end()
    return found


class _Reader:
    def __init__(self, tokens: Sequence[tuple[str, str]]) -> None:
        self.tokens = tokens
        self.at = 0

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def take(self, wanted: str = "") -> tuple[str, str]:
        token = self.peek()
        if wanted and wanted not in token:
            raise NotPromQL(f"{wanted} is missing before {token[1]!r}")
        self.at += 1
        return token

    def binary(self, level: int) -> _Read:
        if level == len(_LEVELS):
            return self.single()
        left = self.binary(level + 1)
        while (sign := self.peek()[1]) in _LEVELS[level] and self.peek()[0] in ("name", "sign"):
            self.take()
            right = self.binary(level + 1)
            kinds = {left.kind, right.kind}
            if "r" in kinds or (sign in _SETS and "n" in kinds):
                raise NotPromQL(f"{sign} cannot join these")
            left = _Read("n" if kinds == {"n"} else "v", left.selectors + right.selectors)
        return left

    def single(self) -> _Read:
        kind, text = self.take()
        if kind == "number":
            return _Read("n")
        if text == "(":
            inner = self.binary(0)
            self.take(")")
            return inner
        if kind != "name" or text in _SETS:
            raise NotPromQL(f"{text!r} begins nothing")
        if text in AGGREGATIONS:
            return self.aggregation(text)
        if self.peek()[1] == "(":
            if text not in FUNCTIONS:
                raise NotPromQL(f"there is no function {text}")
            return _Read("v", self.arguments(text, FUNCTIONS[text]))
        return self.selector(text)

    def aggregation(self, name: str) -> _Read:
        grouped: set[str] = set()
        if self.peek()[1] == "by":
            self.take()
            grouped = set(self.labels())
        inner = self.arguments(name, AGGREGATIONS[name])
        return _Read("v", [Selector(one.metric, one.matchers, one.grouped | grouped) for one in inner])

    def labels(self) -> list[str]:
        found: list[str] = []
        self.take("(")
        while self.peek()[1] != ")":
            found.append(self.take("name")[1])
            if self.peek()[1] != ")":
                self.take(",")
        self.take()
        return found

    def arguments(self, name: str, kinds: str) -> list[Selector]:
        self.take("(")
        found: list[Selector] = []
        for place, kind in enumerate(kinds):
            if place:
                self.take(",")
            one = self.binary(0)
            if one.kind != kind:
                raise NotPromQL(f"{name} cannot take this as its argument {place + 1}")
            found += one.selectors
        self.take(")")
        return found

    def selector(self, metric: str) -> _Read:
        matchers: list[Matcher] = []
        if self.peek()[1] == "{":
            self.take()
            while self.peek()[1] != "}":
                label, sign = self.take("name")[1], self.take("sign")[1]
                if sign not in ("=", "!=", "=~", "!~"):
                    raise NotPromQL(f"{sign} matches nothing")
                matchers.append(Matcher(label, sign, self.take("text")[1][1:-1]))
                if self.peek()[1] != "}":
                    self.take(",")
            self.take()
        is_range = self.peek()[0] == "range"
        if is_range:
            self.take()
        return _Read("r" if is_range else "v", [Selector(metric, tuple(matchers))])
