"""Reads the documents of a client: parsed, held against the schema, each operation with what is sent for it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    REMOVE,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLSchema,
    NameNode,
    OperationDefinitionNode,
    SelectionSetNode,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    extend_schema,
    is_abstract_type,
    parse,
    print_ast,
    separate_operations,
    validate,
    visit,
)

from clients.python.generator.shapes import GeneratorError

# Of the documents alone, as Relay has it: null is an error here. It is not sent.
REQUIRED = "required"
_DIRECTIVE = f'"""Null is an error to this client."""\ndirective @{REQUIRED} on FIELD'


@dataclass(frozen=True, slots=True)
class Documents:
    """All operations and fragments of a client.

    Attributes:
        operations: In the order of the files.
        fragments: By name.
        texts: What is sent for an operation, by its name.
    """

    operations: list[OperationDefinitionNode]
    fragments: Mapping[str, FragmentDefinitionNode]
    texts: Mapping[str, str]


def read_documents(schema: GraphQLSchema, sources: Iterable[str]) -> Documents:
    """Read documents; fragments of one file can be used in all.

    Raises:
        GeneratorError: They do not fit the schema, or an operation has no name.
        GraphQLSyntaxError: They are none.
    """
    whole = parse("\n".join(sources), no_location=True)
    extended = extend_schema(schema, parse(_DIRECTIVE))
    if errors := validate(extended, whole):
        raise GeneratorError("\n".join(error.message for error in errors))
    operations = [node for node in whole.definitions if isinstance(node, OperationDefinitionNode)]
    fragments = {node.name.value: node for node in whole.definitions if isinstance(node, FragmentDefinitionNode)}
    if any(node.name is None for node in operations):
        raise GeneratorError("every operation needs a name")
    info = TypeInfo(extended)
    sent: DocumentNode = visit(whole, TypeInfoVisitor(info, _Sent(info)))
    texts = {name: print_ast(document) for name, document in separate_operations(sent).items()}
    return Documents(operations, fragments, texts)


class _Sent(Visitor):
    """Makes of documents what is sent: types are asked for where there are several, and what is only ours goes."""

    def __init__(self, info: TypeInfo) -> None:
        super().__init__()
        self._info = info

    def leave_selection_set(self, node: SelectionSetNode, *_: Any) -> SelectionSetNode | None:
        """Ask for the type's name where it is not certain."""
        asked = any(isinstance(one, FieldNode) and one.name.value == "__typename" for one in node.selections)
        if asked or not is_abstract_type(self._info.get_parent_type()):
            return None
        typename = FieldNode(name=NameNode(value="__typename"), arguments=(), directives=())
        return SelectionSetNode(selections=(typename, *node.selections))

    def enter_directive(self, node: DirectiveNode, *_: Any) -> Any:  # what a visitor may return
        """Leave the client's own directive out."""
        return REMOVE if node.name.value == REQUIRED else None
