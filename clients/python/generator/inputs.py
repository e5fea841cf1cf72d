"""Finds what is sent: variables of operations, and the input objects and enums behind them."""

from collections.abc import Mapping
from dataclasses import dataclass

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    OperationDefinitionNode,
    Undefined,
    is_leaf_type,
    type_from_ast,
)

from clients.python.generator import shapes
from clients.python.generator.names import python_name
from clients.python.generator.shapes import GeneratorError, Shape


@dataclass(frozen=True, slots=True)
class Given:
    """Something that is sent: its name here and in JSON, its type, and whether it may be left out."""

    name: str
    key: str
    shape: Shape
    is_optional: bool
    description: str | None = None


@dataclass(frozen=True, slots=True)
class InputClass:
    """A class of what is sent."""

    name: str
    description: str | None
    members: tuple[Given, ...]


class Inputs:
    """Gathers the classes of what is sent.

    Attributes:
        classes: What was found, by name.
        enums: Enums that are sent.
    """

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self.classes: dict[str, InputClass] = {}
        self.enums: dict[str, GraphQLEnumType] = {}

    def variables(self, operation: OperationDefinitionNode) -> tuple[Given, ...]:
        """Return the variables of an operation, those first that must be given."""
        found = []
        for node in operation.variable_definitions or ():
            type_: GraphQLInputType = type_from_ast(self._schema, node.type)  # type: ignore[assignment]  # it was validated
            found.append(self._given(node.variable.name.value, type_, node.default_value is not None, None))
        return tuple(sorted(found, key=lambda one: one.is_optional))

    def _given(self, key: str, type_: GraphQLInputType, has_default: bool, description: str | None) -> Given:
        is_optional = has_default or not isinstance(type_, GraphQLNonNull)
        bare = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
        shape = self._certain(bare)
        return Given(python_name(key), key, shapes.optional(shape) if is_optional else shape, is_optional, description)

    def _shape(self, type_: GraphQLInputType) -> Shape:
        if isinstance(type_, GraphQLNonNull):
            return self._certain(type_.of_type)
        return shapes.optional(self._certain(type_))

    def _certain(self, type_: GraphQLInputType) -> Shape:
        if isinstance(type_, GraphQLList):
            return shapes.sequence(self._shape(type_.of_type))
        if is_leaf_type(type_):
            if isinstance(type_, GraphQLEnumType):
                self.enums[type_.name] = type_
            return shapes.input_leaf(type_)
        assert isinstance(type_, GraphQLInputObjectType)
        if type_.name not in self.classes:
            self._keep(type_)
        return Shape(type_.name, f"{type_.name}.written")

    def _keep(self, type_: GraphQLInputObjectType) -> None:
        self.classes[type_.name] = InputClass(type_.name, None, ())  # it may hold itself
        members = []
        for key, field in type_.fields.items():
            has_default = field.default is not None or field.default_value is not Undefined
            if not has_default and not isinstance(field.type, GraphQLNonNull):
                raise GeneratorError(
                    f"{type_.name}.{key} may differ between null and nothing: this client sends no null"
                )
            members.append(self._given(key, field.type, has_default, field.description))
        self.classes[type_.name] = InputClass(type_.name, type_.description, tuple(members))


def merged(*enums: Mapping[str, GraphQLEnumType]) -> list[GraphQLEnumType]:
    """Return all enums once, by name."""
    found = {name: type_ for some in enums for name, type_ in some.items()}
    return [found[name] for name in sorted(found)]
