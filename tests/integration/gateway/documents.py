"""Documents made from the schema: one for each field of each type that can stand in a list."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    Undefined,
    get_named_type,
    is_leaf_type,
)

from tests.fakes.answers import made_up_id

# What `nodes` has as well, what is no thing, and what takes ids of any kind.
_PASSED_OVER = frozenset({"edges", "pageInfo", "node", "Query.nodes"})
# Where a thing can be named in several ways, it is by these.
_NAMING = frozenset({"id", "trackId"})
_AT_ONCE = 4
# What a document may cost goes by the pages that it asks for; fakes do not look at them.
_PAGE = "10"


@dataclass(frozen=True)
class Place:
    """A field whose things can be many in one answer, and the shortest way there from the root."""

    type_name: str
    way: tuple[str, ...]

    def document(self, selection: str) -> str:
        """Return a query for something of these things."""
        return "{ " + " { ".join(self.way) + " { " + selection + " }" * (len(self.way) + 1)


def places(schema: GraphQLSchema) -> list[Place]:
    """Return every field at or below a list, nearest first; of unions and interfaces each member."""
    assert schema.query_type is not None
    found: dict[tuple[str, str, str], Place] = {}
    seen: set[tuple[str, bool]] = set()
    waiting: deque[tuple[GraphQLObjectType, tuple[str, ...], bool]] = deque([(schema.query_type, (), False)])
    while waiting:
        parent, way, is_many = waiting.popleft()
        if (parent.name, is_many) in seen:
            continue
        seen.add((parent.name, is_many))
        for name, field in parent.fields.items():
            call = _call(name, field)
            if (
                call is None
                or name in _PASSED_OVER
                or f"{parent.name}.{name}" in _PASSED_OVER
                or is_leaf_type(get_named_type(field.type))
            ):
                continue
            for step, member in _members(schema, field):
                below = (*way, call, *step)
                waiting.append((member, below, is_many or _is_list(field)))
                if (is_many or _is_list(field)) and not member.name.endswith("Connection"):
                    found.setdefault((parent.name, name, member.name), Place(member.name, below))
    return list(found.values())


def selections(schema: GraphQLSchema, type_name: str) -> Iterator[str]:
    """Return what can be asked of a type, a few fields at once: the plain ones, and others with their plain ones."""
    asked = list(_asked(schema, type_name))
    for start in range(0, len(asked), _AT_ONCE):
        yield " ".join(asked[start : start + _AT_ONCE])


def _asked(schema: GraphQLSchema, type_name: str) -> Iterator[str]:
    kind = schema.type_map[type_name]
    assert isinstance(kind, GraphQLObjectType)
    if plain := _plain(kind):
        yield plain
    for name, field in kind.fields.items():
        call = _call(name, field)
        if call is None or is_leaf_type(get_named_type(field.type)):
            continue
        for step, member in _members(schema, field):
            below = _below(schema, member)
            yield f"{call} {{ " + "".join(f"{part} {{ " for part in step) + below + " }" * (len(step) + 1)


def _below(schema: GraphQLSchema, kind: GraphQLObjectType) -> str:
    """Return the plain fields of a type, or those of the items of a connection."""
    if not kind.name.endswith("Connection"):
        return _plain(kind) or "__typename"
    nodes = kind.fields.get("nodes")
    if nodes is None:
        return "__typename"
    inner = get_named_type(nodes.type)
    return f"nodes {{ {_plain(inner) or '__typename'} }}" if isinstance(inner, GraphQLObjectType) else "__typename"


def _plain(kind: GraphQLObjectType) -> str:
    calls = (_call(name, field) for name, field in kind.fields.items() if is_leaf_type(get_named_type(field.type)))
    return " ".join(call for call in calls if call is not None)


def _members(schema: GraphQLSchema, field: GraphQLField) -> Iterator[tuple[tuple[str, ...], GraphQLObjectType]]:
    kind = get_named_type(field.type)
    if isinstance(kind, GraphQLObjectType):
        yield (), kind
    elif isinstance(kind, GraphQLUnionType | GraphQLInterfaceType):
        for member in schema.get_possible_types(kind):
            yield (f"... on {member.name}",), member


def _is_list(field: GraphQLField) -> bool:
    kind = field.type.of_type if isinstance(field.type, GraphQLNonNull) else field.type
    return isinstance(kind, GraphQLList)


def _call(name: str, field: GraphQLField) -> str | None:
    """Return a field with what it cannot do without; None where that cannot be made up."""
    given: dict[str, str] = {}
    for argument, kind in field.args.items():
        is_needed = isinstance(kind.type, GraphQLNonNull) and kind.default_value is Undefined
        if argument == "first":
            given[argument] = _PAGE
            continue
        if not is_needed and argument not in _NAMING:
            continue
        value = _value(argument, kind)
        if value is None:
            return None
        given[argument] = value
    return name + (f"({', '.join(f'{one}: {value}' for one, value in given.items())})" if given else "")


def _value(name: str, argument: GraphQLArgument) -> str | None:
    kind = get_named_type(argument.type)
    if isinstance(kind, GraphQLInputObjectType):
        return None
    if isinstance(kind, GraphQLEnumType):
        return str(next(iter(kind.values)))
    made = {"ID": f'"{made_up_id(name)}"', "String": '"text"', "Int": "5", "Float": "0.5", "Boolean": "true"}.get(
        kind.name
    )
    return f"[{made}]" if made is not None and "[" in str(argument.type) else made
