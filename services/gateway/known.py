"""Documents that passed, with what need not be found out again about them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from graphql import DocumentNode, OperationDefinitionNode

from services.gateway.cost import Cost, countable
from services.gateway.execution import Selections

_MAX_COSTS = 32

Measure = Callable[[DocumentNode, OperationDefinitionNode, dict[str, Any]], Cost]


@dataclass(slots=True)
class Known:
    """One of them.

    Attributes:
        document: It.
        selections: What it selects, where that is the same each time.
    """

    document: DocumentNode
    selections: Selections | None = None
    _costs: dict[tuple[Any, ...], Cost] = field(default_factory=dict)

    def cost(self, measure: Measure, operation: OperationDefinitionNode, variables: dict[str, Any]) -> Cost:
        """Return what an operation can cost, measured once for all variables that count the same."""
        counted = countable(operation, variables)
        found = self._costs.get(counted)
        if found is None:
            found = measure(self.document, operation, variables)
            if len(self._costs) < _MAX_COSTS:
                self._costs[counted] = found
        return found
