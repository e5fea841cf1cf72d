"""The axes' words, and scores against softmax by hand."""

import math

import numpy as np
import pytest

from services.embedder.axes import AXES, TEMPERATURE, Axis, score
from services.embedder.model import unit


def test_axes_are_the_five_of_the_proposal() -> None:
    assert [axis.name for axis in AXES] == ["genre", "mood", "energy", "valence", "source"]
    words = {axis.name: list(axis.prompts) for axis in AXES}
    assert len(words["genre"]) == 16
    assert words["energy"] == ["high", "medium", "low"]
    assert words["valence"] == ["positive", "negative"]
    assert words["source"] == ["acoustic", "electronic"]
    assert {"aggressive", "dramatic", "happy", "romantic", "sad"} <= set(words["mood"])


def test_prompts_are_english_and_all_different() -> None:
    prompts = [prompt for axis in AXES for prompt in axis.prompts.values()]
    assert len(set(prompts)) == len(prompts)
    assert all(prompt.isascii() and prompt for prompt in prompts)


def test_scores_are_a_softmax_of_cosines_best_first() -> None:
    energy = AXES[2]
    track = np.array([1, 0], np.float32)
    cosines = [0.1, 0.3, 0.2]
    words = np.array([[cosine, math.sqrt(1 - cosine**2)] for cosine in cosines], np.float32)
    weights = [math.exp(cosine / TEMPERATURE) for cosine in cosines]
    found = score(energy, track, words)
    assert [name for name, _ in found] == ["medium", "low", "high"]
    assert [value for _, value in found] == pytest.approx([weights[row] / sum(weights) for row in (1, 2, 0)], rel=1e-5)


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
def test_scores_of_an_axis_sum_to_one(axis: Axis) -> None:
    random = np.random.default_rng(3)
    track = unit(random.standard_normal((1, 8)).astype(np.float32))[0]
    found = score(axis, track, unit(random.standard_normal((len(axis.prompts), 8)).astype(np.float32)))
    assert sum(value for _, value in found) == pytest.approx(1)
    assert sorted((value for _, value in found), reverse=True) == [value for _, value in found]
    assert {name for name, _ in found} == set(axis.prompts)


def test_opposite_words_do_not_overflow() -> None:
    track = np.array([1, 0], np.float32)
    found = score(AXES[3], track, np.array([[-1, 0], [1, 0]], np.float32))
    assert [name for name, _ in found] == ["negative", "positive"]
    assert [value for _, value in found] == pytest.approx([1, math.exp(-2 / TEMPERATURE)])
