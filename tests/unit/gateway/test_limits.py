"""Measuring documents, by hand and against spreading them out."""

import pytest
from graphql import DocumentNode, FieldNode, FragmentDefinitionNode, FragmentSpreadNode, SelectionSetNode, parse
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import InvalidArgument, ResourceExhausted
from services.gateway.limits import Shape, check_shape, measure


@pytest.mark.parametrize(
    ("document", "cost"),
    [
        ("{ a }", Shape(1, 0, 1)),
        ("{ a { b c: d } }", Shape(2, 1, 3)),
        ("{ ... on Query { a { ... { b } } } }", Shape(2, 0, 2)),
        ("{ ...f } fragment f on Q { x: a { b } }", Shape(2, 1, 2)),
        ("{ a { ...f } b { ...f } } fragment f on Q { x: c }", Shape(2, 2, 4)),
        ("query A { a } query B { a { b { c } } }", Shape(3, 0, 4)),
        ("{ ...missing a }", Shape(1, 0, 1)),
        ("{ a } fragment f on Q { a ...f }", Shape(1, 0, 1)),
        ("fragment f on Q { a }", Shape(0, 0, 0)),
        ("subscription { a { b } }", Shape(2, 0, 2)),
    ],
)
def test_documents_are_measured_with_their_fragments_spread(document: str, cost: Shape) -> None:
    assert measure(parse(document)) == cost


@pytest.mark.parametrize(
    "document",
    [
        "{ ...f } fragment f on Q { a ...g } fragment g on Q { b ...f }",
        "{ ...f } fragment f on Q { a { b { ...f } } }",
        "query A { a } query B { ... { ...f } } fragment f on Q { ...f }",
    ],
)
def test_fragments_in_a_circle_are_refused_before_anybody_walks_them(document: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        measure(parse(document))
    assert (refused.value.reason, refused.value.field, refused.value.value) == ("DOCUMENT_INVALID", "query", "f")


def spread(document: DocumentNode) -> Shape:
    """Walk the document as if every fragment were written out, one field at a time."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    depths: list[int] = []
    aliases = 0

    def walk(selections: SelectionSetNode | None, depth: int) -> None:
        nonlocal aliases
        for node in selections.selections if selections else ():
            if isinstance(node, FragmentSpreadNode):
                walk(fragments[node.name.value].selection_set, depth)
            elif isinstance(node, FieldNode):
                depths.append(depth + 1)
                aliases += node.alias is not None
                walk(node.selection_set, depth + 1)

    for node in document.definitions:
        if not isinstance(node, FragmentDefinitionNode):
            walk(node.selection_set, 0)  # type: ignore[attr-defined]  # the rest are operations
    return Shape(max(depths, default=0), aliases, len(depths))


def selections(spreadable: list[str]) -> st.SearchStrategy[str]:
    leaf = st.sampled_from(["a", "x: a", *(f"...{name}" for name in spreadable)])
    return st.recursive(
        leaf,
        lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"b {{ {' '.join(parts)} }}"),
        max_leaves=6,
    )


@given(selections([]), selections(["f0"]), selections(["f0", "f1"]), selections(["f0", "f1", "f2"]))
def test_measuring_agrees_with_spreading(f0: str, f1: str, f2: str, root: str) -> None:
    document = parse(
        f"{{ {root} }} fragment f0 on Q {{ {f0} }} fragment f1 on Q {{ {f1} }} fragment f2 on Q {{ {f2} }}"
    )
    assert measure(document) == spread(document)


def test_limits_are_reached_exactly() -> None:
    check_shape(parse("{ a" * 16 + " }" * 16))
    check_shape(parse("{ " + "x: a " * 20 + "}"))
    check_shape(parse("{ " + "a " * 300 + "}"))
    for document, reason, value, limit in (
        ("{ a" * 17 + " }" * 17, "DOCUMENT_TOO_DEEP", "17", "16"),
        ("{ " + "x: a " * 21 + "}", "TOO_MANY_ALIASES", "21", "20"),
        ("{ " + "a " * 301 + "}", "TOO_MANY_FIELDS", "301", "300"),
    ):
        with pytest.raises(ResourceExhausted) as caught:
            check_shape(parse(document))
        assert (caught.value.reason, caught.value.value, caught.value.limit) == (reason, value, limit)
