"""The bound of calls and its hint."""

import pytest

from services.embedder.admission import Admission
from services.embedder.errors import EmbedderBusy


def test_place_is_free_again_however_the_call_ends() -> None:
    admission = Admission(1, clock=lambda: 0.0)
    with pytest.raises(KeyError), admission.admit():
        raise KeyError
    with admission.admit(), pytest.raises(EmbedderBusy) as caught, admission.admit():
        pass
    # A call that failed says nothing of how long a place is kept.
    assert (caught.value.value, caught.value.limit, caught.value.retry_after_ms) == ("1", "1", 2000)
    with admission.admit():
        pass


@pytest.mark.parametrize(("call_s", "hint_ms"), [(0.01, 100), (0.4, 400), (500, 30_000)])
def test_hint_becomes_the_length_of_a_call(call_s: float, hint_ms: int) -> None:
    now = [0.0]
    admission = Admission(1, clock=lambda: now[0])
    for _ in range(60):
        with admission.admit():
            now[0] += call_s
    with admission.admit(), pytest.raises(EmbedderBusy) as caught, admission.admit():
        pass
    assert caught.value.retry_after_ms == hint_ms
