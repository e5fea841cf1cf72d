"""What a document may be, measured before it is validated."""

from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
)

from services.chassis.errors import InvalidArgument, PermissionDenied, ResourceExhausted
from services.gateway.cost import count_values

MAX_TOKENS = 1000
MAX_DOCUMENT_CHARACTERS = 64 * 1024
# The introspection query of the common clients has 15.
MAX_DEPTH = 16
MAX_ALIASES = 20
# Fields after fragments are spread; validation compares them in pairs.
MAX_FIELDS = 300
# Values of variables at all depths: 500 full registrations have 20,000.
MAX_VALUES = 50_000
# Of an answer: with aliases a document may ask for the same text many times.
MAX_ANSWER_CHARACTERS = 8 * 1024 * 1024
# Of a subscription with its variables, which are held as long as it.
MAX_SUBSCRIPTION_CHARACTERS = 64 * 1024

PARSE_OPTIONS: dict[str, Any] = {
    "max_lexical_tokens": MAX_TOKENS,
    "max_comments": MAX_TOKENS,
    "max_source_length": MAX_DOCUMENT_CHARACTERS,
}
_INTROSPECTION = frozenset({"__schema", "__type"})


def parse_document(text: str) -> DocumentNode:
    """Parse a document of a bounded size.

    Raises:
        GraphQLError: It is none, or too large; `errors.present` tells which.
    """
    return parse(text, **PARSE_OPTIONS)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a selection asks for once its fragments are spread."""

    depth: int = 0
    aliases: int = 0
    fields: int = 0


def measure(document: DocumentNode) -> Shape:
    """Measure a document: the depth of its deepest operation, and all aliases and fields.

    Every fragment is measured once, so that the effort grows with the document and not with what it spreads to.

    Raises:
        InvalidArgument: DOCUMENT_INVALID: fragments spread each other in a circle, which nobody else should walk.
    """
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    known: dict[str, Shape] = {}
    open_: set[str] = set()  # those that are being measured

    def of_fragment(name: str) -> Shape:
        if name in open_:
            raise InvalidArgument(
                f"the fragment {name[:100]} spreads itself", reason="DOCUMENT_INVALID", field="query", value=name
            )
        if name not in known:
            open_.add(name)
            known[name] = of_selections(fragments[name].selection_set) if name in fragments else Shape()
            open_.discard(name)
        return known[name]

    def of_selections(selections: SelectionSetNode | None) -> Shape:
        depth = aliases = fields = 0
        for node in selections.selections if selections is not None else ():
            if isinstance(node, FragmentSpreadNode):
                below = of_fragment(node.name.value)
            else:
                below = of_selections(node.selection_set)  # type: ignore[attr-defined]  # fields and inline fragments
                if isinstance(node, FieldNode):
                    below = Shape(below.depth + 1, below.aliases + (node.alias is not None), below.fields + 1)
            depth = max(depth, below.depth)
            aliases += below.aliases
            fields += below.fields
        return Shape(depth, aliases, fields)

    shapes = [
        of_selections(node.selection_set) for node in document.definitions if isinstance(node, OperationDefinitionNode)
    ]
    return Shape(
        depth=max((shape.depth for shape in shapes), default=0),
        aliases=sum(shape.aliases for shape in shapes),
        fields=sum(shape.fields for shape in shapes),
    )


def check_shape(document: DocumentNode) -> int:
    """Refuse a document that asks for too much; return how many fields it has.

    Raises:
        InvalidArgument: DOCUMENT_INVALID, of fragments in a circle.
        ResourceExhausted: DOCUMENT_TOO_DEEP, TOO_MANY_ALIASES or TOO_MANY_FIELDS.
    """
    shape = measure(document)
    for reason, what, value, limit in (
        ("DOCUMENT_TOO_DEEP", "levels", shape.depth, MAX_DEPTH),
        ("TOO_MANY_ALIASES", "aliases", shape.aliases, MAX_ALIASES),
        ("TOO_MANY_FIELDS", "fields", shape.fields, MAX_FIELDS),
    ):
        if value > limit:
            raise ResourceExhausted(
                f"the document has {value} {what}, the limit is {limit}",
                reason=reason,
                field="query",
                value=value,
                limit=limit,
            )
    return shape.fields


def check_variables(variables: dict[str, Any] | None) -> None:
    """Refuse variables of too many values.

    Raises:
        ResourceExhausted: TOO_MANY_VALUES.
    """
    if variables and count_values(variables, MAX_VALUES) > MAX_VALUES:
        raise ResourceExhausted(
            f"the variables have more than {MAX_VALUES} values",
            reason="TOO_MANY_VALUES",
            field="variables",
            limit=MAX_VALUES,
        )


def check_subscription(query: str, variables: dict[str, Any] | None) -> None:
    """Refuse a subscription that is long, or has long variables, whether it needs them or not.

    Raises:
        ResourceExhausted: SUBSCRIPTION_TOO_LARGE.
    """
    if count_characters([query, variables or {}], MAX_SUBSCRIPTION_CHARACTERS) > MAX_SUBSCRIPTION_CHARACTERS:
        raise ResourceExhausted(
            f"the subscription and its variables have more than {MAX_SUBSCRIPTION_CHARACTERS} characters",
            reason="SUBSCRIPTION_TOO_LARGE",
            field="variables",
            limit=MAX_SUBSCRIPTION_CHARACTERS,
        )


def check_answer(data: Any) -> None:
    """Refuse to send an answer of too much text.

    Raises:
        ResourceExhausted: ANSWER_TOO_LARGE.
    """
    if count_characters(data, MAX_ANSWER_CHARACTERS) > MAX_ANSWER_CHARACTERS:
        raise ResourceExhausted(
            f"the answer has more than {MAX_ANSWER_CHARACTERS} characters: ask for shorter pages, and each text once",
            reason="ANSWER_TOO_LARGE",
            field="query",
            limit=MAX_ANSWER_CHARACTERS,
        )


def count_characters(values: Any, limit: int) -> int:
    """Count the characters of all text in JSON, a few for each other value; stops soon after a limit."""
    count, left = 0, [values]
    while left and count <= limit:
        value = left.pop()
        if isinstance(value, str):
            count += len(value)
        elif isinstance(value, dict):
            count += 4 * len(value)
            left.extend(value)
            left.extend(value.values())
        elif isinstance(value, list):
            count += 4 * len(value)
            left.extend(value)
    return count


def refuse_introspection(document: DocumentNode) -> None:
    """Refuse a document that asks for the schema.

    Raises:
        PermissionDenied: INTROSPECTION_OFF.
    """
    left: list[Any] = [node.selection_set for node in document.definitions]  # type: ignore[attr-defined]  # executable
    while left:
        selections = left.pop()
        for node in selections.selections if selections is not None else ():
            if isinstance(node, FieldNode) and node.name.value in _INTROSPECTION:
                raise PermissionDenied(
                    "the schema is not told here", reason="INTROSPECTION_OFF", field="query", value=node.name.value
                )
            left.append(getattr(node, "selection_set", None))
