"""The shortcuts of execution: answers are graphql-core's own, whatever objects hold."""

import asyncio
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, ClassVar

import pytest
import strawberry
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from strawberry import relay
from strawberry.dataloader import DataLoader
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from services.gateway.execution import Execution, Selections
from services.gateway.limits import parse_document
from services.gateway.plain_fields import LOADS, Loads


@strawberry.enum
class Colour(Enum):
    RED = 1
    BLUE = 2


@strawberry.type
class Part:
    part_id: strawberry.ID
    size: int

    @strawberry.field
    async def half(self) -> float | None:
        return self.size / 2


@dataclass
class Context:
    """What loads parts, and says which were asked for together."""

    selections: Selections | None = None
    batches: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        async def load(keys: list[str]) -> list[Any]:
            self.batches.append(keys)
            return [
                ValueError("broken")
                if key == "broken"
                else None
                if key == "none"
                else (key, 7 if key != "odd" else "x")
                for key in keys
            ]

        self.parts = DataLoader(load_fn=load)


def make_part(loaded: tuple[str, Any]) -> Part:
    return Part(part_id=strawberry.ID(loaded[0]), size=loaded[1])


PART = Loads("part_key", lambda context: context.parts, make_part)


@strawberry.type
class Thing(relay.Node):
    _id_attr: ClassVar[str | None] = "thing_id"

    thing_id: strawberry.ID
    text: str
    text_or_none: str | None
    count: int
    share: float | None
    is_good: bool
    colour: Colour
    at: datetime | None
    words: list[str]
    numbers: list[int] | None
    inner: "Thing | None" = None
    part_key: strawberry.Private[str | None] = None

    @strawberry.field
    def loud(self) -> str:
        return self.text.upper()

    @strawberry.field(metadata={LOADS: PART})  # type: ignore[untyped-decorator]
    async def part(self, info: strawberry.Info[Context, None]) -> Part | None:
        loaded = await info.context.parts.load(self.part_key) if self.part_key else None
        return None if loaded is None else make_part(loaded)


GOOD: dict[str, Any] = {
    "thing_id": "1", "text": "a", "text_or_none": None, "count": 1, "share": 0.5, "is_good": True,
    "colour": Colour.RED, "at": datetime(2026, 1, 2, tzinfo=UTC), "words": ["x"], "numbers": [1, 2],
}  # fmt: skip
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        "",
        "7",
        7,
        -1.5,
        3.0,
        math.nan,
        math.inf,
        2**31,
        -(2**31),
        True,
        Colour.BLUE,
        "RED",
        [],
        ["y", None],
        [3, "4"],
        ("t",),
        b"b",
        {},
        object,
        ValueError("kept"),
        datetime(1999, 9, 9),
    ]
)
PARTS = st.sampled_from([None, "", "p1", "p2", "none", "broken", "odd"])
FIELDS = (
    *"id thingId text textOrNone count share isGood colour at words numbers loud __typename".split(),
    "again: text", "part { partId }", "more: part { size half kind: __typename }",
)  # fmt: skip


@strawberry.type
class Query:
    @strawberry.field
    def things(self, info: strawberry.Info[Context, list[Thing]]) -> list[Thing | None]:
        return info.root_value  # type: ignore[return-value]

    @strawberry.field
    def strict(self, info: strawberry.Info[Context, list[Thing]]) -> list[Thing] | None:
        return info.root_value


class Silent(strawberry.Schema):
    def process_errors(self, errors: Any, execution_context: Any = None) -> None:
        """Keep them out of the log."""


def schema(execution: type[StrawberryGraphQLCoreExecutionContext]) -> strawberry.Schema:
    return Silent(Query, execution_context_class=execution)


OURS, THEIRS = schema(Execution), schema(StrawberryGraphQLCoreExecutionContext)


def made(values: dict[str, Any]) -> Thing:
    return Thing(**{**GOOD, **values})


def things(count: int = 3) -> st.SearchStrategy[list[Thing]]:
    one = st.fixed_dictionaries({}, optional={name: ODD for name in GOOD} | {"part_key": PARTS}).map(made)
    return st.lists(st.builds(lambda outer, inner: _within(outer, inner), one, st.none() | one), max_size=count)


def _within(outer: Thing, inner: Thing | None) -> Thing:
    outer.inner = inner
    return outer


async def told(of: strawberry.Schema, document: str, root: Any, context: Context | None = None) -> tuple[Any, Any]:
    """Return data as text, in which places count and NaN is itself, and errors by their paths."""
    answer = await of.execute(document, root_value=root, context_value=context or Context())
    errors = [error.formatted for error in answer.errors or []]
    return repr(answer.data), sorted(errors, key=lambda error: str(error.get("path")))


@settings(deadline=None, max_examples=100, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(things(), st.lists(st.sampled_from(FIELDS), min_size=1, unique=True))
def test_answers_are_those_of_graphql_core(root: list[Thing], names: list[str]) -> None:
    selection = " ".join(names)
    document = f"{{ things {{ {selection} inner {{ {selection} }} }} strict {{ {selection} }} }}"

    async def both() -> None:
        assert await told(OURS, document, root) == await told(THEIRS, document, root)

    asyncio.run(both())


async def test_nothing_is_asked_of_a_field_that_shows_what_its_object_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    build = Execution.build_resolve_info

    def noted(self: Execution, definition: Any, nodes: Any, *rest: Any) -> Any:
        asked.append(nodes[0].name.value)
        return build(self, definition, nodes, *rest)

    monkeypatch.setattr(Execution, "build_resolve_info", noted)
    document = "{ things { id text count share isGood colour at words numbers loud __typename part { partId } } }"
    root = [made({"part_key": "p1"}), made({"part_key": "p2"}), made({"part_key": "none"})]
    answer = await OURS.execute(document, root_value=root, context_value=(context := Context()))
    assert asked == ["things", "loud", "loud", "loud"]
    assert [sorted(batch) for batch in context.batches] == [["none", "p1", "p2"]]
    assert answer.errors is None
    assert answer.data is not None
    assert answer.data["things"][1] == {
        "id": "VGhpbmc6MQ==", "text": "a", "count": 1, "share": 0.5, "isGood": True, "colour": "RED",
        "at": "2026-01-02T00:00:00+00:00", "words": ["x"], "numbers": [1, 2], "loud": "A", "__typename": "Thing",
        "part": {"partId": "p2"},
    }  # fmt: skip
    assert list(answer.data["things"][0]) == list(answer.data["things"][1])
    assert list(answer.data["things"][0])[:3] == ["id", "text", "count"]
    assert answer.data["things"][2]["part"] is None


async def test_what_is_selected_is_found_out_once_for_a_document() -> None:
    document = "query A { things { text } } query B { strict { count part { size half } } }"
    kept = Selections.of(parse_document(document))
    assert kept is not None
    for _ in range(3):
        for name, expected in (("A", {"things": [{"text": "a"}]}), ("B", {"strict": [{"count": 1, "part": None}]})):
            answer = await OURS.execute(
                document, root_value=[made({})], context_value=Context(kept), operation_name=name
            )
            assert (answer.data, answer.errors) == (expected, None)
    sizes = len(kept.roots), len(kept.below), len(kept.plans)
    await OURS.execute(document, root_value=[made({"part_key": "p1"})], context_value=Context(kept), operation_name="B")
    again = len(kept.roots), len(kept.below), len(kept.plans)
    assert sizes == (2, 2, 4)
    assert again == (2, 3, 5)  # a part was met for the first time


@pytest.mark.parametrize(
    "document", ["query($a: Boolean!) { things { text @include(if: $a) } }", "{ a @skip(if: true) }"]
)
def test_what_directives_decide_is_found_out_each_time(document: str) -> None:
    assert Selections.of(parse_document(document)) is None
