"""What programs say of themselves, as metadata."""

import pytest

from services.gateway.programs import program_name


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Radio/1.0 (X11; Linux)", "Radio/1.0 (X11; Linux)"),
        ("라디오/1.0", "?/1.0"),
        ("a\r\nauthorization: Bearer x", "a?authorization: Bearer x"),
        ("  ", ""),
        ("x" * 300, "x" * 200),
    ],
)
def test_names_are_cut_to_what_metadata_carries(said: str, name: str) -> None:
    assert program_name(said) == name
