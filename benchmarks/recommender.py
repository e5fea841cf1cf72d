"""Judges the blend of sound and behaviour offline, on simulated people, against each of both alone.

    python -m benchmarks.recommender [--people 1000] [--tracks 3000] [--seed 1]

How much of liking can be heard is an assumption: it is swept from all to nothing, so that one sees what it decides.
"""

import argparse

import numpy as np

from benchmarks.recommendation import methods
from benchmarks.recommendation.measures import LENGTH, Scores, difference, score
from benchmarks.recommendation.population import Population, simulate

_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_COLD_BELOW = 3


def main() -> None:
    """Print a table for each share of what cannot be heard."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1_000)
    parser.add_argument("--tracks", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for share in _SHARES:
        population = simulate(options.people, options.tracks, share, options.seed)
        print(f"\nindependent of sound: {share:.0%} of liking; {int(population.is_cold.sum())} cold people")
        report(judge(population), population, options.seed)


def judge(population: Population) -> dict[str, Scores]:
    """Score every method on what was held out."""
    by_sound, by_behaviour = methods.sound(population), methods.behaviour(population)
    ways: dict[str, methods.Method] = {
        "popularity": methods.popularity(population),
        "sound": by_sound,
        "behaviour": by_behaviour,
        "blend": methods.blended(population, by_sound, by_behaviour),
        "blend 0.25": methods.blended(population, by_sound, by_behaviour, 0.25),
        "blend 0.75": methods.blended(population, by_sound, by_behaviour, 0.75),
    }
    cold = {int(one) for one in np.flatnonzero(methods.listeners(population) < _COLD_BELOW)}
    people = range(len(population.heard))
    return {
        name: score([way(number) for number in people], population.held_out, len(population.sounds), cold)
        for name, way in ways.items()
    }


def report(scores: dict[str, Scores], population: Population, seed: int) -> None:
    """Print scores of all, and the blend's lead over each of both with 95 % intervals."""
    head = (f"recall@{LENGTH}", f"nDCG@{LENGTH}", "coverage", "cold people", "cold tracks")
    print(f"{'':12}" + "".join(f"{name:>13}" for name in head))
    for name, one in scores.items():
        cold_people = one.recall[population.is_cold].mean()
        figures = (one.recall.mean(), one.ndcg.mean(), one.coverage, cold_people, one.cold_recall)
        print(f"{name:12}" + "".join(f"{figure:13.4f}" for figure in figures))
    for other in ("sound", "behaviour"):
        for measure in ("recall", "ndcg"):
            gap, low, high = difference(getattr(scores["blend"], measure), getattr(scores[other], measure), seed)
            print(f"blend − {other}, {measure}: {gap:+.4f} [{low:+.4f}, {high:+.4f}]")


if __name__ == "__main__":
    main()
