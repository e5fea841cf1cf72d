"""What Prometheus would make of what processes tell: samples at hand, and what an expression says of them.

Only the part of the language that our dashboards and alerts are written in is evaluated; everything else is refused,
so that nothing is taken for shown that was not.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from promql_parser import AggregateExpr, BinaryExpr, Call, MatchOp, NumberLiteral, ParenExpr, VectorSelector

from tests.contract.promql import parse

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]

_NAME = "__name__"
# How old a sample may be that stands for now.
_LOOKBACK_S = 300.0
_SETS = ("and", "or", "unless")
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right if right else math.nan if not left else math.copysign(math.inf, left),
}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    ">": lambda left, right: left > right,
    "<": lambda left, right: left < right,
    ">=": lambda left, right: left >= right,
    "<=": lambda left, right: left <= right,
}
_AGGREGATIONS: dict[str, Callable[[list[float]], float]] = {"sum": math.fsum, "min": min, "max": max, "count": len}
_MATCHES: dict[str, Callable[[str, str], bool]] = {
    str(MatchOp.Equal): lambda value, wanted: value == wanted,
    str(MatchOp.NotEqual): lambda value, wanted: value != wanted,
    str(MatchOp.Re): lambda value, wanted: re.fullmatch(wanted, value) is not None,
    str(MatchOp.NotRe): lambda value, wanted: re.fullmatch(wanted, value) is None,
}


@dataclass
class Samples:
    """What Prometheus would keep of a while.

    Attributes:
        recorded: Expressions of recorded series, by name.
    """

    recorded: Mapping[str, str] = field(default_factory=dict)
    _series: dict[str, dict[Labels, list[tuple[float, float]]]] = field(default_factory=dict)
    _targets: dict[Labels, set[tuple[str, Labels]]] = field(default_factory=dict)

    def take(self, at: float, target: Mapping[str, str], found: Iterable[tuple[str, Mapping[str, str], float]]) -> None:
        """Take what a process told: names, labels, values. What it told before and does not tell now ends here."""
        where = frozenset(target.items())
        told: set[tuple[str, Labels]] = set()
        for name, labels, value in (*found, ("up", {}, 1.0)):
            key = frozenset({**labels, **target}.items())
            told.add((name, key))
            self._series.setdefault(name, {}).setdefault(key, []).append((at, value))
        self._end(at, self._targets.get(where, set()) - told)
        self._targets[where] = told

    def lack(self, at: float, target: Mapping[str, str]) -> None:
        """Take note that a process which is looked for did not answer."""
        self.take(at, target, ())
        self._series["up"][frozenset(target.items())][-1] = (at, 0.0)

    def forget(self, at: float, target: Mapping[str, str]) -> None:
        """Take note that a process is looked for no more."""
        self._end(at, self._targets.pop(frozenset(target.items()), set()))

    def _end(self, at: float, gone: Iterable[tuple[str, Labels]]) -> None:
        for name, key in gone:
            self._series[name][key].append((at, math.nan))

    def ask(self, expression: str, at: float) -> Vector:
        """Return what an expression says at a moment.

        Raises:
            ValueError: It is none that is read here.
        """
        found = self._value(parse(expression), at)
        return found if isinstance(found, dict) else {frozenset(): found}

    def _value(self, node: Any, at: float) -> Vector | float:
        if isinstance(node, NumberLiteral):
            return float(node.val)
        if isinstance(node, ParenExpr):
            return self._value(node.expr, at)
        if isinstance(node, VectorSelector):
            return self._instant(node, at)
        if isinstance(node, AggregateExpr):
            return self._aggregate(node, at)
        if isinstance(node, Call):
            return self._call(node, at)
        if isinstance(node, BinaryExpr):
            return self._binary(node, at)
        raise ValueError(f"{node} is nothing that is read here")

    def _vector(self, node: Any, at: float) -> Vector:
        found = self._value(node, at)
        if not isinstance(found, dict):
            raise ValueError(f"{node} is a number")
        return found

    def _number(self, node: Any) -> float:
        if not isinstance(node, NumberLiteral):
            raise ValueError(f"{node} is no plain number")
        return float(node.val)

    def _matching(self, node: VectorSelector) -> Iterable[tuple[Labels, list[tuple[float, float]]]]:
        for key, points in self._series.get(node.name or "", {}).items():
            labels = dict(key)
            if all(_MATCHES[str(one.op)](labels.get(one.name, ""), one.value) for one in node.matchers.matchers):
                yield key, points

    def _instant(self, node: VectorSelector, at: float) -> Vector:
        at -= node.offset.total_seconds() if node.offset else 0.0
        if node.name is not None and node.name in self.recorded:
            return self.ask(self.recorded[node.name], at)
        found = {}
        for key, points in self._matching(node):
            last = next((point for point in reversed(points) if point[0] <= at), None)
            if last is not None and last[0] > at - _LOOKBACK_S and not math.isnan(last[1]):
                found[key | {(_NAME, node.name or "")}] = last[1]
        return found

    def _call(self, node: Call, at: float) -> Vector | float:
        name = node.func.name
        if name == "time":
            return at
        first = node.args[0]
        if name == "vector":
            return {frozenset(): self._number(first)}
        if name == "absent":
            wanted = {(one.name, one.value) for one in first.matchers.matchers if one.op == MatchOp.Equal}
            return {} if self._vector(first, at) else {frozenset(wanted): 1.0}
        if name == "histogram_quantile":
            return _quantiles(self._number(first), self._vector(node.args[1], at))
        chosen, seconds = first.vector_selector, first.range.total_seconds()
        found = {}
        for key, points in self._matching(chosen):
            within = [one for one in points if at - seconds < one[0] <= at and not math.isnan(one[1])]
            if name == "changes" and within:
                values = [value for _, value in within]
                found[key] = float(sum(left != right for left, right in pairwise(values)))
            elif name in ("rate", "increase") and len(within) > 1:
                grown = _increase(within, at - seconds, at)
                found[key] = grown / seconds if name == "rate" else grown
            elif name not in ("changes", "rate", "increase"):
                raise ValueError(f"{name} is not evaluated here")
        return found

    def _aggregate(self, node: AggregateExpr, at: float) -> Vector:
        kept = set(node.modifier.labels) if node.modifier else set()
        groups: dict[Labels, list[float]] = {}
        for key, value in self._vector(node.expr, at).items():
            groups.setdefault(frozenset(pair for pair in key if pair[0] in kept), []).append(value)
        return {key: float(_AGGREGATIONS[str(node.op)](values)) for key, values in groups.items()}

    def _binary(self, node: BinaryExpr, at: float) -> Vector | float:
        sign, left, right = str(node.op), self._value(node.lhs, at), self._value(node.rhs, at)
        pairs: dict[Labels, tuple[float, float]]
        if isinstance(left, dict) and isinstance(right, dict):
            if sign in _SETS:
                return _joined(sign, left, right)
            others = {_unnamed(key): value for key, value in right.items()}
            pairs = {key: (value, others[_unnamed(key)]) for key, value in left.items() if _unnamed(key) in others}
        elif isinstance(left, dict):
            pairs = {key: (value, float(right)) for key, value in left.items()}  # type: ignore[arg-type]  # a number
        elif isinstance(right, dict):
            pairs = {key: (left, value) for key, value in right.items()}
        else:
            return _ARITHMETIC[sign](left, right)
        if sign in _COMPARISONS:
            kept = 0 if isinstance(left, dict) else 1
            return {key: pair[kept] for key, pair in pairs.items() if _COMPARISONS[sign](*pair)}
        return {_unnamed(key): _ARITHMETIC[sign](*pair) for key, pair in pairs.items()}


def _unnamed(key: Labels) -> Labels:
    return frozenset(pair for pair in key if pair[0] != _NAME)


def _joined(sign: str, left: Vector, right: Vector) -> Vector:
    ours, theirs = {_unnamed(key) for key in left}, {_unnamed(key) for key in right}
    if sign == "or":
        return left | {key: value for key, value in right.items() if _unnamed(key) not in ours}
    return {key: value for key, value in left.items() if (_unnamed(key) in theirs) == (sign == "and")}


def _increase(points: list[tuple[float, float]], begin: float, end: float) -> float:
    """Return how much a counter grew, restarts taken for what they are, and drawn out to the ends of the window."""
    grown = 0.0
    for (_, before), (_, after) in pairwise(points):
        grown += after - before if after >= before else after
    (first_at, first), (last_at, _) = points[0], points[-1]
    covered = last_at - first_at
    usual = covered / (len(points) - 1)
    ahead, behind = (gap if gap < 1.1 * usual else usual / 2 for gap in (first_at - begin, end - last_at))
    if grown > 0 and first >= 0:
        ahead = min(ahead, covered * first / grown)  # it was never below 0
    return grown * (covered + ahead + behind) / covered


def _quantiles(share: float, buckets: Vector) -> Vector:
    groups: dict[Labels, list[tuple[float, float]]] = {}
    for key, count in buckets.items():
        bound = float(dict(key)["le"])
        groups.setdefault(frozenset(pair for pair in _unnamed(key) if pair[0] != "le"), []).append((bound, count))
    return {key: _quantile(share, sorted(found)) for key, found in groups.items()}


def _quantile(share: float, buckets: list[tuple[float, float]]) -> float:
    everything = buckets[-1][1]
    if not everything:
        return math.nan
    rank = share * everything
    at = next(number for number, (_, count) in enumerate(buckets) if count >= rank)
    bound, count = buckets[at]
    below, before = buckets[at - 1] if at else (0.0, 0.0)
    return below if math.isinf(bound) else below + (bound - below) * (rank - before) / (count - before)
