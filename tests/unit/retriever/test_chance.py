import hashlib

import numpy as np
import pytest

from services.retriever.playlist.chance import Gumbel

IDS = ["one", "other"]


def test_noise_is_the_same_on_every_machine() -> None:
    noise = Gumbel(0.5, 42, b"these seeds").noise(IDS, np.array([0.0, 2.0]))  # standard deviation 1
    key = hashlib.blake2b(b"these seeds", digest_size=32, key=b"\x2a" + bytes(7)).digest()
    digests = [hashlib.blake2b(each.encode(), digest_size=8, key=key).hexdigest() for each in IDS]
    assert digests == ["784258d0b96801a1", "fb9bcbea7fee1f26"]
    # The digests are numbers of 64 bits, the lowest byte first; their upper 53 bits are the middle of a step in (0, 1).
    numbers = [int.from_bytes(bytes.fromhex(each), "little") for each in digests]
    uniform = (np.array([number >> 11 for number in numbers]) + 0.5) * 2.0**-53
    assert noise == pytest.approx(0.5 * -np.log(-np.log(uniform)), abs=1e-12)


def test_who_is_lucky_on_one_occasion_need_not_be_on_another() -> None:
    ids, scores = [f"t{number}" for number in range(400)], np.arange(400.0)
    one, other = (Gumbel(1.0, 0, occasion).noise(ids, scores) for occasion in (b"a", b"b"))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.15


def test_the_luck_of_a_track_does_not_depend_on_the_others() -> None:
    alone, among = Gumbel(1.0, 7), Gumbel(1.0, 7)
    scores = np.array([0.0, 1.0, 3.0])
    for chance in (alone, among):
        chance.noise([], scores)  # the same scale
    assert alone.noise(["b"], scores[:1])[0] == among.noise(["a", "b", "c"], scores)[1]


def test_the_first_scores_set_the_scale_of_all() -> None:
    scores = np.array([0.0, 2.0])
    at_once, in_parts = Gumbel(1.0, 7), Gumbel(1.0, 7)
    together = at_once.noise(["a", "b", "c", "d"], np.concatenate([scores, scores]))
    parts = [in_parts.noise(["a", "b"], scores), in_parts.noise(["c", "d"], 100 * scores)]
    assert np.concatenate(parts) == pytest.approx(together)


def test_other_seeds_give_other_noise_and_the_largest_is_allowed() -> None:
    scores = np.array([0.0, 2.0])
    assert not np.array_equal(Gumbel(1, 0).noise(IDS, scores), Gumbel(1, 1).noise(IDS, scores))
    assert np.isfinite(Gumbel(1, 2**64 - 1).noise(IDS, scores)).all()


def test_equal_scores_get_no_noise_to_tell_them_apart() -> None:
    assert Gumbel(1.0, 3).noise(IDS, np.array([0.5, 0.5])).tolist() == [0.0, 0.0]


def test_the_best_of_noisy_scores_is_a_draw_from_their_softmax() -> None:
    scores = np.array([0.0, 0.5, 1.0])
    scale = scores.std()
    draws = [int((scores + Gumbel(1.0, seed).noise(["a", "b", "c"], scores)).argmax()) for seed in range(4000)]
    softmax = np.exp(scores / scale) / np.exp(scores / scale).sum()
    assert np.bincount(draws) / 4000 == pytest.approx(softmax, abs=0.03)
