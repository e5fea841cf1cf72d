"""What an operation can cost at most, told from its document, its variables and the schema before anything runs. Pure.

A point is about what one object costs to make: each object of the answer counts 1, each plain value 0.1. Lists count
as often as their page is long, mutations 10 more, and what is dear for other services what `WEIGHTS` says.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from graphql import (
    BooleanValueNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
)

# In tenths of a point.
_OBJECT, _LEAF, _MUTATION = 10, 1, 100
_VALUES_OF_INPUT = 10
# As `schema.paging` has it, which knows this module.
MAX_PAGE_SIZE = 100
# Items of a list of which nothing says how long it is.
_UNPAGED = 10
_MAX_ITEMS = 1000

# Points of fields for which other services work harder than for a look at a row.
WEIGHTS: dict[str, int] = {
    "Query.__schema": 500,
    "Query.__type": 50,
    "Query.similarTracks": 20,
    "Query.searchByWords": 30,
    "Query.playlistPreview": 30,
    "Query.searchTracks": 10,
    "Query.searchPlaylists": 10,
    "Query.stats": 10,
}


class Cost(NamedTuple):
    """Tenths of a point.

    Attributes:
        fixed: Whatever the answer is.
        answer: Of the longest answer that there can be.
    """

    fixed: int
    answer: int

    @property
    def points(self) -> int:
        """Both, rounded up."""
        return points(self.fixed + self.answer)


def points(tenths: int) -> int:
    """Return whole points, at least one."""
    return max(1, -(-tenths // 10))


def measure_cost(
    schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, Any]
) -> Cost:
    """Return what an operation of a document can cost.

    It need not be valid: what the schema does not know counts as a plain value. Of the document's fields there must
    not be many, since fragments are spread.

    Args:
        schema: What the document asks.
        document: Where its fragments are.
        operation: Which of its operations.
        variables: As the client sent them.
    """
    root = schema.get_root_type(operation.operation)
    walk = _Walk(schema, document, _with_defaults(operation, variables))
    fixed = count_values(variables) // _VALUES_OF_INPUT
    answer = 0
    for found in walk.fields(root, [operation.selection_set]):
        fixed += _MUTATION if operation.operation is OperationType.MUTATION else 0
        weight = 10 * WEIGHTS.get(f"{root}.{found.nodes[0].name.value}", 0)
        fixed += weight
        answer += walk.cost(found) - weight
    return Cost(fixed, answer)


def countable(operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return all that the cost of an operation takes from its variables: equal for two who send what costs the same."""
    found: list[Any] = [operation.name.value if operation.name is not None else None, count_values(variables)]
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        value = variables.get(name)
        if isinstance(value, list):
            found.append((len(value),))
        elif isinstance(value, (bool, int)):
            found.append((type(value), value))
        else:
            found.append(name in variables)
    return tuple(found)


def count_values(values: Any, limit: int | None = None) -> int:
    """Count the values of JSON at all depths, the outermost not included; stops soon after a limit."""
    count, left = 0, [values]
    while left:
        value = left.pop()
        if isinstance(value, Mapping):
            value = value.values()
        elif not isinstance(value, list):
            continue
        count += len(value)
        if limit is not None and count > limit:
            break
        left.extend(each for each in value if isinstance(each, (dict, list)))
    return count


def answer_cost(data: Any) -> int:
    """Return the tenths of a point that an answer was."""
    tenths, left = 0, [data]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left.extend(each for each in value if isinstance(each, (dict, list)))
            continue
        if not isinstance(value, dict):
            continue
        tenths += _OBJECT
        for each in value.values():
            if isinstance(each, (dict, list)) and each and not _is_plain(each):
                left.append(each)
            else:
                tenths += _LEAF
    return max(0, tenths - _OBJECT)  # the answer itself is no object that was asked for


def _is_plain(value: Any) -> bool:
    return isinstance(value, list) and not isinstance(value[0], (dict, list))


@dataclass(frozen=True, slots=True)
class _Found:
    """A field of an answer, with all its places in the document: clients' fragments often ask for the same."""

    parent: GraphQLNamedType | None
    nodes: list[FieldNode]


class _Walk:
    def __init__(self, schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any]) -> None:
        self._schema = schema
        self._variables = variables
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }

    def cost(self, found: _Found, inherited: int | None = None) -> int:
        """Return the tenths of a field with everything below it.

        Args:
            found: The field.
            inherited: Length of the page in whose connection it stands.
        """
        definition = self._definition(found)
        weight = 10 * WEIGHTS.get(f"{found.parent}.{found.nodes[0].name.value}", 0)
        below = [node.selection_set for node in found.nodes if node.selection_set is not None]
        if definition is None or is_leaf_type(get_named_type(definition.type)):
            return weight + _LEAF
        length = self._length(definition, found.nodes[0])
        named = get_named_type(definition.type)
        is_list = isinstance(get_nullable_type(definition.type), GraphQLList)
        if named.name.startswith("__"):
            return weight + _OBJECT  # the weight of where it began stands for all of it
        page = None if is_list else length
        one = _OBJECT + sum(self.cost(each, page) for each in self.fields(named, below))
        if not is_list:
            return weight + one
        count = length if length is not None else inherited if inherited is not None else _UNPAGED
        return weight + count * one

    def fields(self, parent: GraphQLNamedType | None, below: Iterable[SelectionSetNode]) -> list[_Found]:
        """Return the fields of an object as an answer has them: those of one name once."""
        found: dict[tuple[str, str], _Found] = {}
        for kind, node in self._flat(parent, below):
            key = (str(kind), node.alias.value if node.alias is not None else node.name.value)
            found.setdefault(key, _Found(kind, [])).nodes.append(node)
        return list(found.values())

    def _flat(
        self, parent: GraphQLNamedType | None, below: Iterable[SelectionSetNode]
    ) -> Iterator[tuple[GraphQLNamedType | None, FieldNode]]:
        seen: set[str] = set()
        left: list[tuple[GraphQLNamedType | None, SelectionNode]] = [
            (parent, node) for selections in below for node in selections.selections
        ]
        left.reverse()
        while left:
            kind, node = left.pop()
            if self._is_left_out(node.directives or ()):
                continue
            if isinstance(node, FieldNode):
                yield kind, node
                continue
            spread: FragmentDefinitionNode | InlineFragmentNode | None = None
            if isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                seen.add(node.name.value)
                spread = self._fragments.get(node.name.value)
            elif isinstance(node, InlineFragmentNode):
                spread = node
            if spread is not None:
                condition = spread.type_condition
                inner = kind if condition is None else self._schema.get_type(condition.name.value)
                left.extend((inner, each) for each in reversed(spread.selection_set.selections))

    def _definition(self, found: _Found) -> GraphQLField | None:
        name = found.nodes[0].name.value
        if isinstance(found.parent, (GraphQLObjectType, GraphQLInterfaceType)):
            return self._schema.get_field(found.parent, name)
        return None

    def _length(self, definition: GraphQLField, node: FieldNode) -> int | None:
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        if "first" in definition.args:
            value = _value(given["first"], self._variables) if "first" in given else _default(definition.args["first"])
            is_number = isinstance(value, int) and not isinstance(value, bool)
            return min(max(value, 0), MAX_PAGE_SIZE) if is_number else MAX_PAGE_SIZE
        for each in given.values():
            value = _value(each, self._variables)
            if isinstance(value, list):
                return min(len(value), _MAX_ITEMS)
        return None

    def _is_left_out(self, directives: tuple[DirectiveNode, ...]) -> bool:
        for directive in directives:
            values = [
                _value(each.value, self._variables) for each in directive.arguments or () if each.name.value == "if"
            ]
            if values and values[0] is {"skip": True, "include": False}.get(directive.name.value):
                return True
        return False


def _value(node: ValueNode, variables: Mapping[str, Any]) -> Any:
    """Return as much of a value as counts here: a number, a boolean, how many there are in a list."""
    if isinstance(node, VariableNode):
        return variables.get(node.name.value)
    if isinstance(node, IntValueNode):
        return int(node.value) if len(node.value) < 10 else MAX_PAGE_SIZE
    if isinstance(node, BooleanValueNode):
        return node.value
    return list(node.values) if isinstance(node, ListValueNode) else None


def _default(argument: GraphQLArgument) -> Any:
    """Return the default of an argument, as Strawberry writes it or as a schema in words does."""
    if argument.default is not None and argument.default.literal is not None:
        return _value(argument.default.literal, {})
    return argument.default_value


def _with_defaults(operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {
        definition.variable.name.value: _value(definition.default_value, {})
        for definition in operation.variable_definitions or ()
        if definition.default_value is not None
    }
    return defaults | dict(variables)
