"""Which fields of a type only show what their object holds, and how; which load one thing by its id."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, cast

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    Undefined,
    is_leaf_type,
)
from graphql.execution.collect_fields import FieldDetailsList
from strawberry import relay
from strawberry.types.field import StrawberryField

from services.gateway.ids import encode_global_id

# Name of a field's `Loads` among its metadata.
LOADS = "loads"

_INT_LIMIT = 2**31
_DEFINITION = "strawberry-definition"
_TYPENAME = "__typename"
# Values that graphql-core shows as they are.
_SAME: dict[str, type] = {"String": str, "ID": str, "Boolean": bool}
_RESOLVE_ID = relay.Node.resolve_id.__func__  # type: ignore[attr-defined]  # a class method

# Returns what an answer has for a value; None for what it does not know how to show.
Show = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Loads:
    """Stands in the metadata of a field (`LOADS`) whose resolver does nothing but this, and may be null.

    Attributes:
        key: Attribute of the object with the id of what is loaded; empty or None for nothing.
        loader: Of an operation's context.
        make: Turns what was loaded into what is shown; not called for None.
    """

    key: str
    loader: Callable[[Any], Any]
    make: Callable[[Any], Any]


class Field(NamedTuple):
    """A field of a selection.

    Attributes:
        name: As the answer calls it.
        details: Its places in the document.
        attribute: Of the object, where it lies; None for a field that is not plain.
        same: Type of values that an answer has as they are.
        show: For other values.
        may_be_null: Whether it may have none.
        loads: How a thing is loaded whose id is the attribute.
        kind: Its type.
    """

    name: str
    details: FieldDetailsList
    attribute: str | None = None
    same: type | None = None
    show: Show | None = None
    may_be_null: bool = False
    loads: Loads | None = None
    kind: Any = None


def field_of(parent: GraphQLObjectType, name: str, details: FieldDetailsList) -> Field:
    """Return what is known of a selected field.

    Args:
        parent: Type of its object.
        name: As the answer calls it.
        details: Its places in the document.
    """
    node = details[0].node
    if node.name.value == _TYPENAME:
        return Field(name, details, "__class__", show=lambda _: parent.name)
    return Field(name, details) if node.arguments else Field(name, details, *_plain(parent, node.name.value))


@lru_cache(maxsize=4096)
def _plain(parent: GraphQLObjectType, name: str) -> tuple[Any, ...]:
    """Return what `Field` has from `attribute` on for a field of a type."""
    definition = parent.fields.get(name)
    known = _known(definition)
    if definition is None or known is None:
        return ()
    kind, may_be_null = nullable(definition.type)
    if (loads := known.metadata.get(LOADS)) is not None:
        is_simple = isinstance(kind, GraphQLObjectType) and may_be_null and not definition.args
        return (loads.key, None, None, True, loads, kind) if is_simple else ()
    attribute, show_id = _attribute(parent, name, known)
    if attribute is None:
        return ()
    if show_id is not None:
        return attribute, None, show_id
    if is_leaf_type(kind):
        return attribute, _SAME.get(kind.name), _show(kind), may_be_null
    if isinstance(kind, GraphQLList):
        item, item_may_be_null = nullable(kind.of_type)
        if is_leaf_type(item) and not item_may_be_null:
            return attribute, None, _show_list(item), may_be_null
    return ()


def nullable(kind: GraphQLOutputType) -> tuple[Any, bool]:
    """Return a type without its "!", and whether it had none."""
    return (kind.of_type, False) if isinstance(kind, GraphQLNonNull) else (kind, True)


def _known(definition: GraphQLField | None) -> StrawberryField | None:
    found = definition.extensions.get(_DEFINITION) if definition is not None else None
    return found if isinstance(found, StrawberryField) else None


def is_async(parent: GraphQLObjectType, name: str) -> bool:
    """Say whether a field is awaited."""
    known = _known(parent.fields.get(name))
    return known is not None and known.is_async


def _attribute(parent: GraphQLObjectType, name: str, known: StrawberryField) -> tuple[str | None, Show | None]:
    """Return where a field's value lies, None for one with a resolver; and how it is shown where that is special."""
    if known.is_basic_field and known.default_resolver is getattr:
        return known.python_name, None
    origin = getattr(parent.extensions.get(_DEFINITION), "origin", None)
    if name != "id" or not (isinstance(origin, type) and issubclass(origin, relay.Node)):
        return None, None
    # Relay's own resolver makes an object of each id only to write it down.
    resolve_id = cast(Any, origin.resolve_id).__func__
    if origin._id_attr is not None and resolve_id is _RESOLVE_ID:
        return origin._id_attr, lambda value: encode_global_id(parent.name, value) if type(value) is str else None
    return None, None


def _show_int(value: Any) -> Any:
    return value if type(value) is int and -_INT_LIMIT <= value < _INT_LIMIT else None


def _show_float(value: Any) -> Any:
    return value if type(value) is float and math.isfinite(value) else None


def _show(kind: GraphQLLeafType) -> Show | None:
    if isinstance(kind, GraphQLEnumType):
        members = getattr(kind, "wrapped_cls", None)
        names = {members(value.value): name for name, value in kind.values.items()} if members is not None else {}
        return names.get
    known = {"Int": _show_int, "Float": _show_float}.get(kind.name)
    if known is not None or kind.name in _SAME:
        return known

    def show(value: Any) -> Any:
        if isinstance(value, Exception) or hasattr(value, "__await__"):
            return None
        made = kind.coerce_output_value(value)
        return None if made is Undefined else made

    return show


def _show_list(item: GraphQLLeafType) -> Show:
    same, show = _SAME.get(item.name), _show(item)

    def show_all(values: Any) -> Any:
        if type(values) is not list:
            return None
        made = [
            value if value.__class__ is same else None if value is None or show is None else show(value)
            for value in values
        ]
        return None if None in made else made

    return show_all
