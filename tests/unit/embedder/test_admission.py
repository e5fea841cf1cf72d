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


def test_one_caller_leaves_places_for_others() -> None:
    admission = Admission(4, max_of_one=2)
    with admission.admit("a"), admission.admit("a"), admission.admit("b"):
        with pytest.raises(EmbedderBusy) as caught, admission.admit("a"):
            pass
        error = caught.value
        assert (error.value, error.limit, error.retry_after_ms) == ("2", "2", 2000)
        assert error.message == "2 files of one caller are being embedded, limit is 2"
        with admission.admit("b"):
            pass
    with admission.admit("a"), admission.admit("a"):
        pass


def test_calls_of_nobody_have_the_bound_of_all_alone() -> None:
    admission = Admission(3, max_of_one=1)
    with admission.admit(), admission.admit(), admission.admit():
        pass
