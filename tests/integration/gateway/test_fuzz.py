"""Documents that nobody would write, made from the whole schema: always an answer, coded, and never the inside.

Each root field is asked in turn, by guests, users and admins, with sound documents and with some that break the schema
in one place, over upstreams that answer made-up messages, refuse, or fail.
"""

import asyncio
import base64
import json
import time
import uuid
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import graphql
import pytest
from hypothesis import HealthCheck, given, note, seed, settings
from hypothesis import strategies as st
from hypothesis_graphql import Mode, nodes, queries

from services.chassis.errors import Aborted, InvalidArgument, NotFound, PermissionDenied, ResourceExhausted, Unavailable
from services.gateway.schema import make_schema
from tests.fakes.answers import made_up_id
from tests.integration.gateway.background import Background, background_gateway
from tests.integration.gateway.socket_client import initialised

SCHEMA = make_schema()._schema
# What only the inside of the gateway, or of what lies behind it, says.
INSIDE = "the inside of a service"
LEAKS = (INSIDE, "Traceback", " object at 0x", "NoneType", "_pb2", "site-packages", "StatusCode", "asyncpg")
SHORT_S, LONG_S = 30, 300
EXAMPLES, BROKEN_EXAMPLES = 3, 20

KINDS = sorted(type_.name for type_ in SCHEMA.get_possible_types(SCHEMA.type_map["Node"]))  # type: ignore[arg-type]
UUIDS = [made_up_id(f"{kind.lower()}_id") for kind in KINDS] + [str(uuid.UUID(int=0)), str(uuid.UUID(int=2**128 - 1))]
IDS = st.one_of(
    st.sampled_from(UUIDS),
    st.builds(
        lambda kind, id_: base64.b64encode(f"{kind}:{id_}".encode()).decode(),
        st.sampled_from(KINDS),
        st.sampled_from(UUIDS),
    ),
    st.text(max_size=20),
)
WHOLE = st.integers(-(2**63), 2**64) | st.sampled_from([0, 1, 2**53 - 1, 2**53])
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "ID": IDS.map(nodes.String),
    "DateTime": st.sampled_from(
        ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05+09:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "soon"]
    ).map(nodes.String),
    "BigInt": WHOLE.map(nodes.Int),
}
# Of scalars that nobody has listed here: whatever can be written.
OTHER = st.one_of(st.text(max_size=20).map(nodes.String), WHOLE.map(nodes.Int))
BUILT_IN = {"Int", "Float", "String", "Boolean"}
SCALARS |= {
    name: OTHER
    for name, type_ in SCHEMA.type_map.items()
    if isinstance(type_, graphql.GraphQLScalarType) and name not in BUILT_IN | set(SCALARS)
}
FAULTS: list[Exception | None] = [
    None,
    None,
    None,
    Unavailable("social is away"),
    NotFound("there is no such thing", reason="THING_NOT_FOUND", field="thing_id", value="7"),
    InvalidArgument("thing is 7, limit is 5", reason="THING_OUT_OF_RANGE", field="recipe.thing", value=7, limit=5),
    PermissionDenied("not for you"),
    ResourceExhausted("enough", retry_after_ms=1500),
    Aborted("again"),
    RuntimeError(INSIDE),
]


class EveryFault(dict[str, Exception]):
    """Faults of fakes: the same for every RPC."""

    def __init__(self, fault: Exception) -> None:
        super().__init__()
        self._fault = fault

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> Exception:
        return self._fault


class Door:
    """Asks the gateway under some token, with upstreams that fail in some way."""

    def __init__(self, background: Background) -> None:
        self.background = background
        gateway = background.gateway
        self.headers = {
            "guest": {},
            "user": gateway.bearer(),
            "admin": gateway.bearer(sub="admin-1", role="admin"),
            "token": {"Authorization": f"Bearer {gateway.signer.api_token()}"},
        }
        self.asked = 0

    def prepare(self, fault: Exception | None) -> None:
        behind = self.background.gateway.behind
        for fake in (behind.social, behind.retriever):
            fake.faults = {} if fault is None else EveryFault(fault)
        self.asked += 1

    def post(self, document: str, who: str, fault: Exception | None, variables: dict[str, Any] | None = None) -> None:
        self.prepare(fault)
        answer = self.background.http.post(
            "/graphql", json={"query": document, "variables": variables or {}}, headers=self.headers[who]
        )
        assert answer.status_code == 200, answer.text
        check(answer.json(), fault)

    def subscribe(self, document: str, who: str, fault: Exception | None) -> None:
        self.prepare(fault)
        self.background.wait_for(self._first_message(document, who, fault))

    async def _first_message(self, document: str, who: str, fault: Exception | None) -> None:
        gateway = self.background.gateway
        async with asyncio.timeout(60), initialised(gateway.url, self.headers[who].get("Authorization")) as client:
            await client.send(id="1", type="subscribe", payload={"query": document})
            message = await client.receive()
            assert message["type"] in ("next", "error", "complete"), message
            if message["type"] != "complete":
                errors = message["payload"]
                check(errors if message["type"] == "next" else {"data": None, "errors": errors}, fault)


def check(body: dict[str, Any], fault: Exception | None) -> None:
    """What every answer must be, whatever was asked."""
    text = json.dumps(body, ensure_ascii=False)
    assert not [leak for leak in LEAKS if leak in text], text
    assert body.keys() <= {"data", "errors", "extensions"}
    is_ours = isinstance(fault, RuntimeError)
    for error in body.get("errors", ()):
        extensions = error["extensions"]
        assert extensions["reason"].isupper(), error
        assert extensions["code"] != "INTERNAL" or is_ours, error
        assert (extensions["code"] == "INTERNAL") == ("errorId" in extensions), error
    assert is_ours or '"code": "INTERNAL"' not in text


def documents(kind: str, names: list[str] | None, mode: Mode) -> st.SearchStrategy[str]:
    """Documents of some root fields; those of mutations and subscriptions are made as if they were queries."""
    root = {"query": SCHEMA.query_type, "mutation": SCHEMA.mutation_type, "subscription": SCHEMA.subscription_type}[
        kind
    ]
    assert root is not None
    if kind == "query":
        schema = SCHEMA
    else:
        objects = [each for each in SCHEMA.type_map.values() if isinstance(each, graphql.GraphQLObjectType)]
        schema = graphql.GraphQLSchema(query=root, types=[each for each in objects if not each.name.startswith("__")])
    made = queries(schema, fields=names, custom_scalars=SCALARS, mode=mode)
    return made if kind == "query" else made.map(lambda text: kind + " " + text.removeprefix("query"))


ROOTS = [
    (kind, name)
    for kind, root in (
        ("query", SCHEMA.query_type),
        ("mutation", SCHEMA.mutation_type),
        ("subscription", SCHEMA.subscription_type),
    )
    if root is not None
    for name in root.fields
]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder: Path = tmp_path_factory.mktemp("fuzzed")
    with background_gateway(folder, cost_capacity=10**12, request_timeout_s=60.0) as background:
        yield Door(background)


def ask_all(door: Door, number: int) -> None:
    """Ask each root field some times, and what breaks the schema somewhere a little more often."""
    sound = [(kind, documents(kind, [name], Mode.POSITIVE), EXAMPLES) for kind, name in ROOTS]
    broken = [(kind, documents(kind, None, Mode.NEGATIVE), BROKEN_EXAMPLES) for kind in ("query", "mutation")]
    for kind, made, examples in sound + broken:
        chosen = settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        ask = seed(number)(chosen(asking(door, kind, made)))
        ask()


def asking(door: Door, kind: str, made: st.SearchStrategy[str]) -> Callable[[], None]:
    """Return a test of one root field."""

    @given(made, st.sampled_from(sorted(door.headers)), st.sampled_from(FAULTS))
    def ask(document: str, who: str, fault: Exception | None) -> None:
        note(document)
        (door.subscribe if kind == "subscription" else door.post)(document, who, fault)

    return ask


def run(door: Door, seconds: float) -> None:
    until = time.monotonic() + seconds
    for number in count():
        ask_all(door, number)
        if time.monotonic() > until:
            break
    assert door.asked >= len(ROOTS) * EXAMPLES


def test_whatever_is_asked_is_answered_in_codes(door: Door) -> None:
    run(door, SHORT_S)


@pytest.mark.long
def test_whatever_is_asked_is_answered_in_codes_for_minutes(door: Door) -> None:
    run(door, LONG_S)
