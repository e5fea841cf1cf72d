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

from services.chassis.errors import PermissionDenied, ResourceExhausted
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
    Fragments that spread each other in a circle count nothing here; validation refuses them.
    """
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    known: dict[str, Shape] = {}

    def of_fragment(name: str) -> Shape:
        if name not in known:
            known[name] = Shape()  # while it is being measured: ends circles
            if name in fragments:
                known[name] = of_selections(fragments[name].selection_set)
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
