"""What operations can cost, by hand, and that answers never cost more."""

from typing import Any

import pytest
from graphql import build_schema, get_operation_ast, parse
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import cost
from services.gateway.cost import Cost, answer_cost, count_values, countable, measure_cost, points
from services.gateway.schema import make_schema, paging

SCHEMA = build_schema(
    """
    type Query { me: Person  tracks(first: Int! = 20): TrackConnection  named(ids: [ID!]!): [Track]  node: Node }
    type Mutation { add(input: AddInput!): Track }
    input AddInput { names: [String!] }
    interface Node { id: ID! }
    type Person { name: String friends: [Person!] words: [String!] }
    type TrackConnection { info: Info nodes: [Track!]! edges: [Edge!]! }
    type Info { more: Boolean }
    type Edge { node: Track! }
    type Track implements Node { id: ID! title: String tags(first: Int = 3): [Tag!]! }
    type Tag { name: String }
    """
)


def cost_of(document: str, variables: dict[str, Any] | None = None) -> Cost:
    parsed = parse(document)
    operation = get_operation_ast(parsed)
    assert operation is not None
    return measure_cost(SCHEMA, parsed, operation, variables or {})


@pytest.mark.parametrize(
    ("document", "tenths"),
    [
        ("{ __typename }", 1),
        ("{ me { name } }", 11),
        ("{ me { words } }", 11),
        ("{ me { friends { name } } }", 10 + 10 * 11),
        ("{ tracks { nodes { title } } }", 10 + 20 * 11),
        ("{ tracks(first: 5) { nodes { title } info { more } } }", 10 + 5 * 11 + 11),
        ("{ tracks(first: 5) { edges { node { title } } } }", 10 + 5 * (10 + 11)),
        ("{ tracks(first: 5) { nodes { tags { name } } } }", 10 + 5 * (10 + 3 * 11)),
        ("{ tracks(first: 5) { nodes { tags(first: 2) { name } } } }", 10 + 5 * (10 + 2 * 11)),
        ("{ tracks(first: 0) { nodes { title } } }", 10),
        ("{ tracks(first: -5) { nodes { title } } }", 10),
        ("{ tracks(first: 101) { nodes { title } } }", 10 + 100 * 11),
        ("{ tracks(first: 99999999999999999999) { nodes { title } } }", 10 + 100 * 11),
        ('{ tracks(first: "many") { nodes { title } } }', 10 + 100 * 11),
        ('{ named(ids: ["a", "b"]) { title } }', 22),
        # Asked for twice and answered once.
        ("{ me { name name } me { name } }", 11),
        ("{ me { ...a ...b } } fragment a on Person { name } fragment b on Person { name }", 11),
        ("{ a: me { name } b: me { name } }", 22),
        ("{ node { id ... on Track { title } } }", 12),
        ("{ me { name @skip(if: true) words @include(if: false) } }", 10),
        ("{ me { name @skip(if: false) words @include(if: true) } }", 12),
        # Not in the schema, or without an end.
        ("{ missing { missing } ...gone }", 1),
        ("{ ...a } fragment a on Query { me { name } ...a }", 11),
        ("{ ... on Missing { a } }", 1),
    ],
)
def test_operations_cost_what_their_answers_can_be(document: str, tenths: int) -> None:
    assert cost_of(document) == Cost(0, tenths)


@pytest.mark.parametrize(
    ("variables", "items"), [({}, 4), ({"n": 7}, 7), ({"n": None}, 100), ({"n": "7"}, 100), ({"n": True}, 100)]
)
def test_lengths_of_pages_come_from_variables_too(variables: dict[str, Any], items: int) -> None:
    found = cost_of("query($n: Int = 4) { tracks(first: $n) { nodes { title } } }", variables)
    assert found.answer == 10 + items * 11


def test_mutations_and_their_input_cost_whatever_is_answered() -> None:
    found = cost_of("mutation($input: AddInput!) { add(input: $input) { id } }", {"input": {"names": ["a"] * 98}})
    assert found == Cost(100 + 10, 11)
    assert found.points == 13


def test_dear_fields_cost_more_also_below_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "WEIGHTS", {"Query.tracks": 7, "Track.tags": 2})
    assert cost_of("{ tracks(first: 5) { nodes { tags { name } } } }") == Cost(70, 10 + 5 * (10 + 20 + 3 * 11))


def test_lists_in_variables_count() -> None:
    found = cost_of("query($ids: [ID!]!) { named(ids: $ids) { id } }", {"ids": ["x"] * 30})
    assert found == Cost(3, 30 * 11)


def test_every_weight_is_that_of_a_field() -> None:
    schema = make_schema()._schema
    for name in cost.WEIGHTS:
        type_name, _, field = name.partition(".")
        if not field.startswith("__"):
            assert field in schema.get_type(type_name).fields  # type: ignore[union-attr]  # objects have fields
    assert cost.MAX_PAGE_SIZE == paging.MAX_PAGE_SIZE


@pytest.mark.parametrize(("tenths", "whole"), [(0, 1), (1, 1), (10, 1), (11, 2), (100, 10)])
def test_points_are_rounded_up(tenths: int, whole: int) -> None:
    assert points(tenths) == whole


@pytest.mark.parametrize(
    ("values", "count"),
    [({}, 0), ({"a": 1}, 1), ({"a": [1, [2, {"b": 3}]]}, 6), ([[]] * 10, 10)],
)
def test_values_are_counted_at_all_depths(values: Any, count: int) -> None:
    assert count_values(values) == count


def test_counting_stops_at_its_limit() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert count_values(endless, 50) == 51
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    assert count_values(deep) == 100_000


TRACKS = st.lists(
    st.fixed_dictionaries(
        {"title": st.none() | st.text(max_size=3), "tags": st.lists(st.just({"name": "x"}), max_size=3)}
    ),
    max_size=4,
)


@given(TRACKS, st.none() | st.just({"name": "me", "words": ["a", "b"]}))
def test_no_answer_costs_more_than_was_asked_for(tracks: list[Any], me: Any) -> None:
    asked = cost_of("{ tracks(first: 4) { nodes { title tags { name } } } me { name words } }")
    assert answer_cost({"tracks": {"nodes": tracks}, "me": me}) <= asked.answer
    full = [{"title": "a", "tags": [{"name": "x"}] * 3}] * 4
    assert answer_cost({"tracks": {"nodes": full}, "me": {"name": "a", "words": []}}) == asked.answer


def test_variables_that_cost_the_same_count_the_same() -> None:
    document = "query Q($first: Int, $ids: [ID!], $text: String, $deep: Boolean) { __typename }"
    operation = get_operation_ast(parse(document))
    assert operation is not None

    def counted(**variables: Any) -> tuple[Any, ...]:
        return countable(operation, variables)

    base: dict[str, Any] = {"first": 5, "ids": ["a", "b"], "text": "x", "deep": True}
    assert counted(**base) == counted(**{**base, "ids": ["c", "d"], "text": "y"})
    for change in (
        {"first": 6},
        {"ids": ["a"]},
        {"deep": False},
        {"text": ["x"]},
        {"first": True},
        {"ids": [["a"], "b"]},
    ):
        assert counted(**base) != counted(**{**base, **change}), change
    assert counted() != counted(first=None)
    other = get_operation_ast(parse(document.replace("query Q", "query R")))
    assert other is not None
    assert countable(other, base) != counted(**base)
