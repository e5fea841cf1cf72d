"""Single inputs: what is refused, and before how much was done about it."""

import pytest

from services.social.domain import fields
from services.social.errors import OutOfRange
from services.social.exchange.rows import LONGEST_NAME, cleaned

# Two marks that Unicode wants in the other order.
_MARKS = "\u0300\u0316"


def test_decomposed_text_of_the_longest_length_is_taken() -> None:
    assert fields.line("\u03b1\u0313\u0300\u0345" * 10, "title", longest=10) == "\u1f82" * 10
    assert fields.text("\u03b1\u0313\u0300\u0345" * 10, "text", longest=10) == "\u1f82" * 10


@pytest.mark.parametrize("name", ["line", "text"])
def test_text_that_is_far_too_long_is_refused_unread(name: str, normalized: list[int]) -> None:
    with pytest.raises(OutOfRange) as refusal:
        getattr(fields, name)(_MARKS * 20_000, "title", longest=200)
    assert (refusal.value.field, refusal.value.value, refusal.value.limit) == ("title", "40000", "200")
    assert normalized == []


def test_cell_of_a_file_is_cut_before_it_is_composed(normalized: list[int]) -> None:
    assert cleaned("  " + "e\u0301" * 20_000) == "é" * LONGEST_NAME
    assert normalized == [4 * LONGEST_NAME]
