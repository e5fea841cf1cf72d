"""How wrong numbers are shown: as they were typed, though they came over the wire in single precision."""

import numpy as np
import pytest

from services.social.errors import Malformed, OutOfRange
from services.social.errors.tastes import TasteUncounted


@pytest.mark.parametrize(
    ("value", "limit", "message"),
    [
        (float(np.float32(1.2)), 1.0, "diversity is 1.2, limit is 1"),
        (2000.0, 1990.0, "diversity is 2000, limit is 1990"),
        (501, 500, "diversity is 501, limit is 500"),
    ],
    ids=["single", "whole", "integer"],
)
def test_numbers_are_shown_as_they_were_typed(value: float, limit: float, message: str) -> None:
    assert str(OutOfRange("diversity", value, limit)) == message


def test_a_value_of_single_precision_has_no_tail() -> None:
    refused = Malformed("weight", float(np.float32(0.2)), "unset")
    assert (refused.value, refused.message) == ("0.2", "weight must be unset")


def test_a_taste_that_is_not_there_yet_is_told_in_words() -> None:
    said = "tastes cannot be compared now, ask again in a moment: what you heard is still being counted"
    assert TasteUncounted().message == said
