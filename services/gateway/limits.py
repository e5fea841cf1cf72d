"""What a document may cost, measured before it is validated, and who sends it, known before it runs."""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from typing import Any, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_operation_ast,
)
from strawberry.extensions import SchemaExtension
from strawberry.schema import Schema
from strawberry.types import ExecutionContext

from services.chassis.errors import DomainError, InvalidArgument, ResourceExhausted
from services.chassis.server import limit_time
from services.gateway.context import RequestContext
from services.gateway.errors import present

MAX_TOKENS = 1000
MAX_DOCUMENT_CHARACTERS = 64 * 1024
# The introspection query of the common clients has 15.
MAX_DEPTH = 16
MAX_ALIASES = 20
# Fields after fragments are spread; validation compares them in pairs.
MAX_FIELDS = 300

_CACHED_DOCUMENTS = 256
_MAX_CACHED_CHARACTERS = 4096
# These make or mend a session: a dead token in the header must not stand in their way.
_WITHOUT_TOKEN = frozenset(
    {"signUp", "logIn", "refresh", "requestPasswordReset", "resetPassword", "verifyEmail", "exchangeApiToken"}
)


class GatewaySchema(Schema):
    """A schema whose errors are coded, and masked where nobody expected them."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Give each error its final shape, in place."""
        for error in errors:
            present(error)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a selection asks for once its fragments are spread."""

    depth: int = 0
    aliases: int = 0
    fields: int = 0


def measure(document: DocumentNode) -> Cost:
    """Measure a document: the depth of its deepest operation, and all aliases and fields.

    Every fragment is measured once, so that the effort grows with the document and not with what it spreads to.
    Fragments that spread each other in a circle count nothing here; validation refuses them.
    """
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    known: dict[str, Cost] = {}

    def of_fragment(name: str) -> Cost:
        if name not in known:
            known[name] = Cost()  # while it is being measured: ends circles
            if name in fragments:
                known[name] = of_selections(fragments[name].selection_set)
        return known[name]

    def of_selections(selections: SelectionSetNode | None) -> Cost:
        depth = aliases = fields = 0
        for node in selections.selections if selections is not None else ():
            if isinstance(node, FragmentSpreadNode):
                cost = of_fragment(node.name.value)
            else:
                cost = of_selections(node.selection_set)  # type: ignore[attr-defined]  # fields and inline fragments
                if isinstance(node, FieldNode):
                    cost = Cost(cost.depth + 1, cost.aliases + (node.alias is not None), cost.fields + 1)
            depth = max(depth, cost.depth)
            aliases += cost.aliases
            fields += cost.fields
        return Cost(depth, aliases, fields)

    costs = [
        of_selections(node.selection_set) for node in document.definitions if isinstance(node, OperationDefinitionNode)
    ]
    return Cost(
        depth=max((cost.depth for cost in costs), default=0),
        aliases=sum(cost.aliases for cost in costs),
        fields=sum(cost.fields for cost in costs),
    )


def check_cost(document: DocumentNode) -> None:
    """Refuse a document that asks for too much.

    Raises:
        ResourceExhausted: DOCUMENT_TOO_DEEP, TOO_MANY_ALIASES or TOO_MANY_FIELDS.
    """
    cost = measure(document)
    for reason, what, value, limit in (
        ("DOCUMENT_TOO_DEEP", "levels", cost.depth, MAX_DEPTH),
        ("TOO_MANY_ALIASES", "aliases", cost.aliases, MAX_ALIASES),
        ("TOO_MANY_FIELDS", "fields", cost.fields, MAX_FIELDS),
    ):
        if value > limit:
            raise ResourceExhausted(
                f"the document has {value} {what}, the limit is {limit}",
                reason=reason,
                field="query",
                value=value,
                limit=limit,
            )


class DocumentGate(SchemaExtension):
    """Bounds, authenticates and times one operation; documents that passed once are not parsed or validated again."""

    def __init__(self, passed: "OrderedDict[str, DocumentNode]") -> None:
        self._passed = passed

    def on_operation(self) -> Generator[None, None, None]:
        """Give the operation a context of its own."""
        execution = self.execution_context
        execution.context = self._context.for_operation()
        # Strawberry's type knows only one of graphql-core's bounds.
        cast(dict[str, int], execution.parse_options).update(
            max_lexical_tokens=MAX_TOKENS, max_comments=MAX_TOKENS, max_source_length=MAX_DOCUMENT_CHARACTERS
        )
        yield

    def on_parse(self) -> Generator[None, None, None]:
        """Take the document from before, where there is one."""
        query = self.execution_context.query
        if query is not None and query in self._passed:
            self._passed.move_to_end(query)
            self.execution_context.graphql_document = self._passed[query]
        yield

    async def on_validate(self) -> AsyncGenerator[None, None]:
        """Refuse what is too costly or not who it says, before graphql-core looks at it."""
        execution = self.execution_context
        document, query = execution.graphql_document, execution.query
        if document is None or execution.pre_execution_errors:
            yield  # it could not be parsed
            return
        is_known = query in self._passed
        try:
            if not is_known:
                check_cost(document)
            await self._admit(document)
            if is_known:
                execution.pre_execution_errors = []  # not None: validation is done
        except DomainError as error:
            execution.pre_execution_errors = [GraphQLError(error.message, original_error=error)]
        yield
        if not execution.pre_execution_errors and query is not None and len(query) <= _MAX_CACHED_CHARACTERS:
            self._passed[query] = document
            if len(self._passed) > _CACHED_DOCUMENTS:
                self._passed.popitem(last=False)

    @property
    def _context(self) -> RequestContext:
        return cast(RequestContext, self.execution_context.context)

    async def _admit(self, document: DocumentNode) -> None:
        # Where nothing is named, Strawberry's public `operation_name` is the first of several; GraphQL wants an error.
        operation = get_operation_ast(document, self.execution_context._provided_operation_name)
        if operation is None:
            raise InvalidArgument(
                "name one of the document's operations", reason="OPERATION_UNKNOWN", field="operationName"
            )
        if operation.operation is not OperationType.SUBSCRIPTION:
            limit_time(self._context.parts.settings.request_timeout_s)
        elif not self._context.is_socket:
            raise InvalidArgument("subscriptions need a WebSocket", reason="SUBSCRIPTION_NEEDS_SOCKET", field="query")
        if _needs_no_token(operation):
            self._context.forget_sender()
        else:
            await self._context.authenticate()


def _needs_no_token(operation: OperationDefinitionNode) -> bool:
    names = {node.name.value if isinstance(node, FieldNode) else "" for node in operation.selection_set.selections}
    return operation.operation is OperationType.MUTATION and names <= _WITHOUT_TOKEN


def limits() -> Callable[[], SchemaExtension]:
    """Return a factory of gates that share the documents that passed."""
    passed: OrderedDict[str, Any] = OrderedDict()
    return lambda: DocumentGate(passed)
