"""The files of the example page: what it sends is understood, it speaks two languages, and nothing of it is inline."""

import re
from pathlib import Path

import pytest

from services.gateway.schema import make_schema
from services.gateway.trust import faults

PAGE = Path(__file__).parents[3] / "examples" / "web"
SCRIPTS = sorted(PAGE.rglob("*.js"))


def documents() -> dict[str, str]:
    """Return what `documents.js` exports, with its fragments filled in."""
    found: dict[str, str] = {}
    pattern = re.compile(r"^(export )?const (\w+) = /\* GraphQL \*/ `([^`]*)`;$", re.MULTILINE)
    text = (PAGE / "documents.js").read_text()
    exported = {}
    for is_exported, name, value in pattern.findall(text):
        found[name] = re.sub(r"\$\{(\w+)\}", lambda part: found[part[1]], value)
        if is_exported:
            exported[name] = found[name]
    assert text.count("const ") == len(found)
    return exported


def texts(name: str) -> dict[str, str]:
    """Return the texts of a language by their names; lists of them as one."""
    found = {}
    group = ""
    for line in (PAGE / "languages" / f"{name}.js").read_text().splitlines():
        if opened := re.fullmatch(r"  (\w+): \{", line):
            group = f"{opened[1]}."
        elif line == "  },":
            group = ""
        elif told := re.fullmatch(r" +(\w+): (\[?\".*\"\]?),", line):
            found[group + told[1]] = told[2]
        else:
            assert not line.strip() or line.lstrip().startswith("//") or line in ("export default {", "};"), line
    return found


def test_the_gateway_understands_and_would_trust_every_document() -> None:
    found = documents()
    assert len(found) > 25
    assert faults(make_schema(), found) == []


def test_every_document_is_used_and_none_other_is_written() -> None:
    sources = {path: path.read_text() for path in SCRIPTS if path.name != "documents.js"}
    used = set().union(*(re.findall(r"documents\.([A-Z_]+)", text) for text in sources.values()))
    assert used == set(documents())
    assert [
        path.name for path, text in sources.items() if re.search(r"`\s*(query|mutation|subscription)\b", text)
    ] == []


def test_both_languages_say_everything_with_the_same_values() -> None:
    english, korean = texts("en"), texts("ko")
    plural = {name for name in english if name.endswith("One")}
    assert set(english) - plural == set(korean)
    values = re.compile(r"\{(\w+)\}")
    differing = [name for name in korean if set(values.findall(english[name])) != set(values.findall(korean[name]))]
    assert differing == []
    hangul = re.compile("[가-힣]")
    assert [name for name, text in korean.items() if not hangul.search(text)] == ["language", "pageOf"]
    assert [name for name, text in english.items() if hangul.search(text)] == ["language"]


def test_every_text_that_is_named_is_there_and_none_is_left_over() -> None:
    sources = "\n".join(path.read_text() for path in [*SCRIPTS, PAGE / "index.html"] if path.parent.name != "languages")
    named = set(re.findall(r"""(?:\bt\(|data-text=|data-label=)["'](\w+)["']""", sources))
    for either in re.findall(r"""\bt\([^?()]*\? "(\w+)" : "(\w+)"\)""", sources):
        named |= set(either)
    named |= set(re.findall(r"""field\("(\w+)\"""", sources)) | set(re.findall(r""", "(\w+Rule)"\)""", sources))
    known = texts("en")
    # By the values of enums, which the schema names.
    told = {name for name in known if name.isupper() or "." in name or "_" in name or name.endswith("One")}
    assert named - set(known) == set()
    assert set(known) - named - told == set()


def test_enums_of_the_schema_have_their_words() -> None:
    types = make_schema()._schema.type_map
    for enum, prefix in (
        ("JobState", ""), ("Visibility", ""), ("Arrangement", ""), ("ActivityKind", ""), ("NotificationKind", "news."),
    ):  # fmt: skip
        values = types[enum].values  # type: ignore[attr-defined]  # an enum
        assert [name for name in values if f"{prefix}{name}" not in texts("ko")] == []


def test_nothing_is_inline_and_nothing_comes_from_the_net() -> None:
    page = (PAGE / "index.html").read_text()
    assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|javascript:", page) == []
    everything = {path: path.read_text() for path in PAGE.rglob("*") if path.is_file()}
    for path, text in everything.items():
        linked = set(re.findall(r"https?://[^\s\"')]+", text))
        shown = {"http://www.w3.org/2000/svg"} | {
            link for link in linked if text.count(f"// {link}") or f"({link})" in text
        }
        assert linked - shown == set(), path
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|\.style\b", text), path


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_what_is_imported_is_there(path: Path) -> None:
    for names, source in re.findall(r"^import (.+?) from \"(\.[^\"]+)\";$", path.read_text(), re.MULTILINE):
        target = (path.parent / source).read_text()
        for name in re.findall(r"\w+", names) if names.startswith("{") else []:
            assert re.search(rf"export (async )?(function|class|const|let) {name}\b", target), (source, name)
