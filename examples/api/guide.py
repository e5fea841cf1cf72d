"""Reads `guide.toml` and the documents: what API.md says, and the examples that it shows, in order."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
_GUIDE = FOLDER / "guide.toml"
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Example:
    """One request, and what is said of it.

    Attributes:
        name: Of its answer, and of its document where `document` names no other.
        title: Heading.
        text: What stands below it.
        rest: Endpoint of the REST documents that it replaces.
        fields: Their fields: name, path in `data` or empty where there is none, what else there is to say.
        caller: Variable with the token that is sent; empty for a guest.
        document: GraphQL document, in one piece; empty for a plain route.
        variables: JSON with `$NAMES`.
        cost: Whether `extensions` are shown.
        live: Whether it goes over a socket; without `until` it is followed to its end.
        method: Of a plain route.
        path: Of a plain route, or a whole address.
        headers: Of a plain route.
        file: Variable that names the file which is the body.
        show: Headers of the answer that are shown.
        make: Variables that are made before: "uuid", "now" or "size of FILE".
        keep: Variables that are read from the answer: a path like `.data.job.jobId`, or the name of a header.
        until: Path that must be there; until it is, the request is repeated, or the next event waited for.
        same: Two variables that must be equal then.
    """

    name: str
    title: str
    text: str = ""
    rest: str = ""
    fields: tuple[tuple[str, str, str], ...] = ()
    caller: str = ""
    document: str = ""
    variables: str = "{}"
    cost: bool = False
    live: bool = False
    method: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    file: str = ""
    show: tuple[str, ...] = ()
    make: dict[str, str] = field(default_factory=dict)
    keep: dict[str, str] = field(default_factory=dict)
    until: str = ""
    same: tuple[str, ...] = ()

    @property
    def is_graphql(self) -> bool:
        """Whether it is an operation, and no plain route."""
        return not self.method

    @property
    def one_line(self) -> str:
        """The document without its line breaks."""
        return _SPACE.sub(" ", self.document).strip()


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page.

    Attributes:
        title: Heading.
        text: What stands below it.
        examples: In the order in which they run.
    """

    title: str
    text: str = ""
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class Guide:
    """All of it.

    Attributes:
        endpoints: Of the REST documents, in their order.
        sections: In the order of the page.
    """

    endpoints: tuple[str, ...]
    sections: tuple[Section, ...]

    @property
    def examples(self) -> tuple[Example, ...]:
        """All examples in the order in which they run."""
        return tuple(example for section in self.sections for example in section.examples)


def read_guide() -> Guide:
    """Read all of it."""
    with _GUIDE.open("rb") as file:
        found = tomllib.load(file)
    return Guide(tuple(found["endpoints"]), tuple(_section(one) for one in found["section"]))


def _section(row: dict[str, Any]) -> Section:
    examples = tuple(_example(one) for one in row.pop("example", ()))
    return Section(**{**row, "text": _paragraph(row.get("text", ""))}, examples=examples)


def _example(row: dict[str, Any]) -> Example:
    document = ""
    if "method" not in row:
        document = (FOLDER / "documents" / f"{row.get('document', row['name'])}.graphql").read_text()
    changed = {
        "document": document,
        "text": _paragraph(row.get("text", "")),
        "fields": tuple((name, path, said) for name, path, said in row.get("fields", ())),
        "show": tuple(row.get("show", ())),
        "same": tuple(row.get("same", ())),
    }
    return Example(**{**row, **changed})


def _paragraph(text: str) -> str:
    return " ".join(text.split())
