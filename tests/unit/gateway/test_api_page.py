"""API.md is what its parts say, every endpoint of the REST documents is on it, and its commands send what was run."""

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLSchema, build_schema, parse, validate

from examples.api.__main__ import PAGE, read_answers
from examples.api.calls import call_of, filled, looked_up, names_in
from examples.api.guide import FOLDER, Example, read_guide
from examples.api.page import anchor, render
from examples.api.shapes import differences
from examples.api.shell import commands
from examples.api.stable import Stabiliser
from services.gateway.export_schema import PATH

# Appendix B of the REST documents, in its order.
ENDPOINTS = [
    "POST /api/auth/signup",
    "POST /api/auth/token",
    "GET /api/users/{username}",
    "GET /api/users/feed",
    "GET /api/users/recommendations",
    "POST /api/playlists",
    "GET /api/playlists/task/{task_id}",
    "GET /api/playlists/{playlist_id}",
    "PUT /api/playlists/{playlist_id}/tracks/reorder",
    "GET /api/tracks/search",
    "GET /api/tracks/{track_id}/stream",
    "POST /api/history/listen",
    "GET /api/stats",
]
GUIDE = read_guide()
EXAMPLES = GUIDE.examples
ANSWERS = read_answers()
GRAPHQL = [example for example in EXAMPLES if example.is_graphql]
COMMANDS = [example for example in EXAMPLES if not example.live]


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema(PATH.read_text())


def test_page_is_fresh() -> None:
    assert PAGE.read_text() == render(GUIDE, ANSWERS), "run: python -m examples.api --texts"


def test_every_endpoint_has_an_example_and_is_in_the_table_in_the_documents_order() -> None:
    rows = re.findall(r"^\| `([A-Z]+ /api/[^`]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert list(dict.fromkeys(rows)) == ENDPOINTS
    assert {example.rest for example in EXAMPLES} - {""} == set(ENDPOINTS)
    assert list(GUIDE.endpoints) == ENDPOINTS


def test_links_of_the_page_lead_somewhere() -> None:
    text = PAGE.read_text()
    titles = [title for _, title in re.findall(r"^(#+) (.+)$", text, re.MULTILINE)]
    anchors = {anchor(title) for title in titles}
    linked = [example for example in EXAMPLES if example.rest]
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) - anchors == set()
    for example in linked:
        assert titles.count(example.title) == 1


def test_every_document_is_shown() -> None:
    files = {path.read_text() for path in (FOLDER / "documents").glob("*.graphql")}
    assert files == {example.document for example in GRAPHQL}
    assert [example.name for example in EXAMPLES] == list(ANSWERS)


@pytest.mark.parametrize("example", GRAPHQL, ids=lambda example: example.name)
def test_document_fits_the_schema(schema: GraphQLSchema, example: Example) -> None:
    assert validate(schema, parse(example.document)) == []


@pytest.mark.parametrize("example", [one for one in EXAMPLES if one.fields], ids=lambda example: example.name)
def test_fields_of_rest_lead_to_something_of_the_answer(example: Example) -> None:
    for name, path, said in example.fields:
        assert path or said, f"{name} is neither there nor said to be gone"
        found: Any = ANSWERS[example.name]["body"]
        for step in ["data", *path.split(".")] if path else []:
            assert isinstance(found, dict), (name, path)
            assert step in found, (name, path)
            found = found[step]
            if isinstance(found, list):
                assert found, f"{example.name}: {path} leads through an empty list"
                found = found[0]


def test_answers_hold_nothing_of_their_recording() -> None:
    text = json.dumps(ANSWERS)
    assert re.findall(r"eyJ[\w-]{30,}|museed_\w{20,}", text) == []
    assert set(re.findall(r"http://[^/\"]+", text)) == {"http://127.0.0.1:8080"}
    assert set(re.findall(r"\d{4}-\d\d-\d\dT", text)) <= {"2026-01-01T", "2026-01-31T", "2026-04-01T", "2026-01-08T"}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the page's commands send, in one shell from top to bottom: curl and jq only note what they are given."""
    folder = tmp_path_factory.mktemp("shell")
    values = {
        "MUSEED": "http://museed",
        "WORDS": "some words",
        "OPERATOR": "a secret",
        "FILE": str(folder / "seed.ogg"),
    }
    (folder / "seed.ogg").write_bytes(b"bytes")
    (folder / "headers.txt").write_bytes(b"HTTP/1.1 201 Created\r\nlocation: http://museed/uploads/1\r\n\r\n")
    script = [
        'curl() { printf "%s\\0" "$@" > "$NOW_AT.arguments"; case " $* " in *" @- "*) cat > "$NOW_AT.body";; esac; }',
        "jq() { printf '%s' \"$2\"; }",
        "uuidgen() { echo some-uuid; }",
        "date() { echo some-time; }",
        *(f"{name}='{value}'" for name, value in values.items()),
    ]
    for example in COMMANDS:
        script += [f"NOW_AT={example.name}", commands(example)]
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run(
        [bash, "-eu"], input="\n".join(script), text=True, cwd=folder, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return {example.name: _noted(folder, example.name) for example in COMMANDS}


def _noted(folder: Path, name: str) -> dict[str, Any]:
    arguments = (folder / f"{name}.arguments").read_text().split("\0")[:-1]
    body = folder / f"{name}.body"
    return {"arguments": arguments, "body": body.read_text() if body.exists() else None}


@pytest.mark.parametrize("example", COMMANDS, ids=lambda example: example.name)
def test_command_sends_what_was_run(ran: dict[str, dict[str, Any]], example: Example) -> None:
    values = {"MUSEED": "http://museed", "WORDS": "some words", "OPERATOR": "a secret"}
    for one in EXAMPLES[: EXAMPLES.index(example) + 1]:
        values |= {name: {"uuid": "some-uuid", "now": "some-time"}.get(how, "5") for name, how in one.make.items()}
        if one is not example:
            values |= {
                name: where if where.startswith(".") else "http://museed/uploads/1" for name, where in one.keep.items()
            }
    call, sent = call_of(example), ran[example.name]
    arguments = sent["arguments"]
    assert filled(call.url, values) in arguments
    headers = [arguments[place + 1] for place, word in enumerate(arguments) if word == "-H"]
    assert headers == [f"{name}: {filled(value, values)}" for name, value in call.headers.items()]
    method = "HEAD" if "-I" in arguments else "GET"
    if "-X" in arguments:
        method = arguments[arguments.index("-X") + 1]
    elif "--data-binary" in arguments:
        method = "POST"
    assert method == call.method
    assert sent["body"] == (None if call.body is None else filled(call.body, values) + "\n")


def test_nothing_is_used_before_it_is_there() -> None:
    known = {"MUSEED", "WORDS", "FILE", "OPERATOR"}
    for example in EXAMPLES:
        known |= example.make.keys()
        used = names_in(" ".join([example.variables, example.path, *example.headers.values(), f"${example.caller}"]))
        assert set(used) <= known, example.name
        known |= example.keep.keys()
    for example in EXAMPLES:
        assert set(example.same) <= known


def test_shapes_differ_by_keys_types_members_and_codes_alone() -> None:
    known = {"a": [{"__typename": "X", "n": 1, "code": "OLD", "s": "text", "o": None, "e": []}]}
    same = {"a": [{"__typename": "X", "n": 2.5, "code": "OLD", "s": "other", "o": {"k": 1}, "e": ["x"]}] * 2}
    assert list(differences(known, same)) == []
    fresh = {"a": [{"__typename": "Y", "n": "1", "code": "NEW", "o": 1, "e": None, "more": True}]}
    assert sorted(differences(known, fresh)) == [
        ".a[0].__typename is 'Y', it was 'X'",
        ".a[0].code is 'NEW', it was 'OLD'",
        ".a[0].more is new",
        ".a[0].n is str, it was number",
        ".a[0].s is gone",
    ]
    frames = {"frames": [{"type": "next", "payload": 1}, {"type": "next", "payload": 2}, {"type": "complete"}]}
    assert list(differences(frames, {"frames": [frames["frames"][0], frames["frames"][2]]})) == []
    assert list(differences(frames, {"frames": frames["frames"][:2]})) == [".frames.complete is gone"]


def test_the_same_things_have_the_same_names_and_secrets_none() -> None:
    stable = Stabiliser("http://127.0.0.1:4711", datetime(2027, 5, 5, 8, tzinfo=UTC))
    uuid = "11111111-2222-7333-8444-555555555555"
    answer = {
        "id": uuid,
        "url": f"http://127.0.0.1:4711/tracks/{uuid}/stream?expires=1799999999&session={uuid}&signature=abc",
        "at": "2027-05-05T08:15:01.5+00:00",
        "refreshToken": "secret",
        "endCursor": "abc",
        "n": 0.123456,
    }
    first = "019b7902-5c00-7000-8000-000000000001"
    assert stable.answer(answer) == {
        "id": first,
        "url": f"http://127.0.0.1:8080/tracks/{first}/stream?expires=1767269700&session={first}&signature=…",
        "at": "2026-01-01T12:15:00+00:00",
        "refreshToken": "…",
        "endCursor": "cursor-1",
        "n": 0.123,
    }
    assert looked_up(answer, ".id") == uuid
    assert looked_up({"a": [{"b": 1}]}, ".a[0].b") == 1
    assert looked_up({"a": []}, ".a[0].b") is None
