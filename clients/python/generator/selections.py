"""Finds the classes that answers need: one for each selection of fields, shared where it is a fragment alone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLCompositeType,
    GraphQLEnumType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLUnionType,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
)

from clients.python.generator import shapes
from clients.python.generator.documents import REQUIRED
from clients.python.generator.names import class_name, python_name
from clients.python.generator.shapes import GeneratorError, Shape

_TYPENAME = "__typename"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a class: its name here and in JSON, its type, and the schema's words."""

    name: str
    key: str
    shape: Shape
    description: str | None


@dataclass(frozen=True, slots=True)
class AnswerClass:
    """A class of answers."""

    name: str
    description: str | None
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation's data becomes: its type, the expression that reads it, and the schema's words."""

    shape: Shape
    read: str
    description: str | None


@dataclass(frozen=True, slots=True)
class Union:
    """What is one of several classes, by its `__typename`; every other type is read as `fallback`, if there is one."""

    name: str
    members: tuple[tuple[str, str], ...]
    fallback: str | None

    @property
    def annotation(self) -> str:
        """The union's classes, each once."""
        classes = [name for _, name in self.members] + ([self.fallback] if self.fallback else [])
        return " | ".join(dict.fromkeys(classes))


class Selections:
    """Gathers the classes of selections.

    Attributes:
        classes: What was found, by name.
        unions: Likewise.
        enums: Enums that answers hold.
    """

    def __init__(self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._schema = schema
        self._fragments = fragments
        self.classes: dict[str, AnswerClass] = {}
        self.unions: dict[str, Union] = {}
        self.enums: dict[str, GraphQLEnumType] = {}

    def members(self, type_: GraphQLCompositeType, sets: Sequence[SelectionSetNode], path: str) -> tuple[Member, ...]:
        """Return the fields that selections ask of a type, what is behind them under names that begin with a path."""
        found = self._fields(type_, sets)
        members = tuple(self._member(type_, key, nodes, class_name(path, key)) for key, nodes in found.items())
        names = [member.name for member in members]
        if len(set(names)) != len(names):
            raise GeneratorError(f"{path}: two fields would have one name in Python: {', '.join(sorted(names))}")
        return members

    def answer(self, root: GraphQLObjectType, node: OperationDefinitionNode) -> Answer:
        """Return what an operation's data becomes: its field, where it has but one, else all of them."""
        assert node.name is not None
        name, sets = node.name.value, [node.selection_set]
        fields = self._fields(root, sets)
        if len(fields) > 1:
            name = self._class(root, sets, name)
            return Answer(Shape(name), f"{name}.read", None)
        ((key, nodes),) = fields.items()
        member = self._member(root, key, nodes, name)
        return Answer(member.shape, f'root("{key}", {member.shape.convert or "as_it_is"})', member.description)

    def _fields(self, type_: GraphQLCompositeType, sets: Sequence[SelectionSetNode]) -> dict[str, list[FieldNode]]:
        found: dict[str, list[FieldNode]] = {}
        for selection in self._applied(type_, sets):
            key = selection.alias.value if selection.alias else selection.name.value
            found.setdefault(key, []).append(selection)
        return found

    def _member(self, type_: GraphQLCompositeType, key: str, nodes: list[FieldNode], path: str) -> Member:
        name = nodes[0].name.value
        if name == _TYPENAME:
            return Member(python_name(key), key, Shape("str"), "Name of its type.")
        assert not isinstance(type_, GraphQLUnionType)  # the schema was asked: unions have no fields
        field = type_.fields[name]
        result = field.type
        is_required = any(directive.name.value == REQUIRED for node in nodes for directive in node.directives or ())
        if is_required and isinstance(result, GraphQLNonNull):
            raise GeneratorError(f"{path}: {name} is never null, so @{REQUIRED} says nothing")
        shape = self._shape(GraphQLNonNull(result) if is_required else result, nodes, path)
        return Member(python_name(key), key, shapes.required(shape) if is_required else shape, field.description)

    def _shape(self, type_: GraphQLOutputType, nodes: list[FieldNode], path: str) -> Shape:
        if isinstance(type_, GraphQLNonNull):
            return self._certain(type_.of_type, nodes, path)
        return shapes.optional(self._certain(type_, nodes, path))

    def _certain(self, type_: GraphQLOutputType, nodes: list[FieldNode], path: str) -> Shape:
        if isinstance(type_, GraphQLList):
            return shapes.listed(self._shape(type_.of_type, nodes, path))
        if is_leaf_type(type_):
            if isinstance(type_, GraphQLEnumType):
                self.enums[type_.name] = type_
            return shapes.output_leaf(type_)
        sets = [node.selection_set for node in nodes if node.selection_set is not None]
        named = get_named_type(type_)
        if isinstance(named, GraphQLObjectType):
            name = self._class(named, sets, path)
            return Shape(name, f"{name}.read")
        assert isinstance(named, GraphQLInterfaceType | GraphQLUnionType)
        return self._union(named, sets, path)

    def _union(
        self, type_: GraphQLInterfaceType | GraphQLUnionType, sets: Sequence[SelectionSetNode], path: str
    ) -> Shape:
        """Return what one of several types becomes: types of which the very same is asked are one class."""
        groups: dict[tuple[int, ...], list[GraphQLObjectType]] = {}
        for possible in self._schema.get_possible_types(type_):
            asked = tuple(id(node) for node in self._named(possible, sets))
            groups.setdefault(asked, []).append(possible)
        members: list[tuple[str, str]] = []
        fallback = None
        for possible_types in groups.values():
            first = possible_types[0]
            condition = self._common(first, sets)
            if condition is not None:
                # Of this kind may be types that the schema gets later.
                fallback = self._class(condition, sets, path + condition.name, of=first)
                continue
            for possible in possible_types:
                name = possible.name if possible.name.startswith(path) else path + possible.name
                members.append((possible.name, self._class(possible, sets, name)))
        if not members and fallback is not None:
            return Shape(fallback, f"{fallback}.read")
        union = Union(path, tuple(members), fallback)
        _keep(self.unions, path, union)
        return Shape(union.annotation, f"_read_{python_name(path)}")

    def _common(self, possible: GraphQLObjectType, sets: Sequence[SelectionSetNode]) -> GraphQLInterfaceType | None:
        """Return the interface of which alone something is asked for a type."""
        asked = list(self._named(possible, sets))
        if len(asked) != 1 or isinstance(asked[0], FieldNode):
            return None
        condition = self._condition(asked[0])
        return condition if isinstance(condition, GraphQLInterfaceType) else None

    def _class(
        self,
        type_: GraphQLCompositeType,
        sets: Sequence[SelectionSetNode],
        name: str,
        of: GraphQLObjectType | None = None,
    ) -> str:
        """Return the name of the class for a selection; that of a fragment alone is the fragment's.

        Args:
            type_: What is selected of.
            sets: What is asked.
            name: Where it has no name of its own.
            of: One of several types that it stands for.
        """
        asked = list(self._named(of or type_, sets))
        if len(asked) == 1 and isinstance(asked[0], FragmentSpreadNode):
            name = asked[0].name.value
            definition = self._fragments[name]
            sets = [definition.selection_set]
            condition = self._schema.get_type(definition.type_condition.name.value)
            assert isinstance(condition, GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType)
            type_ = condition
            if isinstance(condition, GraphQLUnionType):
                raise GeneratorError(f"{name} is a fragment of a union: write one for each of its types")
        members = self.members(type_, sets, name)
        _keep(self.classes, name, AnswerClass(name, type_.description, members))
        return name

    def _named(self, type_: GraphQLCompositeType, sets: Iterable[SelectionSetNode]) -> Iterator[SelectionNode]:
        """Walk what the outermost selections ask of a type, without its name; fragments are not looked into."""
        for selection_set in sets:
            for selection in selection_set.selections:
                is_name = isinstance(selection, FieldNode) and selection.name.value == _TYPENAME
                if not is_name and self._applies(selection, type_):
                    yield selection

    def _applied(self, type_: GraphQLCompositeType, sets: Iterable[SelectionSetNode]) -> Iterator[FieldNode]:
        """Walk the fields that selections ask of a type, through fragments."""
        for selection_set in sets:
            for selection in selection_set.selections:
                if not self._applies(selection, type_):
                    continue
                if any(one.name.value in ("include", "skip") for one in selection.directives or ()):
                    raise GeneratorError("@include and @skip are not understood: write two operations")
                if isinstance(selection, FieldNode):
                    yield selection
                elif isinstance(selection, InlineFragmentNode):
                    yield from self._applied(type_, [selection.selection_set])
                elif isinstance(selection, FragmentSpreadNode):
                    yield from self._applied(type_, [self._fragments[selection.name.value].selection_set])

    def _applies(self, selection: SelectionNode, type_: GraphQLCompositeType) -> bool:
        if isinstance(selection, FieldNode):
            return True
        condition = self._condition(selection)
        if condition is None or condition is type_:
            return True
        return (
            is_abstract_type(condition)
            and isinstance(type_, GraphQLObjectType | GraphQLInterfaceType)
            and self._schema.is_sub_type(condition, type_)
        )

    def _condition(self, selection: SelectionNode) -> GraphQLCompositeType | None:
        """Return the type that a fragment is of; None where it says none."""
        if isinstance(selection, FragmentSpreadNode):
            node = self._fragments[selection.name.value].type_condition
        else:
            assert isinstance(selection, InlineFragmentNode)
            if selection.type_condition is None:
                return None
            node = selection.type_condition
        found = self._schema.get_type(node.name.value)
        assert isinstance(found, GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType)
        return found


def _keep(kept: dict[str, T], name: str, new: T) -> None:
    if kept.setdefault(name, new) != new:
        raise GeneratorError(f"two selections would be the class {name}: give one of them a fragment")
