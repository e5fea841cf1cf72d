"""When windows were, and which are alike, against plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.retriever.reference.segments import Windows, compare, similarities, times_s, voiced
from services.retriever.similarity import Float32Array
from tests.unit.retriever.test_taste import unit


def windows(*seeds: int) -> Windows:
    starts = np.arange(len(seeds), dtype=np.float64) * 10
    return Windows(np.stack([unit(seed) for seed in seeds]), starts, starts + 10)


def cosines_of(reference: Windows, track: Windows) -> Float32Array:
    (found,) = similarities(reference, [track])
    return found


@pytest.mark.parametrize(
    ("rows", "duration_s", "window_s", "last"),
    [
        (3, 30.0, 10.0, (20, 30)),
        (4, 34.0, 10.0, (30, 34)),
        (4, 32.0, 10.0, (30, 32)),  # a part too short to vote: its row is zeros
        (3, 32.0, 10.0, (20, 30)),  # … or was left out by an earlier embedder
        (3, 34.0, 10.0, None),  # a window is missing, and nobody knows which
        (2, 30.0, 10.0, None),
        (4, 30.0, 10.0, None),  # more than there can be
        (5, 34.0, 10.0, None),
        (1, 2.0, 10.0, (0, 2)),
        (3, 29.999, 10.0, (20, 29.999)),
        (3, 30.001, 10.0, (20, 30)),
        (2, 61.5, 60.0, (60, 61.5)),
        (1, 61.5, 60.0, (0, 60)),
        (1, 0.0, 10.0, None),  # the length is not known
    ],
)
def test_rows_tell_their_times_where_there_is_one_for_each_window(
    rows: int, duration_s: float, window_s: float, last: tuple[float, float] | None
) -> None:
    found = times_s(rows, duration_s, window_s)
    assert (None if found is None else (found[0][-1], found[1][-1])) == (None if last is None else pytest.approx(last))
    if found is not None:
        np.testing.assert_array_equal(found[0], np.arange(rows) * window_s)
        np.testing.assert_array_equal(found[1][:-1], found[0][1:])


@given(
    st.lists(st.integers(0, 15), min_size=1, max_size=9),
    st.lists(st.integers(0, 15), min_size=1, max_size=9),
    st.integers(1, 12),
    st.data(),
)
def test_score_and_pairs_are_those_of_loops(
    reference: list[int], track: list[int], pair_count: int, data: st.DataObject
) -> None:
    seconds = np.array([data.draw(st.floats(0.5, 10)) for _ in reference])
    found = compare(cosines_of(windows(*reference), windows(*track)), seconds, pair_count)
    cosines = [[round(float(unit(left) @ unit(right)), 6) for right in track] for left in reference]
    best = [max(row) for row in cosines]
    total = sum(weight * one for weight, one in zip(seconds, best, strict=True))
    assert found.score == pytest.approx(total / sum(seconds), abs=1e-5)

    free = [(-cosines[i][j], i, j) for i in range(len(reference)) for j in range(len(track))]
    expected: list[float] = []
    while free and len(expected) < pair_count:
        _, i, j = min(free)
        expected.append(cosines[i][j])
        free = [one for one in free if i != one[1] and j != one[2]]
    # By cosine: of windows that are alike to 1e-6 another pair may be taken than in double precision.
    assert [pair.similarity for pair in found.pairs] == pytest.approx(expected, abs=2e-6)
    assert len({pair.reference for pair in found.pairs}) == len({pair.track for pair in found.pairs}) == len(expected)
    for pair in found.pairs:
        assert pair.similarity == pytest.approx(cosines[pair.reference][pair.track], abs=2e-6)


def test_pairs_that_tie_are_the_earliest() -> None:
    found = compare(cosines_of(windows(1, 1), windows(2, 1, 1)), np.array([10.0, 10.0]), 2)
    assert [(pair.reference, pair.track) for pair in found.pairs] == [(0, 1), (1, 2)]


def test_a_short_last_window_counts_by_its_seconds() -> None:
    alike, other = compare(cosines_of(windows(1), windows(1)), np.array([10.0]), 1), float(unit(1) @ unit(2))
    assert alike.score == pytest.approx(1)
    found = compare(cosines_of(windows(1, 2), windows(1)), np.array([10.0, 2.5]), 1)
    assert found.score == pytest.approx((10 + 2.5 * other) / 12.5, abs=1e-6)


def test_silence_is_a_row_of_zeros_only() -> None:
    rows = np.stack([unit(1), np.zeros(6, np.float32), unit(2)])
    assert voiced(rows).tolist() == [0, 2]


def test_tracks_compared_together_are_compared_as_alone() -> None:
    tracks = [windows(1, 2, 3), windows(4), windows(5, 6)]
    together = similarities(windows(7, 8), tracks)
    assert [one.shape for one in together] == [(2, 3), (2, 1), (2, 2)]
    for one, track in zip(together, tracks, strict=True):
        np.testing.assert_allclose(one, windows(7, 8).vectors @ track.vectors.T, atol=2e-6)
    assert similarities(windows(7), []) == []
