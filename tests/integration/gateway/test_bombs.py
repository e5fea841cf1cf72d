"""Requests that are made to be dear: each is refused, and costs little more than the dearest that is let in.

Those that the limits of documents refuse are in `test_graphql_route`; these pass the limits, or are no documents.
"""

import json
import time
from itertools import count
from typing import Any

import pytest

from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

GENERATE = "mutation($input: GeneratePlaylistInput!) { generatePlaylist(input: $input) { __typename } }"
UPDATE = (
    "mutation($v: Visibility!) { updatePlaylist(input: {playlistId: 1, version: 1, visibility: $v}) { __typename } }"
)
SEARCH = "query($q: String!) { searchTracks(query: $q) { nodes { id } } }"


def many(times: int, text: str) -> str:
    """Repeat a text with its number in it."""
    return " ".join(text.replace("#", str(number)) for number in range(times))


def _nested(depth: int) -> Any:
    made: Any = 1
    for _ in range(depth):
        made = [made]
    return made


DOCUMENTS = {
    "unknown fields": "{ " + many(290, "searchTrackz#") + " }",
    "long unknown fields": "{ " + many(290, "x" * 150 + "#") + " }",
    "unknown types": "{ " + many(160, "... on Trackk# { id }") + " }",
    "unknown arguments": "{ searchTracks(" + many(300, "quer#: 1") + ") { nodes { id } } }",
    "unknown fields of input": "mutation { logIn(input: {" + many(300, "passwor#: 1") + "}) { __typename } }",
    "long enum value": "mutation { updatePlaylist(input: {visibility: " + "PUBLIC" * 5000 + "}) { __typename } }",
    "unknown directives": "{ me " + "@x " * 480 + "{ email } }",
    "unused variables": "query(" + many(240, "$v#: Int") + ") { me { email } }",
    "objects in objects": "mutation { logIn(input: " + "{a: " * 190 + "1" + "}" * 190 + ") { __typename } }",
    "long number": "{ searchTracks(first: " + "9" * 60_000 + ") { nodes { id } } }",
    "conflicting fields": "{ " + many(75, 'me { email } track(id: "#") { id }') + " }",
    "fragments that conflict": "{ "
    + many(55, "...f#")
    + " } "
    + many(55, 'fragment f# on Query { track(id: "#") { id } }'),
}
VARIABLES: dict[str, tuple[str, Any]] = {
    "wrong items": (GENERATE, {"input": {"seeds": [1] * 49_000}}),
    "unknown names": (GENERATE, {"input": {"seeds": [], **{f"maxPerArtis{number}": 1 for number in range(49_000)}}}),
    "deep lists": (GENERATE, {"input": _nested(900)}),
    "long enum value": (UPDATE, {"v": "PUBLI" * 300_000}),
    "no text": (SEARCH, {"q": {"a": ["x"] * 40_000}}),
}
# No JSON that is looked at.
BODIES = {
    "brackets": b'{"query": "{ me { email } }", "variables": {"x": ' + b"[" * 900_000 + b"]" * 900_000 + b"}}",
    "many lists": b'{"query": "{ me { email } }", "variables": {"x": [' + b"[],[]," * 300_000 + b"1]}}",
    "many objects": b'{"query": "{ me { email } }", "variables": {"x": [' + b"{}," * 600_000 + b"1]}}",
}
# Passes all limits: 288 fields to compare, and lists in lists.
DEAREST = "{ " + "myPlaylists { nodes { entries { nodes { track { id } } } } } " * 48 + "}"
TIMES = 5
# Makes a document another one.
NUMBERS = count()


async def spent_s(gateway: Gateway, content: bytes) -> tuple[float, Any]:
    """Post a body and return what this thread, with client and gateway, computed for it, and the answer."""
    headers = {"content-type": "application/json"}
    began = time.thread_time()
    response = await gateway.http.post("/graphql", content=content, headers=headers)
    return time.thread_time() - began, response


async def cheapest(gateway: Gateway, document: str, variables: Any = None) -> tuple[float, Any]:
    """Ask twice, as documents that are not known, and return the lesser cost with the last answer."""
    found = []
    for _ in range(2):
        content = json.dumps({"query": f"{document} # {next(NUMBERS)}", "variables": variables or {}}).encode()
        found.append(await spent_s(gateway, content))
    return min(seconds for seconds, _ in found), found[-1][1].json()


async def dearest_s(gateway: Gateway) -> float:
    seconds, answer = await cheapest(gateway, DEAREST)
    assert [error["extensions"]["reason"] for error in answer["errors"]] == ["LOGIN_REQUIRED"]
    gateway.behind.spent()
    return seconds


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_document_that_is_wrong_in_many_places_is_refused_cheaply(gateway: Gateway, name: str) -> None:
    limit_s = TIMES * await dearest_s(gateway)
    seconds, answer = await cheapest(gateway, DOCUMENTS[name])
    assert answer["data"] is None
    assert {error["extensions"]["reason"] for error in answer["errors"]} <= {"DOCUMENT_INVALID", "TOO_MANY_FIELDS"}
    assert len(answer["errors"]) <= 6
    assert gateway.behind.spent() == {}
    assert seconds < limit_s


@pytest.mark.parametrize("name", VARIABLES)
async def test_variables_that_are_wrong_in_many_places_are_refused_cheaply(gateway: Gateway, name: str) -> None:
    limit_s = TIMES * await dearest_s(gateway)
    seconds, answer = await cheapest(gateway, *VARIABLES[name])
    assert answer["data"] is None
    assert {error["extensions"]["reason"] for error in answer["errors"]} == {"DOCUMENT_INVALID"}
    assert len(answer["errors"]) <= 6
    assert gateway.behind.spent() == {}
    assert seconds < limit_s


@pytest.mark.parametrize("name", BODIES)
async def test_bodies_that_are_dear_to_read_are_not_read(gateway: Gateway, name: str) -> None:
    limit_s = TIMES * await dearest_s(gateway)
    assert len(BODIES[name]) <= gateway.parts.settings.max_body_bytes
    seconds, response = await spent_s(gateway, BODIES[name])
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"]["reason"] == "REQUEST_INVALID"
    assert seconds < limit_s
