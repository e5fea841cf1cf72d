"""What tests of the domain look at beside what it returns."""

import unicodedata

import pytest


@pytest.fixture
def normalized(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of all texts that were normalised: of marks in a row, that takes time by their square."""
    lengths: list[int] = []
    normalize = unicodedata.normalize

    def listening(form: str, text: str) -> str:
        lengths.append(len(text))
        return normalize(form, text)  # type: ignore[arg-type]  # one of the four forms

    monkeypatch.setattr(unicodedata, "normalize", listening)
    return lengths
