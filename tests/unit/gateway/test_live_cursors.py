"""Cursors: what comes back is what was written, for one person and one list alone."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import InvalidArgument
from services.gateway.live.cursors import MOST_SHOWN, Cursor, CursorSigner, Place, mark_of

SIGNER = CursorSigner(b"k" * 32)
START = datetime(2026, 1, 1, tzinfo=UTC)
CURSORS = st.builds(
    Cursor,
    st.builds(Place, st.integers(0, 2**62), st.integers(0, 2**62)),
    st.integers(0, 10**12).map(lambda milliseconds: START + timedelta(milliseconds=milliseconds)),
    st.lists(st.integers(0, 9).map(lambda number: mark_of(str(number))), max_size=MOST_SHOWN).map(tuple),
)


@given(CURSORS, st.sampled_from(["feed", "notifications"]), st.text(max_size=5))
def test_a_cursor_comes_back_as_it_was(cursor: Cursor, topic: str, user_id: str) -> None:
    text = SIGNER.write(cursor, topic, user_id)
    assert SIGNER.read(text, topic, user_id) == cursor
    assert len(text) <= 180
    for signer, other_topic, other_id in (
        (SIGNER, f"{topic}x", user_id),
        (SIGNER, topic, f"{user_id}x"),
        (CursorSigner(b"other" * 8), topic, user_id),
    ):
        with pytest.raises(InvalidArgument) as caught:
            signer.read(text, other_topic, other_id)
        assert (caught.value.reason, caught.value.field) == ("CURSOR_INVALID", "after")


def test_no_byte_of_a_cursor_can_be_changed() -> None:
    text = SIGNER.write(Cursor(Place(1, 2), START, (mark_of("x"),)), "feed", "ann")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        with pytest.raises(InvalidArgument):
            SIGNER.read(base64.urlsafe_b64encode(changed).decode().rstrip("="), "feed", "ann")


@given(st.text(max_size=60))
def test_made_up_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        SIGNER.read(text, "feed", "ann")


def test_only_the_last_of_what_was_shown_is_told() -> None:
    shown = tuple(mark_of(str(number)) for number in range(MOST_SHOWN + 3))
    found = SIGNER.read(SIGNER.write(Cursor(Place(1, 2), START, shown), "feed", "ann"), "feed", "ann")
    assert found.shown == shown[3:]
