"""What an error may take of the headers that it travels in."""

import pytest

from services.chassis.errors import InvalidArgument


@pytest.mark.parametrize("letter", ["a", "조", "🎵"])
def test_long_messages_are_cut_at_a_letter(letter: str) -> None:
    message = InvalidArgument(letter * 5000).message
    assert len(message.encode()) <= 1003
    assert message == letter * (len(message) - 1) + "…"
    assert len(message.encode()) >= 998


def test_other_messages_are_kept() -> None:
    message = "조" * 333
    assert InvalidArgument(message).message == message
    assert InvalidArgument("x", value="y" * 300).value == "y" * 200
