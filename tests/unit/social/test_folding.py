"""Search text: what does not matter is gone, what does is still there."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.social.domain.folding import folded, like_pattern, query_words, sort_name


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
        ("हिन्दी गाना", "हिनदी गाना"),
        ("รักแท้ยังมีอยู่", "รักแทยังมีอย"),
        ("தமிழ் பாடல்", "தமிழ பாடல"),
        ("I ❤\ufe0f 1\ufe0f\u20e3", "i 1"),
        ("", ""),
        ("Aloha ʻOe", "aloha oe"),
        ("ALOHA 'OE", "aloha oe"),
        ("Hawai`i Hawai‘i Hawai´i", "hawaii hawaii hawaii"),
        ("Don’t L'Amour O\u02bcConnor Ŧha\uff07t ŉ", "dont lamour oconnor that n"),
        ("п'ять п\u02bcять", "пять пять"),
        ("Rock'n'Roll Drum ’n’ Bass Rock’N Roll", "rock n roll drum n bass rock n roll"),
        ("O'n N'Dour oʻn", "on ndour on"),
        ("'Heroes' 7′ mix", "heroes 7 mix"),
        ("'", "'"),
        ("ʻ", "ʻ"),
    ],
)
def test_text_is_folded(text: str, expected: str) -> None:
    assert folded(text) == expected


@given(st.text(max_size=60))
def test_unicode_form_and_repetition_change_nothing(text: str) -> None:
    once = folded(text)
    assert folded(unicodedata.normalize("NFD", text)) == folded(unicodedata.normalize("NFC", text))
    assert folded(once) == once


def test_names_are_cut_where_lists_are_ordered_by_them() -> None:
    assert sort_name("Café  del\tMar") == "cafe del mar"
    for sign in ("a", "é", "한", "𠀀", "ﷺ", "a "):
        name = sort_name(sign * 500)
        assert 0 < len(name.encode()) <= 1_000
        assert folded(sign * 500).startswith(name)
        assert sort_name(name) == name


def test_query_words_are_different_and_at_most_eight() -> None:
    assert query_words("a b a") == ["a", "b"]
    assert len(query_words(" ".join(str(number) for number in range(20)))) == 8


def test_wildcards_are_taken_literally() -> None:
    assert like_pattern("50%_a\\") == "%50\\%\\_a\\\\%"
