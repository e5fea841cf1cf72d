"""Types of Python for types of GraphQL: how each is written down, read out of JSON and put into it."""

from dataclasses import dataclass

from graphql import GraphQLEnumType, GraphQLLeafType


class GeneratorError(Exception):
    """A document or a schema that no client can be made of; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A type of Python.

    Attributes:
        annotation: As it stands in an annotation.
        convert: Expression of what makes it of JSON, or JSON of it; empty where it goes as it is.
    """

    annotation: str
    convert: str = ""

    def applied(self, value: str) -> str:
        """Return the expression that converts a value."""
        return f"{self.convert}({value})" if self.convert else value


# Annotation, what reads it, what writes it.
_SCALARS = {
    "ID": ("str", "", ""),
    "String": ("str", "", ""),
    "Int": ("int", "", ""),
    "Boolean": ("bool", "", ""),
    "Float": ("float", "float", ""),
    "BigInt": ("int", "int", ""),
    "UInt64": ("int", "int", "str"),
    "Date": ("date", "date.fromisoformat", "date.isoformat"),
    "DateTime": ("datetime", "datetime.fromisoformat", "datetime.isoformat"),
}


def output_leaf(type_: GraphQLLeafType) -> Shape:
    """Return what a scalar or an enum of an answer becomes."""
    if isinstance(type_, GraphQLEnumType):
        return Shape(type_.name, type_.name)
    annotation, read, _ = _scalar(type_.name)
    return Shape(annotation, read)


def input_leaf(type_: GraphQLLeafType) -> Shape:
    """Return what is sent for a scalar or an enum."""
    if isinstance(type_, GraphQLEnumType):
        return Shape(type_.name)  # a string, as JSON wants it
    annotation, _, write = _scalar(type_.name)
    return Shape(annotation, write)


def _scalar(name: str) -> tuple[str, str, str]:
    if name not in _SCALARS:
        raise GeneratorError(f"the scalar {name} is not known: say in shapes.py what it is in Python")
    return _SCALARS[name]


def optional(shape: Shape) -> Shape:
    """Return the shape of what may be null."""
    return Shape(f"{shape.annotation} | None", shape.convert and f"optional({shape.convert})")


def listed(shape: Shape) -> Shape:
    """Return the shape of a list in an answer."""
    return Shape(f"tuple[{shape.annotation}, ...]", f"many({shape.convert or 'as_it_is'})")


def sequence(shape: Shape) -> Shape:
    """Return the shape of a list that is sent."""
    return Shape(f"Sequence[{shape.annotation}]", f"many({shape.convert or 'as_it_is'})")


def required(shape: Shape) -> Shape:
    """Return the shape of what may be null by the schema, and is refused then."""
    return Shape(shape.annotation, f"required({shape.convert or 'as_it_is'})")
