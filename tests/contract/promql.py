"""Prometheus's expressions by its own grammar: what our dashboards and alerts ask for. `samples.py` answers them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import promql_parser
from promql_parser import AggregateExpr, BinaryExpr, Call, MatrixSelector, NumberLiteral, ParenExpr, VectorSelector

_RATE_INTERVAL = ("[$__rate_interval]", "[5m]")


@dataclass(frozen=True)
class Selector:
    """Samples of a metric, with label and value of each matcher; `grouped` are the labels that aggregations name."""

    metric: str
    matchers: tuple[tuple[str, str], ...] = ()
    grouped: frozenset[str] = frozenset()


def parse(expression: str) -> Any:  # a node of promql_parser's
    """Read an expression of instants.

    Raises:
        ValueError: It is none.
    """
    found = promql_parser.parse(expression.replace(*_RATE_INTERVAL))
    if isinstance(found, MatrixSelector):
        raise ValueError(f"{expression!r} is a range")
    return found


def selectors(expression: str) -> list[Selector]:
    """Return what an expression asks for.

    Raises:
        ValueError: It is none.
    """
    return list(_selectors(parse(expression), frozenset()))


def _selectors(node: Any, grouped: frozenset[str]) -> Iterable[Selector]:
    if isinstance(node, VectorSelector):
        matchers = tuple((one.name, one.value) for one in node.matchers.matchers)
        yield Selector(node.name or "", matchers, grouped)
    elif isinstance(node, AggregateExpr):
        yield from _selectors(node.expr, grouped | frozenset(node.modifier.labels if node.modifier else ()))
    else:
        for inner in _inside(node):
            yield from _selectors(inner, grouped)


def _inside(node: Any) -> Iterable[Any]:
    """Return what a node is made of."""
    if isinstance(node, BinaryExpr):
        return (node.lhs, node.rhs)
    if isinstance(node, Call):
        return tuple(node.args)
    if isinstance(node, MatrixSelector):
        return (node.vector_selector,)
    if isinstance(node, ParenExpr):
        return (node.expr,)
    if isinstance(node, NumberLiteral):
        return ()
    raise ValueError(f"{node} is nothing that is read here")
