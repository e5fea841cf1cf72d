"""What clients were promised in the last release stays; what would break them is noticed, and told by name."""

from pathlib import Path

import pytest

from services.gateway import export_schema
from services.gateway.export_schema import PATH, RELEASED, breaking_changes, main

FRESH = PATH.read_text()


def test_nothing_breaks_clients_of_the_last_release() -> None:
    assert breaking_changes(RELEASED.read_text(), FRESH) == []


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ("  entryCount: Int!", "  entryTotal: Int!", "FIELD_REMOVED: Field Playlist.entryCount was removed."),
        (
            "  entryCount: Int!",
            "  entryCount: Int",
            "FIELD_CHANGED_KIND: Field Playlist.entryCount changed type from Int! to Int.",
        ),
        (
            "  title: String = null\n",
            "  title: String!\n",
            "changed type from String to String!",
        ),
        ("  UNLISTED\n", "  SECRET\n", "VALUE_REMOVED_FROM_ENUM: Enum value Visibility.UNLISTED was removed."),
        (
            "  track(\n",
            "  track(\n    needed: Int!\n",
            "REQUIRED_ARG_ADDED: A required argument Query.track(needed:) was added.",
        ),
        (
            "union LogOutResult = LogOutSuccess | ",
            "union LogOutResult = ",
            "TYPE_REMOVED_FROM_UNION: LogOutSuccess was removed from union type LogOutResult.",
        ),
        (" implements UserError", "", "IMPLEMENTED_INTERFACE_REMOVED"),
    ],
    ids=["field", "null", "input", "enum value", "argument", "union member", "interface"],
)
def test_what_breaks_clients_is_noticed(old: str, new: str, change: str) -> None:
    assert old in FRESH
    found = breaking_changes(FRESH, FRESH.replace(old, new))
    assert found
    assert any(change in each for each in found), found


def test_what_only_adds_is_let_through() -> None:
    added = FRESH.replace(
        "type Playlist implements Node {", "type Playlist implements Node {\n  more(optional: Int): String\n"
    )
    assert added != FRESH
    assert breaking_changes(FRESH, added) == []


def test_checking_tells_what_breaks_and_a_release_is_a_new_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    released = tmp_path / "released.graphql"
    released.write_text(
        FRESH.replace("type Playlist implements Node {", "type Playlist implements Node {\n  old: Int\n")
    )
    monkeypatch.setattr(export_schema, "RELEASED", released)
    monkeypatch.setattr(export_schema, "PATH", tmp_path / "schema.graphql")
    export_schema.PATH.write_text(FRESH)
    assert main(["--check"]) == 1
    assert "FIELD_REMOVED: Field Playlist.old was removed." in capsys.readouterr().err
    assert main(["--release"]) == 0
    assert main(["--check"]) == 0
    assert released.read_text() == FRESH
