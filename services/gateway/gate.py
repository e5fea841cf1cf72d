"""Who sends an operation and at what cost, known before it runs; what it did cost, told afterwards."""

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from typing import Any, cast

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    get_operation_ast,
    validate,
)
from strawberry.exceptions import MissingQueryError
from strawberry.extensions import SchemaExtension
from strawberry.schema import Schema
from strawberry.schema.exceptions import CannotGetOperationTypeError
from strawberry.types import ExecutionContext, ExecutionResult, StreamExecutionResult

from services.chassis import auth
from services.chassis.errors import DomainError, InvalidArgument, ResourceExhausted
from services.chassis.server import limit_time
from services.gateway.budget import bucket_key
from services.gateway.context import RequestContext
from services.gateway.cost import Cost, answer_cost, measure_cost, points
from services.gateway.errors import is_ours, present
from services.gateway.execution import Selections
from services.gateway.known import Known
from services.gateway.limits import (
    PARSE_OPTIONS,
    check_answer,
    check_shape,
    check_subscription,
    check_variables,
    parse_document,
    refuse_introspection,
)

# Points of an answer; one of so many takes about 0.3 s of a core.
MAX_COST = 5_000
# Answers of fewer points are not long, whatever their text is.
_MAYBE_LONG = 300

# Each unknown name is compared with all known ones, for suggestions.
_MAX_ERRORS = 5
_UNREADABLE = "a value of the document cannot be read"
_NOTHING = parse_document("{ __typename }")
# Reading documents that are not known: their text, and their fields, which validation compares in pairs.
_CHARACTERS_A_POINT = 64
_PAIRS_A_POINT = 100
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
        context = execution_context.context if execution_context is not None else None
        is_explorable = not isinstance(context, RequestContext) or context.parts.settings.explorable
        for error in errors:
            if isinstance(error.original_error, (CannotGetOperationTypeError, MissingQueryError)):
                error.original_error = _operation_unknown()  # Strawberry's own, of an operation over a socket
            present(error, with_suggestions=is_explorable)
            if isinstance(context, RequestContext) and error.extensions is not None:
                context.parts.counts.told(error.extensions["code"], error.extensions["reason"])

    def _get_custom_context_kwargs(
        self, operation_extensions: dict[str, Any] | None = None, *, sync: bool = False
    ) -> dict[str, Any]:
        # Each error of a variable prints all of it.
        kwargs = super()._get_custom_context_kwargs(operation_extensions, sync=sync)
        return {**kwargs, "max_coercion_errors": _MAX_ERRORS}

    def check_document(self, document: DocumentNode) -> list[GraphQLError]:
        """Validate a document; what is wrong with it, or nothing."""
        errors = validate(self._schema, document, max_errors=_MAX_ERRORS)
        # Python reads no number of more than 4,300 digits, which graphql-core does not expect.
        return [
            GraphQLError(_UNREADABLE, error.nodes) if isinstance(error.original_error, ValueError) else error
            for error in errors
        ]

    def measure_cost(
        self, document: DocumentNode, operation: OperationDefinitionNode, variables: dict[str, Any]
    ) -> Cost:
        """Return what an operation can cost; the document must be within the limits."""
        return measure_cost(self._schema, document, operation, variables)


class DocumentGate(SchemaExtension):
    """Bounds, authenticates, charges and times one operation.

    Documents that passed once are not parsed or validated again. What is wrong is told by `pre_execution_errors`:
    an exception of a hook would end a socket without a word.
    """

    def __init__(self, passed: "OrderedDict[str, Known]") -> None:
        self._passed = passed
        self._refusal: DomainError | None = None
        self._bill: Bill | None = None
        self._cost = 0
        self._kind: str | None = None

    def on_operation(self) -> Generator[None, None, None]:
        """Give the operation a context of its own."""
        execution, began = self.execution_context, time.monotonic()
        execution.context = self._context.for_operation()
        # Strawberry's type knows only one of graphql-core's bounds.
        cast(dict[str, Any], execution.parse_options).update(PARSE_OPTIONS)
        yield
        if self._kind is not None:
            self._context.parts.counts.ran(self._kind, self._outcome(), time.monotonic() - began)

    def on_parse(self) -> Generator[None, None, None]:
        """Take the document from before, where there is one; what must not be run is not even read."""
        execution = self.execution_context
        self._refusal = self._refuse_unread()
        if self._refusal is not None:
            execution.graphql_document = _NOTHING
            execution._provided_operation_name = None
        elif execution.query is not None and execution.query in self._passed:
            self._passed.move_to_end(execution.query)
            execution.graphql_document = self._passed[execution.query].document
        yield

    async def on_validate(self) -> AsyncGenerator[None, None]:
        """Refuse what is too costly or not who it says, before graphql-core looks at it."""
        execution = self.execution_context
        document, query = execution.graphql_document, execution.query
        if document is None or execution.pre_execution_errors:
            yield  # it could not be parsed
            return
        known = self._passed.get(query) if query is not None else None
        is_known = known is not None
        try:
            if self._refusal is not None:
                raise self._refusal
            effort = 0 if is_known else check_shape(document)
            self._charge_reading(effort * effort // _PAIRS_A_POINT)
            if not (is_known or self._context.parts.settings.explorable):
                refuse_introspection(document)
            operation = await self._admit(document)
            self._charge(known or Known(document), operation, effort)
            # A list, and be it empty: validation is done.
            execution.pre_execution_errors = [] if is_known else self._schema.check_document(document)
        except DomainError as error:
            execution.pre_execution_errors = [GraphQLError(error.message, original_error=error)]
        if not execution.pre_execution_errors and query is not None and len(query) <= _MAX_CACHED_CHARACTERS:
            if known is None:
                known = self._passed[query] = Known(document, Selections.of(document))
                if len(self._passed) > _CACHED_DOCUMENTS:
                    self._passed.popitem(last=False)
            self._context.selections = known.selections
        yield

    def on_execute(self) -> Generator[None, None, None]:
        """Hold back an answer that is too long to be sent."""
        yield
        result = self.execution_context.result
        if result is not None and self._may_be_long:
            check_answer(result.data)

    def get_results(self) -> dict[str, Any]:
        """Tell what a query or mutation cost."""
        if self._bill is None or self._bill.is_subscription:
            return {}
        result = self.execution_context.result
        return self._settled(None if result is None else result.data)

    def on_stream_result(self, result: StreamExecutionResult) -> Generator[None, None, None]:
        """Tell what a subscription cost with its first event, which the gateway makes at once; others come slowly."""
        if self._may_be_long and isinstance(result, ExecutionResult):
            try:
                check_answer(result.data)
            except DomainError as error:
                result.data, result.errors = None, [GraphQLError(error.message, original_error=error)]
                self._schema.process_errors(result.errors, self.execution_context)
        if self._bill is not None and self._bill.is_subscription and isinstance(result, ExecutionResult):
            result.extensions = {**(result.extensions or {}), **self._settled(result.data)}
            self._bill = None
        yield

    def _settled(self, data: Any) -> dict[str, Any]:
        bill, budgets = cast(Bill, self._bill), self._context.parts.budgets
        if bill.actual is None and data is not None:
            bill.actual = min(bill.cost.points, points(bill.cost.fixed + answer_cost(data)))
            budgets.give_back(bill.key, bill.cost.points - bill.actual)
        told = {
            "requested": bill.cost.points,
            "actual": bill.actual,
            "limit": budgets.capacity,
            "left": budgets.left(bill.key),
            "refill": max(1, round(budgets.refill_per_s)),
        }
        return {"cost": {name: value for name, value in told.items() if value is not None}}

    @property
    def _context(self) -> RequestContext:
        return cast(RequestContext, self.execution_context.context)

    @property
    def _schema(self) -> GatewaySchema:
        return cast(GatewaySchema, self.execution_context.schema)

    def _refuse_unread(self) -> DomainError | None:
        query = self.execution_context.query
        try:
            check_variables(self.execution_context.variables)
            if query is not None and query not in self._passed:
                self._charge_reading(1 + len(query) // _CHARACTERS_A_POINT)
        except DomainError as error:
            return error
        return self._context.parts.trusted.refusal(query)

    def _outcome(self) -> str:
        """Return "ok", or by the worst of its errors whether it was "refused" or "failed"."""
        result = self.execution_context.result
        errors = self.execution_context.pre_execution_errors or (None if result is None else result.errors)
        return "ok" if not errors else "failed" if any(map(is_ours, errors)) else "refused"

    async def _admit(self, document: DocumentNode) -> OperationDefinitionNode:
        # Where nothing is named, Strawberry's public `operation_name` is the first of several; GraphQL wants an error.
        operation = get_operation_ast(document, self.execution_context._provided_operation_name)
        if operation is None:
            raise _operation_unknown()
        if operation.operation is not OperationType.SUBSCRIPTION:  # which lives for hours
            self._kind = operation.operation.value
        if operation.operation is not OperationType.SUBSCRIPTION:
            limit_time(self._context.parts.settings.request_timeout_s)
        elif not self._context.is_socket:
            raise InvalidArgument("subscriptions need a WebSocket", reason="SUBSCRIPTION_NEEDS_SOCKET", field="query")
        else:
            check_subscription(self.execution_context.query or "", self.execution_context.variables)
        if _needs_no_token(operation):
            self._context.forget_sender()
        else:
            await self._context.authenticate()
        return operation

    def _charge_reading(self, cost: int) -> None:
        """Take what reading costs from the caller's network, before it is known who they are and whether it runs."""
        if cost:
            self._context.parts.budgets.spend(f"reading {auth.client()}", cost)

    @property
    def _may_be_long(self) -> bool:
        return self._cost > _MAYBE_LONG

    def _charge(self, known: Known, operation: OperationDefinitionNode, effort: int) -> None:
        cost = known.cost(self._schema.measure_cost, operation, self.execution_context.variables or {})
        if cost.points > MAX_COST:
            raise ResourceExhausted(
                f"the document can cost {cost.points} points, the limit is {MAX_COST}: ask for shorter pages",
                reason="DOCUMENT_TOO_COSTLY",
                field="query",
                value=cost.points,
                limit=MAX_COST,
            )
        self._cost = cost.points
        self._context.parts.counts.cost(cost.points)
        self._context.parts.budgets.times.check(bucket_key())
        self._bill = Bill(cost, bucket_key(), operation.operation is OperationType.SUBSCRIPTION)
        # Reading a document that is not known takes its fields as well, and is not told as a cost of the operation.
        self._context.parts.budgets.spend(self._bill.key, cost.points + effort)


@dataclass(slots=True)
class Bill:
    """What an operation may cost and, once it has run, what it did cost."""

    cost: Cost
    key: str
    is_subscription: bool
    actual: int | None = None


def _operation_unknown() -> InvalidArgument:
    return InvalidArgument("name one of the document's operations", reason="OPERATION_UNKNOWN", field="operationName")


def _needs_no_token(operation: OperationDefinitionNode) -> bool:
    names = {node.name.value if isinstance(node, FieldNode) else "" for node in operation.selection_set.selections}
    return operation.operation is OperationType.MUTATION and names <= _WITHOUT_TOKEN


def gates() -> Callable[[], SchemaExtension]:
    """Return a factory of gates that share the documents that passed."""
    passed: OrderedDict[str, Any] = OrderedDict()
    return lambda: DocumentGate(passed)
