"""What a result is: a line with a rule in words and in code, computed for each case. Knows no subject."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from deploy.capacity.figures import Case, Figure

Figures = Mapping[str, float]

DAY_S, HOURS_OF_A_MONTH, DAYS_OF_A_MONTH = 86_400.0, 730.0, 30.4


class Line(NamedTuple):
    """One result: what it is, in which unit, and how it is computed, in words and in code."""

    what: str
    unit: str
    rule: str
    compute: Callable[[Figures], float]


def of_case(figures: list[Figure], case: Case) -> dict[str, float]:
    """Return the numbers of one case by name."""
    return {figure.name: figure.of(case) for figure in figures}


def three(line: Line, cases: Mapping[Case, Figures]) -> tuple[float, float, float]:
    """Return a line's number in each case, cheap to dear."""
    cheap, expected, dear = (line.compute(cases[case]) for case in Case)
    return cheap, expected, dear
