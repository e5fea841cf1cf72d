from itertools import combinations, permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.retriever.playlist.arrangement import RepetitionCounter
from services.retriever.playlist.exchanges import exchange
from services.retriever.playlist.spacing import IntArray
from services.retriever.playlist.two_opt import Float64Array


def misfits_of(energies: list[float], meant: list[float]) -> Float64Array:
    misfits: Float64Array = np.subtract.outer(np.array(energies), np.array(meant)) ** 2
    return misfits


def test_where_the_rule_holds_each_track_comes_to_its_place() -> None:
    misfits = misfits_of([0.1, 0.2, 0.3, 0.4], [0.4, 0.1, 0.3, 0.2])
    assert exchange([0, 1, 2, 3], misfits, lambda _: 0) == [3, 0, 2, 1]


def test_the_cheapest_exchange_that_mends_the_rule_is_taken() -> None:
    energies = [0.1, 0.11, 0.5, 0.9, 0.95]
    artists = ["A", "A", "B", "C", "D"]
    assert exchange(range(5), misfits_of(energies, energies), RepetitionCounter(artists, 2)) == [0, 2, 1, 3, 4]


def test_a_rule_that_cannot_be_kept_is_broken_no_more_often_for_a_better_fit() -> None:
    energies = [0.3, 0.1, 0.2]
    assert exchange([0, 1, 2], misfits_of(energies, [0.1, 0.2, 0.3]), RepetitionCounter("AAA", 2)) == [1, 2, 0]


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 4))
def test_no_exchange_is_left_that_would_be_worth_it(seed: int, count: int, window: int) -> None:
    rng = np.random.default_rng(seed)
    energies, meant = rng.uniform(0, 1, count), rng.uniform(0, 1, count)
    misfits = misfits_of(energies.tolist(), meant.tolist())
    breaks = RepetitionCounter(rng.integers(0, 4, count).tolist(), window)

    def worth(order: list[int] | IntArray) -> tuple[int, float]:
        return breaks(np.array(order)), float(misfits[order, range(count)].sum())

    way = exchange(range(count), misfits, breaks)
    assert sorted(way) == list(range(count))
    assert worth(way)[0] <= worth(list(range(count)))[0]
    if worth(way)[0] == worth(list(range(count)))[0]:
        assert worth(way)[1] <= worth(list(range(count)))[1] + 1e-9
    for one, other in combinations(range(count), 2):
        exchanged = list(way)
        exchanged[one], exchanged[other] = way[other], way[one]
        then = worth(exchanged)
        assert then[0] > worth(way)[0] or then[1] >= worth(way)[1] - 1e-8 or then[0] < worth(way)[0] == 0


def test_few_orders_are_better() -> None:
    costs, best = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        energies = np.sort(rng.uniform(0, 1, 6))
        misfits = misfits_of(energies.tolist(), energies.tolist())
        breaks = RepetitionCounter(rng.permutation([0, 0, 1, 1, 2, 3]).tolist(), 2)
        way = exchange(range(6), misfits, breaks)
        assert breaks(np.array(way)) == 0
        costs.append(misfits[way, range(6)].sum())
        orders = [list(order) for order in permutations(range(6)) if breaks(np.array(order)) == 0]
        best.append(min(misfits[order, range(6)].sum() for order in orders))
    assert np.isclose(costs, best).mean() >= 0.8
    assert np.mean(costs) <= 1.2 * np.mean(best)
