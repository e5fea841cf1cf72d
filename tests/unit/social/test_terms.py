"""What is typed: where each word is looked for, and how strictly."""

import pytest

from services.social.domain.folding import folded
from services.social.domain.terms import Place, Term, asked


@pytest.mark.parametrize(
    ("typed", "terms"),
    [
        ("", []),
        ("!!!", []),
        ("Night", [Term(Place.TEXT, "night", is_inside=True, is_loose=True)]),
        ("42", [Term(Place.TEXT, "42", is_inside=False, is_loose=False)]),
        ("夜", [Term(Place.TEXT, "夜", is_inside=True, is_loose=False)]),
        ("날", [Term(Place.JAMO, "ㄴㅏㄹ", is_inside=True, is_loose=True)]),
        ("나", [Term(Place.JAMO, "ㄴㅏ", is_inside=False, is_loose=False)]),
        ("ㅈㅇㄴ", [Term(Place.INITIALS, "ㅈㅇㄴ", is_inside=True, is_loose=False)]),
        ("ㅂㄴ", [Term(Place.INITIALS, "ㅂㄴ", is_inside=False, is_loose=False)]),
        ("bts봄", [Term(Place.JAMO, "btsㅂㅗㅁ", is_inside=True, is_loose=True)]),
    ],
)
def test_each_word_has_its_place(typed: str, terms: list[Term]) -> None:
    assert list(asked(folded(typed)).terms) == terms


@pytest.mark.parametrize(
    ("typed", "korean", "run_together"),
    [
        ("good day", None, ""),
        ("좋은 날", Place.JAMO, "ㅈㅗㅎㅇㅡㄴㄴㅏㄹ"),
        ("좋은날", Place.JAMO, ""),
        ("ㅈㅇ ㄴ", Place.JAMO, ""),
        ("ㅇㅇㅇ ㅈㅇㄴ", Place.INITIALS, ""),
        ("bts 봄날", Place.JAMO, ""),
    ],
)
def test_what_is_korean_is_ranked_by_its_letters(typed: str, korean: Place | None, run_together: str) -> None:
    found = asked(folded(typed))
    assert (found.korean, found.run_together) == (korean, run_together)
