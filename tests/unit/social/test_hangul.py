"""Hangul taken apart: every syllable, whatever form it came in."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.social.domain.folding import folded
from services.social.domain.hangul import has_hangul, initials_text, jamo_text, letters, typed_initials

SYLLABLES = "".join(map(chr, range(0xAC00, 0xD7A4)))


def test_every_syllable_comes_apart_as_unicode_says() -> None:
    """Against the decomposition of the standard library, jamo by jamo."""
    for syllable in SYLLABLES:
        expected = []
        for jamo in unicodedata.normalize("NFD", syllable):
            name = unicodedata.name(jamo).split()[-1]  # "HANGUL CHOSEONG KIYEOK" → "KIYEOK"
            compatible = unicodedata.lookup(f"HANGUL LETTER {name}")
            expected.append(letters(unicodedata.normalize("NFKD", compatible)))
        assert letters(syllable) == "".join(expected), syllable


def test_letters_are_keys() -> None:
    assert letters("닭과 값의 뜻") == "ㄷㅏㄹㄱㄱㅗㅏ ㄱㅏㅂㅅㅇㅡㅣ ㄸㅡㅅ"
    assert letters("bts 봄날 1") == "bts ㅂㅗㅁㄴㅏㄹ 1"


@given(st.text(alphabet=SYLLABLES + " ab", max_size=20))
def test_no_form_of_unicode_makes_a_difference(text: str) -> None:
    wanted = letters(folded(text))
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert letters(folded(unicodedata.normalize(form, text))) == wanted


@given(st.text(alphabet=SYLLABLES, min_size=1, max_size=10))
def test_half_a_word_is_the_beginning_of_the_whole(word: str) -> None:
    whole = letters(word)
    for length in range(len(word)):
        assert whole.startswith(letters(word[:length]))


@pytest.mark.parametrize(
    ("typed", "initials"),
    [("ㅈㅇㄴ", "ㅈㅇㄴ"), ("ㅂㄴ", "ㅂㄴ"), ("ㄳ", ""), ("ㄳㅂ", "ㄱㅅㅂ"), ("ㄲㅃ", "ㄲㅃ")]
    + [(other, "") for other in ("ㅈ", "ㅏㅇ", "좋은", "ㅈ은", "abc", "ㅈa", "")],
)
def test_initials_are_two_consonants_or_more(typed: str, initials: str) -> None:
    assert typed_initials(folded(typed)) == initials


def test_names_are_searched_with_and_without_their_spaces() -> None:
    names = ["좋은 날", "아이유", "real"]
    assert jamo_text(names) == "ㅈㅗㅎㅇㅡㄴ ㄴㅏㄹ ㅈㅗㅎㅇㅡㄴㄴㅏㄹ ㅇㅏㅇㅣㅇㅠ"
    assert initials_text(names) == "ㅈㅇ ㄴ ㅈㅇㄴ ㅇㅇㅇ"
    assert (jamo_text(["bts 봄날"]), initials_text(["bts 봄날"])) == ("bts ㅂㅗㅁㄴㅏㄹ btsㅂㅗㅁㄴㅏㄹ", "ㅂㄴ")
    assert (jamo_text(["real", ""]), initials_text([])) == ("", "")
    assert has_hangul(folded("aㅋ"))
    assert not has_hangul("夜 night")
