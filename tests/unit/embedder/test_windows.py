"""Which windows of a track speak for it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from services.embedder.artifact import Manifest
from services.embedder.windows import WindowChoice, root_mean_square

RATE = 1_000
MANIFEST = Manifest(
    name="fake", architecture="fake/1", dim=2, sample_rate_hz=RATE, window_seconds=10, hop_seconds=10, weights_sha256=""
)


def tone(seconds: float, level: float = 0.5) -> NDArray[np.float32]:
    return np.full(round(seconds * RATE), level, dtype=np.float32)


def votes_of(*windows: NDArray[np.float32]) -> list[bool]:
    choice = WindowChoice(MANIFEST, min_samples=100)
    return [choice.votes(window) for window in windows]


@pytest.mark.parametrize(("rest", "is_kept"), [(3.0, True), (2.999, False), (9.999, True), (0.01, False)])
def test_a_rest_after_a_full_window_counts_from_three_seconds_on(rest: float, is_kept: bool) -> None:
    assert votes_of(tone(10), tone(rest)) == [True, is_kept]


@pytest.mark.parametrize(("length", "is_kept"), [(2.0, True), (0.1, True), (0.099, False)])
def test_a_lone_part_counts_as_far_as_the_encoder_can_see_it(length: float, is_kept: bool) -> None:
    assert votes_of(tone(length)) == [is_kept]


def test_silent_windows_do_not_vote() -> None:
    assert votes_of(tone(10, 0.0009), tone(10, 0.001), tone(10, 0), tone(5, 0), tone(5)) == [
        False, True, False, False, True,
    ]  # fmt: skip


def test_a_silent_full_window_still_makes_short_rests_drop() -> None:
    assert votes_of(tone(10, 0), tone(2)) == [False, False]


def test_weight_is_the_length_in_seconds() -> None:
    choice = WindowChoice(MANIFEST, min_samples=100)
    assert [choice.seconds(tone(10)), choice.seconds(tone(3.5))] == [10.0, 3.5]


def test_level_of_a_full_scale_square_is_one() -> None:
    assert root_mean_square(np.array([1, -1, 1, -1], dtype=np.float32)) == 1.0
