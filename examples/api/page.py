"""Writes API.md of its parts: the guide, its documents, recorded answers and the texts of codes. Pure."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from graphql import FieldNode, OperationDefinitionNode, parse

from examples.api import shell
from examples.api.calls import frames_of
from examples.api.codes import code_tables
from examples.api.guide import FOLDER, Example, Guide

_HEAD = FOLDER / "head.md"
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


def render(guide: Guide, answers: Mapping[str, Any]) -> str:
    """Return the page."""
    contents = " · ".join(f"[{section.title}](#{anchor(section.title)})" for section in guide.sections)
    parts = [_HEAD.read_text().format(table=_endpoints(guide), contents=f"{contents} · [Codes](#codes)")]
    shown: dict[str, str] = {}
    for section in guide.sections:
        parts += [f"## {section.title}", section.text]
        for example in section.examples:
            parts += _example(example, answers[example.name], shown)
            shown.setdefault(example.document, example.title)
    parts += code_tables()
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def anchor(title: str) -> str:
    """Return what a heading is linked by."""
    return _NOT_IN_ANCHORS.sub("", title.lower()).replace(" ", "-")


def operation_of(example: Example) -> str:
    """Return what an example is, in short: `mutation signUp`, `GET /tracks/{id}/stream`."""
    if not example.is_graphql:
        return example.method
    (definition,) = parse(example.document).definitions
    assert isinstance(definition, OperationDefinitionNode)
    fields = [node.name.value for node in definition.selection_set.selections if isinstance(node, FieldNode)]
    return f"{definition.operation.value} {', '.join(fields)}"


def _endpoints(guide: Guide) -> str:
    rows = ["| endpoint | now | example |", "|---|---|---|"]
    for endpoint in guide.endpoints:
        for example in guide.examples:
            if example.rest == endpoint:
                now = f"`{operation_of(example)}`"
                if not example.is_graphql:
                    now = "`streamUrl` of a track"
                rows.append(f"| `{endpoint}` | {now} | [{example.title}](#{anchor(example.title)}) |")
    return "\n".join(rows)


def _example(example: Example, answer: Mapping[str, Any], shown: Mapping[str, str]) -> Iterator[str]:
    yield f"### {example.title}"
    if example.rest:
        yield f"In the REST documents: `{example.rest}`."
    if example.text:
        yield example.text
    if example.is_graphql:
        if before := shown.get(example.document):
            yield f"The document is that of [{before}](#{anchor(before)})."
        else:
            yield _block("graphql", example.document)
        if example.variables != "{}":
            yield _block("json", _variables(example.variables))
    if example.live:
        yield from _followed(example, answer)
    else:
        yield _block("sh", shell.commands(example))
        yield _answer(example, answer)
    if example.fields:
        rows = [f"| `{name}` | {_code(path)} | {said} |" for name, path, said in example.fields]
        yield "\n".join(["| REST | GraphQL | |", "|---|---|---|", *rows])


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _variables(text: str) -> str:
    # Values that are not quoted are no JSON before they are filled in.
    bare = re.compile(r'(?<!")\$([A-Z_]+)(?!")')
    kept = json.dumps(json.loads(bare.sub(r'"bare \1"', text)), indent=2, ensure_ascii=False)
    return re.sub(r'"bare ([A-Z_]+)"', r"$\1", kept)


def _answer(example: Example, answer: Mapping[str, Any]) -> str:
    body = "" if answer.get("body") is None else json.dumps(answer["body"], indent=2, ensure_ascii=False)
    if example.is_graphql:
        return _block("json", body)
    head = [f"HTTP/1.1 {answer['status']}", *(f"{name}: {value}" for name, value in answer["headers"].items())]
    return _block("http", "\n".join(head) + (f"\n\n{body}" if body else ""))


def _followed(example: Example, answer: Mapping[str, Any]) -> Iterator[str]:
    init, subscribe = frames_of(example)
    ack, *came = (json.dumps(frame, ensure_ascii=False) for frame in answer["frames"])
    lines = [f"> {init}", f"< {ack}", f"> {subscribe}", *(f"< {frame}" for frame in came)]
    yield _block("sh", 'npx wscat -s graphql-transport-ws -c "ws${MUSEED#http}/graphql"')
    yield _block("text", "\n".join(lines))


def _block(language: str, text: str) -> str:
    return f"```{language}\n{text.strip()}\n```"
