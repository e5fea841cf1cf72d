"""Search text: what does not matter is gone, what does is still there."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.social.domain.folding import folded, like_pattern, query_words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Café  del\tMar", "cafe del mar"),
        ("BJÖRK", "bjork"),
        ("Sigur Rós – Hoppípolla", "sigur ros hoppipolla"),
        ("Møller Łódź Đorđe Æon Straße", "moller lodz dorde aeon strasse"),
        ("AC/DC", "ac dc"),
        ("좋은 날", "좋은 날"),
        ("ガンダム", "カンタム"),
        ("ﬁne №5", "fine no5"),
        ("!!!", "!!!"),
        ("", ""),
    ],
)
def test_text_is_folded(text: str, expected: str) -> None:
    assert folded(text) == expected


@given(st.text(max_size=60))
def test_unicode_form_and_repetition_change_nothing(text: str) -> None:
    once = folded(text)
    assert folded(unicodedata.normalize("NFD", text)) == folded(unicodedata.normalize("NFC", text))
    assert folded(once) == once


def test_query_words_are_different_and_at_most_eight() -> None:
    assert query_words("a b a") == ["a", "b"]
    assert len(query_words(" ".join(str(number) for number in range(20)))) == 8


def test_wildcards_are_taken_literally() -> None:
    assert like_pattern("50%_a\\") == "%50\\%\\_a\\\\%"
