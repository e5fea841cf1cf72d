"""What an aggregator learns from, and that a run that was stopped learns the same."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from services.embedder.model import unit
from training.aggregator_config import AggregatorConfig, ObjectiveConfig, load_aggregator_config
from training.aggregator_network import AggregatorNetwork
from training.aggregator_validation import AggregatorValidation
from training.catalogue import Track
from training.errors import CheckpointMismatch, ConfigInvalid, LossNotFinite, ManifestInvalid
from training.masked_modelling import losses, pretrain
from training.window_crops import WindowCrops, WindowedTrack, draw_mask

DIM = 12
SMALL = [
    "--network.width=16", "--network.hidden=16", "--run.batch=8", "--run.validate_steps=4", "--run.checkpoint_steps=2",
    "--masking.crop_windows=5", "--optimiser.warmup_steps=2",
]  # fmt: skip


def tracks(count: int = 6, seed: int = 0) -> list[WindowedTrack]:
    """Tracks of 2 to 9 windows around a meaning of their own."""
    found = []
    for number in range(count):
        random = np.random.default_rng([seed, number])
        windows = int(random.integers(2, 10))
        vectors = unit((random.standard_normal(DIM) + 0.5 * random.standard_normal((windows, DIM))).astype(np.float32))
        seconds = np.full(windows, 10, np.float32)
        seconds[-1] = 4
        found.append(WindowedTrack(f"{number // 2}/{number}.ogg", f"group {number // 2}", vectors, seconds))
    return found


def config(*more: str) -> AggregatorConfig:
    return load_aggregator_config(overrides=[*SMALL, *more])


def validation(learnt: Sequence[WindowedTrack]) -> AggregatorValidation:
    held_out = tracks(4, seed=9)
    held_out = [replace(track, path=f"held {track.path}", group=f"held {track.group}") for track in held_out]
    families = ("metal", "electronic")
    judged = {
        track.path: Track(track.path, track.group, families[number % 2], "tag", "", "", "", 60.0)
        for number, track in enumerate([*held_out, *learnt])
    }
    return AggregatorValidation(held_out, learnt, judged)


def rows(work: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (work / "metrics.jsonl").read_text().splitlines()]


def test_an_epoch_begins_a_crop_with_every_window_but_the_last() -> None:
    learnt = tracks()
    crops = WindowCrops(learnt, config())
    names = [name for step in range(crops.steps_per_epoch) for name in crops.draw(step).names]
    every = {f"{track.path}@{start}" for track in learnt for start in range(len(track.vectors) - 1)}
    assert len(names) == len(set(names)) == len(every) // 8 * 8
    assert set(names) <= every


def test_a_crop_holds_its_windows_and_padding_has_no_seconds() -> None:
    learnt = {track.path: track for track in tracks()}
    batch = WindowCrops(list(learnt.values()), config()).draw(1)
    for row, name in enumerate(batch.names):
        path, start = name.split("@")
        wanted = learnt[path].vectors[int(start) : int(start) + 5]
        np.testing.assert_array_equal(batch.vectors[row, : len(wanted)].numpy(), wanted)
        assert (batch.seconds[row] > 0).sum() == len(wanted)
        assert 1 <= int(batch.is_masked[row].sum()) < len(wanted)
        assert not batch.is_masked[row, len(wanted) :].any()


def test_a_step_is_the_same_whenever_it_is_drawn() -> None:
    one, other = (WindowCrops(tracks(), config("--run.epochs=2")) for _ in range(2))
    for _ in range(3):
        one.draw(0)
    for draw in ("draw", "draw_others"):
        first, again = getattr(one, draw)(2), getattr(other, draw)(2)
        assert first.names == again.names
        assert torch.equal(first.is_masked, again.is_masked)
        assert torch.equal(first.first, again.first)
    assert [name.split("@")[0] for name in one.draw(2).names] == [
        name.split("@")[0] for name in one.draw_others(2).names
    ]


@pytest.mark.parametrize("count", [2, 3, 20])
@pytest.mark.parametrize("share", [0.0, 0.15, 1.0])
def test_one_window_at_least_is_hidden_and_one_is_seen(count: int, share: float) -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        assert 1 <= draw_mask(count, share, generator).sum() <= count - 1


def test_about_the_share_is_hidden() -> None:
    generator = np.random.default_rng(0)
    assert np.mean([draw_mask(40, 0.15, generator).mean() for _ in range(500)]) == pytest.approx(0.15, abs=0.01)


def test_hidden_windows_are_not_seen() -> None:
    torch.manual_seed(0)
    network = AggregatorNetwork(DIM, config().network).eval()
    batch = WindowCrops(tracks(), config()).draw(0)
    moved = torch.where(batch.is_masked[..., None], torch.randn_like(batch.vectors), batch.vectors)
    for one, other in zip(
        network(batch.vectors, batch.seconds, batch.is_masked),
        network(moved, batch.seconds, batch.is_masked),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_losses_are_the_cosines_that_they_say() -> None:
    torch.manual_seed(0)
    network = AggregatorNetwork(DIM, config().network).eval()
    batch = WindowCrops(tracks(), config()).draw(0)
    with torch.no_grad():
        terms = losses(network, ObjectiveConfig(masked=2.0, summary=0.5), batch, None)
        summary, windows = network(batch.vectors, batch.seconds, batch.is_masked, batch.first)
    of_windows, of_summary = [], []
    for row in range(8):
        hidden = batch.is_masked[row]
        for said, wanted in zip(windows[row][hidden], batch.vectors[row][hidden], strict=True):
            of_windows.append(1 - float(unit(said.numpy()[None])[0] @ unit(wanted.numpy()[None])[0]))
        seconds = batch.seconds[row][hidden].numpy()
        mean = np.average(batch.vectors[row][hidden].numpy(), axis=0, weights=seconds)
        of_summary.append(1 - float(unit(summary[row].numpy()[None])[0] @ unit(mean[None])[0]))
    assert terms.keys() == {"masked", "summary"}
    assert float(terms["masked"]) == pytest.approx(2 * np.mean(of_windows), abs=1e-5)
    assert float(terms["summary"]) == pytest.approx(0.5 * np.mean(of_summary), abs=1e-5)


def test_a_run_that_was_stopped_learns_what_one_that_was_not_learns(tmp_path: Path) -> None:
    learnt, more = tracks(), ("--run.epochs=3", "--objective.contrast=0.1")
    whole, legs = tmp_path / "whole", tmp_path / "legs"
    for work in (whole, legs):
        work.mkdir()
    network = pretrain(config(*more), whole, learnt, validation(learnt))
    assert network is not None
    assert pretrain(config(*more), legs, learnt, validation(learnt), minutes=0) is None
    with pytest.raises(_Killed):  # at step 4, after the checkpoint of step 2
        pretrain(config(*more), legs, learnt, _Killing([], [], {}))
    again = pretrain(config(*more), legs, learnt, validation(learnt))
    assert again is not None
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, again.state_dict()[name], rtol=0, atol=0, msg=name)
    assert rows(legs) == rows(whole)
    figures = rows(whole)[-1]
    assert figures.keys() == {"step", "kind", "masked_cosine", "mean_cosine", "precision", "precision_mean"}
    assert 0 <= figures["precision"] <= 1


class _Killed(Exception):
    pass


class _Killing(AggregatorValidation):
    def __call__(self, network: AggregatorNetwork) -> dict[str, float]:
        raise _Killed


def test_a_checkpoint_of_other_windows_or_settings_is_refused(tmp_path: Path) -> None:
    learnt = tracks()
    assert pretrain(config(), tmp_path, learnt, validation(learnt), minutes=0) is None
    with pytest.raises(CheckpointMismatch, match=r"masking\.share: 0\.15 there, 0\.3 here"):
        pretrain(config("--masking.share=0.3"), tmp_path, learnt, validation(learnt), minutes=0)
    others = [replace(track, vectors=-track.vectors) for track in learnt]
    with pytest.raises(CheckpointMismatch, match=r"  windows: "):
        pretrain(config(), tmp_path, others, validation(learnt), minutes=0)


def test_numbers_that_are_none_stop_the_run_and_name_the_crops(tmp_path: Path) -> None:
    learnt = tracks()
    learnt[0].vectors[:] = np.nan
    with pytest.raises(LossNotFinite, match=r"masked is nan.*the batch was .*@"):
        pretrain(config("--run.batch=20"), tmp_path, learnt, AggregatorValidation([], [], {}))


def test_too_little_music_is_told(tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid, match=r"have \d+ crops of at least 2 windows, run.batch is 100"):
        pretrain(config("--run.batch=100"), tmp_path, tracks(), AggregatorValidation([], [], {}))


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("--network.width=20", "network.width is 20, it must be a multiple of 8"),
        ("--masking.share=1.5", "masking.share is 1.5, the maximum is 1"),
        ("--masking.crop_windows=1", "masking.crop_windows is 1, the minimum is 2"),
        ("--optimiser.name=muon", "optimiser.name is 'muon', an aggregator learns by 'adamw'"),
        ("--run.batch=1", "run.batch is 1, objective.contrast needs at least 2"),
        ("--run.steps=1", "there is no key run.steps: epochs, "),
        ("--loss.tags=1", "there is no section loss: network, masking"),
    ],
)
def test_a_fault_of_the_configuration_is_named(override: str, told: str) -> None:
    with pytest.raises(ConfigInvalid, match=told):
        load_aggregator_config(overrides=["--objective.contrast=1", override])


def test_nothing_to_learn_is_a_fault() -> None:
    with pytest.raises(ConfigInvalid, match="every weight of objective is 0"):
        load_aggregator_config(overrides=["--objective.masked=0", "--objective.summary=0"])
