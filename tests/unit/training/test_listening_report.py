import numpy as np

from training.listening.ratings import Rating
from training.listening.report import RaterSeedBootstrap, table
from training.listening.study import Key

_SEEDS = ("s1", "s2", "s3", "s4", "s5")
_KEY = Key(
    "study",
    {},
    {f"{encoder}-{seed}": encoder for encoder in ("mini", "teacher") for seed in _SEEDS},
    {f"{encoder}-{seed}": seed for encoder in ("mini", "teacher") for seed in _SEEDS},
    {},
)


def _rating(rater: str, playlist: str, relevance: int, serendipity: int = 3, satisfaction: int = 3) -> Rating:
    return Rating(
        rater=rater,
        playlist=playlist,
        relevance=relevance,
        serendipity=serendipity,
        satisfaction=satisfaction,
    )


def test_means_and_paired_differences_are_those_of_the_marks() -> None:
    ratings = [
        _rating(rater, f"{encoder}-{seed}", mark + (encoder == "mini"), satisfaction=2)
        for encoder in ("mini", "teacher")
        for rater in ("Ada", "Bob")
        for seed, mark in zip(_SEEDS, (1, 2, 3, 4, 4), strict=True)
    ]

    lines = table(_KEY, ratings).splitlines()

    assert lines[0].startswith("ratings: 20, listeners: 2;")
    assert lines[3].split() == [
        "mini",
        "3.80",
        *_interval(lines[3]),
        "3.00",
        "[3.00,",
        "3.00]",
        "2.00",
        "[2.00,",
        "2.00]",
        "10",
    ]
    # One mark better on every seed: the difference is certain where the means are not.
    assert lines[-1].split() == [
        "mini", "−", "teacher",
        "+1.00", "[+1.00,", "+1.00]", "+0.00", "[+0.00,", "+0.00]", "+0.00", "[+0.00,", "+0.00]", "10",
    ]  # fmt: skip


def _interval(line: str) -> list[str]:
    low, high = line.split()[2:4]
    assert 2.4 < float(low.strip("[,")) < 3.8 < float(high.strip("]")) <= 5
    return [low, high]


def test_a_playlist_that_only_one_encoder_was_rated_for_is_in_no_pair() -> None:
    ratings = [_rating("Ada", "mini-s1", 5), _rating("Ada", "teacher-s1", 2), _rating("Bob", "mini-s2", 4)]

    last = table(_KEY, ratings).splitlines()[-1].split()

    # One pair of one listener: nothing to resample.
    assert last == ["mini", "−", "teacher", "+3.00", "+0.00", "+0.00", "1"]


def test_without_ratings_the_table_says_so() -> None:
    lines = table(_KEY, [_rating("Ada", "of another test", 3)]).splitlines()

    assert lines[0] == "ratings: 0, listeners: 0"
    assert "\n".join(lines).count("no marks") == 9


def test_intervals_are_those_of_a_slow_resampling_of_listeners_and_seeds() -> None:
    dice = np.random.default_rng(3)
    raters, seeds = ("Ada", "Bob", "Cyd"), _SEEDS
    marks = {(rater, seed): float(dice.integers(1, 6)) for rater in raters for seed in seeds}

    found = RaterSeedBootstrap(raters, seeds).estimate(marks)

    means = []
    for _ in range(4000):
        drawn_raters, drawn_seeds = dice.choice(raters, 3), dice.choice(seeds, 5)
        means.append(np.mean([marks[rater, seed] for rater in drawn_raters for seed in drawn_seeds]))
    low, high = np.quantile(means, [0.05, 0.95])
    assert found.mean == np.mean(list(marks.values()))
    assert abs(found.low - low) < 0.08
    assert abs(found.high - high) < 0.08
