"""What a step sees depends on the seed and the step, and no take stands twice in it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.training.networks import fill
from training.config import CropsConfig
from training.corpus import Kind
from training.crops import Crops, change, teacher_mean
from training.errors import ManifestInvalid

PLAIN = CropsConfig(seconds=5, gain_db=0, equaliser=0, low_pass=0, noise=0, masks=0)


def test_a_step_is_drawn_alike_in_any_order(tmp_path: Path) -> None:
    corpus = fill(tmp_path)
    takes = list(corpus.takes())
    one, other = (Crops(corpus, takes, CropsConfig(seconds=5), 6, seed=1) for _ in range(2))
    first = [one.draw(step) for step in (0, 1, 2)]
    again = [other.draw(step) for step in (2, 0, 1)]
    for at, where in enumerate((1, 2, 0)):
        assert first[at].names == again[where].names
        assert torch.equal(first[at].mel_db, again[where].mel_db)
    assert len({batch.names for batch in first}) == 3
    assert Crops(corpus, takes, CropsConfig(seconds=5), 6, seed=2).draw(0).names != first[0].names


def test_unchanged_crops_are_what_the_store_holds_with_the_mean_of_the_patches_under_them(tmp_path: Path) -> None:
    corpus = fill(tmp_path)
    batch = Crops(corpus, list(corpus.takes()), PLAIN, 6, seed=1).draw(0)
    assert batch.mel_db.shape == (6, 500, 128)
    for row, name in enumerate(batch.names):
        take_id, _, start = name.partition("@")
        content = corpus.read(take_id, start_s=int(start), seconds=5)
        assert content.vectors.shape == (3, 400)  # patches of 3 s in 5 s
        np.testing.assert_array_equal(batch.mel_db[row].numpy(), content.mel.astype(np.float32))
        np.testing.assert_allclose(batch.vectors[row], content.vectors.astype(np.float32).mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(batch.tags[row], content.tags.astype(np.float32).mean(axis=0), rtol=1e-6)


def test_no_take_stands_twice_and_two_views_are_of_the_same_takes(tmp_path: Path) -> None:
    corpus = fill(tmp_path)
    crops = Crops(corpus, list(corpus.takes()), CropsConfig(seconds=5, views=2), 8, seed=1)
    for step in range(5):
        batch = crops.draw(step)
        takes = [name.partition("@")[0] for name in batch.names]
        assert len(set(takes[:8])) == 8
        assert takes[:8] == takes[8:]
        assert len(batch.groups) == 8


def test_kinds_are_drawn_by_their_shares(tmp_path: Path) -> None:
    fill(tmp_path, takes=40)
    corpus = fill(tmp_path, takes=10, kind=Kind.RENDERED)
    config = CropsConfig(seconds=5, original=0.5, varied=0.3, rendered=0.5)
    crops = Crops(corpus, list(corpus.takes()), config, 2, seed=1)
    names = [name for step in range(300) for name in crops.draw(step).names]
    share = sum(name.startswith("rendered") for name in names) / len(names)
    assert share == pytest.approx(0.5, abs=0.06)


def test_too_small_a_corpus_is_refused_with_both_numbers(tmp_path: Path) -> None:
    corpus = fill(tmp_path, takes=4)
    with pytest.raises(ManifestInvalid, match=r"has 4 takes of at least 5 s.*run.batch is 6"):
        Crops(corpus, list(corpus.takes()), CropsConfig(seconds=5), 6, seed=1)
    with pytest.raises(ManifestInvalid, match="has 0 takes"):
        Crops(corpus, list(corpus.takes()), CropsConfig(seconds=13), 2, seed=1)


def test_a_gain_moves_every_band_and_nothing_else() -> None:
    mel = np.random.default_rng(1).normal(-10, 5, (300, 128)).astype(np.float32)
    config = CropsConfig(gain_db=6, equaliser=0, low_pass=0, noise=0, masks=0)
    difference = change(mel, config, np.random.default_rng(2)) - mel
    assert np.ptp(difference) < 1e-4
    assert 0 < abs(difference[0, 0]) <= 6


def test_noise_adds_powers() -> None:
    mel = np.full((300, 128), -20, np.float32)
    config = CropsConfig(gain_db=0, equaliser=0, low_pass=0, noise=1, masks=0)
    generator = np.random.default_rng(3)
    changed = change(mel, config, generator)
    replayed = np.random.default_rng(3)
    replayed.uniform(-0.0, 0.0), replayed.random(), replayed.random(), replayed.random()
    floor = -20 - replayed.uniform(5, 40)
    np.testing.assert_allclose(changed, 10 * np.log10(10**-2 + 10 ** (floor / 10)), rtol=1e-5)


def test_changes_leave_the_store_and_the_shape_alone(tmp_path: Path) -> None:
    corpus = fill(tmp_path)
    before = corpus.read("original-000", start_s=0, seconds=12).mel.copy()
    config = CropsConfig(seconds=5, equaliser=1, low_pass=1, noise=1, masks=1)
    batch = Crops(corpus, list(corpus.takes()), config, 6, seed=1).draw(0)
    assert torch.isfinite(batch.mel_db).all()
    np.testing.assert_array_equal(corpus.read("original-000", start_s=0, seconds=12).mel, before)


def test_the_teachers_mean_is_that_of_unit_windows_of_real_music(tmp_path: Path) -> None:
    corpus = fill(tmp_path, takes=3)
    fill(tmp_path, takes=2, kind=Kind.RENDERED)
    vectors = [corpus.read(f"original-{n:03}", start_s=0, seconds=12).vectors[0].astype(np.float64) for n in range(3)]
    expected = np.mean([vector / np.linalg.norm(vector) for vector in vectors], axis=0)
    np.testing.assert_allclose(teacher_mean(corpus, list(corpus.takes())), expected, rtol=1e-3)
