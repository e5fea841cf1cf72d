"""Least documents that reach a field of the schema, with some value for each argument that must be there."""

import base64
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
    is_required_input_field,
)

from tests.fakes.answers import made_up_id

UUID = made_up_id("track_id")
_SCALARS = {
    "ID": f'"{UUID}"',
    "String": '"text"',
    "Boolean": "true",
    "Float": "0.5",
    "DateTime": '"2026-01-02T03:04:05Z"',
}


class Step(NamedTuple):
    """A field below a type."""

    type_name: str
    field: str

    def __str__(self) -> str:
        return f"{self.type_name}.{self.field}"


class Paths:
    """How to get to each type from the root.

    Args:
        schema: Of the gateway.
        arguments: Of fields, by "Type.field", where not just anything will do.
        ways: Before others, how to get to a type: "Type.field" of the last step, by the type's name.
    """

    def __init__(
        self, schema: GraphQLSchema, arguments: Mapping[str, str], avoid: frozenset[str] = frozenset()
    ) -> None:
        self._schema = schema
        self._arguments = arguments
        self._avoid = avoid
        self._to_type: dict[str, tuple[Step, ...]] = {}
        roots = [each for each in (schema.query_type, schema.mutation_type, schema.subscription_type) if each]
        left: deque[tuple[GraphQLObjectType, tuple[Step, ...]]] = deque((root, ()) for root in roots)
        while left:
            type_, path = left.popleft()
            for name, field in type_.fields.items():
                step = Step(type_.name, name)
                if str(step) in avoid:
                    continue
                for found in self._objects(field):
                    if found.name not in self._to_type and found not in roots:
                        self._to_type[found.name] = (*path, step)
                        left.append((found, (*path, step)))

    def to(self, step: Step) -> tuple[Step, ...] | None:
        """Return the fields from the root to this one, which is the last; None where there is no way."""
        roots = {
            root.name
            for root in (self._schema.query_type, self._schema.mutation_type, self._schema.subscription_type)
            if root
        }
        if step.type_name in roots:
            return (step,)
        path = self._to_type.get(step.type_name)
        return None if path is None else (*path, step)

    def document(self, path: tuple[Step, ...]) -> str:
        """Write the document of a path."""
        text = ""
        for number, step in reversed(list(enumerate(path))):
            field = self._field(step)
            below = text
            if number + 1 < len(path):
                below = self._narrowed(field, path[number + 1].type_name, text)
            text = f"{step.field}{self._given(step, field)}{self._selected(field, below)}"
        kind = next(
            kind
            for kind, root in (
                ("query", self._schema.query_type),
                ("mutation", self._schema.mutation_type),
                ("subscription", self._schema.subscription_type),
            )
            if root is not None and root.name == path[0].type_name
        )
        return f"{kind} {{ {text} }}"

    def _field(self, step: Step) -> GraphQLField:
        type_ = self._schema.type_map[step.type_name]
        assert isinstance(type_, GraphQLObjectType)
        found: GraphQLField = type_.fields[step.field]
        return found

    def _objects(self, field: GraphQLField) -> list[GraphQLObjectType]:
        named = get_named_type(field.type)
        if isinstance(named, GraphQLObjectType):
            return [named]
        if isinstance(named, (GraphQLUnionType, GraphQLInterfaceType)):
            return list(self._schema.get_possible_types(named))
        return []

    def _narrowed(self, field: GraphQLField, type_name: str, text: str) -> str:
        if isinstance(get_named_type(field.type), GraphQLObjectType):
            return text
        return f"... on {type_name} {{ {text} }}"

    def _selected(self, field: GraphQLField, below: str) -> str:
        named = get_named_type(field.type)
        if is_leaf_type(named):
            return ""
        error = " ... on UserError { code message }" if named.name.endswith("Result") else ""
        return f" {{ __typename{error} {below} }}"

    def _given(self, step: Step, field: GraphQLField) -> str:
        if str(step) in self._arguments:
            return f"({self._arguments[str(step)]})"
        given = [
            f"{name}: {sample(argument.type)}"
            for name, argument in field.args.items()
            if is_required_argument(argument)
        ]
        return f"({', '.join(given)})" if given else ""


def sample(type_: GraphQLInputType) -> str:
    """Write some value of a type."""
    if isinstance(type_, GraphQLNonNull):
        return sample(type_.of_type)
    if isinstance(type_, GraphQLList):
        return f"[{sample(type_.of_type)}]"
    if isinstance(type_, GraphQLEnumType):
        return str(next(iter(type_.values)))
    if isinstance(type_, GraphQLInputObjectType):
        given = [
            f"{name}: {sample(field.type)}" for name, field in type_.fields.items() if is_required_input_field(field)
        ]
        return f"{{{', '.join(given)}}}"
    return _SCALARS.get(type_.name, "1")


def global_id(kind: str) -> str:
    """Return a global id."""
    return base64.b64encode(f"{kind}:{UUID}".encode()).decode()
