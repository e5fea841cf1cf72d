"""The loop: the same curve after a stop, and no step into nonsense."""

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from tests.unit.training.networks import TINY, fill
from training.catalogue import Split
from training.config import Config, CropsConfig, LossConfig, OptimiserConfig, RunConfig
from training.corpus import Corpus, Kind
from training.crops import Crops
from training.errors import CheckpointMismatch, LossNotFinite, ManifestInvalid
from training.gradient_cache import Terms, backward
from training.metrics import Metrics
from training.network import Network, Outputs
from training.train import CHECKPOINT_FILE, TAKES_FOLDER, compare, learning_rate, train

CONFIG = Config(
    network=TINY,
    crops=CropsConfig(seconds=4),
    run=RunConfig(steps=6, batch=6, micro_batch=3, validate_steps=3, checkpoint_steps=2, settle_windows=12),
    optimiser=OptimiserConfig(warmup_steps=2),
)


def work_folder(path: Path) -> Path:
    fill(path / TAKES_FOLDER)
    return path


def learn(config: Config, work: Path, *, minutes: float = math.inf) -> bool:
    return train(config, work, list(Corpus(work / TAKES_FOLDER).takes()), minutes=minutes)


def curve(work: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (work / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_run_learns_and_leaves_checkpoint_metrics_and_picture(tmp_path: Path) -> None:
    work = work_folder(tmp_path)
    config = replace(CONFIG, run=replace(CONFIG.run, steps=30, validate_steps=30))
    assert learn(config, work)
    losses = [row["loss"] for row in curve(work) if row["kind"] == "train"]
    assert len(losses) == 30
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])  # type: ignore[arg-type]  # JSON numbers
    assert [row["step"] for row in curve(work) if row["kind"] == "validation"] == [30]
    assert (work / "loss.png").stat().st_size > 1_000


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_run_in_legs_has_the_curve_and_weights_of_one_without(tmp_path: Path, name: Literal["adamw", "muon"]) -> None:
    config = replace(CONFIG, optimiser=replace(CONFIG.optimiser, name=name))
    whole, legs = work_folder(tmp_path / "whole"), work_folder(tmp_path / "legs")
    assert learn(config, whole)
    for _ in range(40):
        if learn(config, legs, minutes=0.002):
            break
    assert curve(legs) == curve(whole)
    weights = [torch.load(work / CHECKPOINT_FILE, weights_only=True)["network"] for work in (whole, legs)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_process_goes_on_with_the_same_curve(tmp_path: Path, number: signal.Signals) -> None:
    whole, stopped = work_folder(tmp_path / "whole"), work_folder(tmp_path / "stopped")
    config = replace(CONFIG, run=replace(CONFIG.run, steps=400, validate_steps=400, checkpoint_steps=3))
    short = replace(config, run=replace(config.run, steps=400))
    script = (
        "import sys, warnings; warnings.simplefilter('ignore'); import torch; torch.set_num_threads(1)\n"
        "from pathlib import Path; from tests.unit.training.test_train import CONFIG, learn, replace\n"
        "config = replace(CONFIG, run=replace(CONFIG.run, steps=400, validate_steps=400, checkpoint_steps=3))\n"
        "sys.exit(0 if learn(config, Path(sys.argv[1])) else 75)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(stopped)], env={**os.environ, "PYTHONPATH": "."})
    metrics = stopped / "metrics.jsonl"
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline and not (metrics.is_file() and len(metrics.read_bytes().splitlines()) > 7):
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(300) == (-number if number is signal.SIGKILL else 75)
    done = int(torch.load(stopped / CHECKPOINT_FILE, weights_only=True)["step"])
    assert 0 < done < 400
    written = len(curve(stopped))
    assert written == done if number is signal.SIGINT else written >= done
    # A shorter horizon would be another configuration: so both go to where the stopped one stands, and a little on.
    torch.set_num_threads(1)
    for work in (whole, stopped):
        while _step(work) < done + 4:
            learn(short, work, minutes=0.02)
    length = min(len(curve(whole)), len(curve(stopped)))
    assert length >= done + 4
    assert curve(whole)[:length] == curve(stopped)[:length]


def _step(work: Path) -> int:
    path = work / CHECKPOINT_FILE
    return int(torch.load(path, weights_only=True)["step"]) if path.is_file() else 0


def test_a_checkpoint_of_another_config_is_refused_with_the_keys_that_differ(tmp_path: Path) -> None:
    work = work_folder(tmp_path)
    learn(CONFIG, work)
    before = (work / CHECKPOINT_FILE).read_bytes(), (work / "metrics.jsonl").read_bytes()
    other = replace(CONFIG, run=replace(CONFIG.run, seed=2), loss=LossConfig(tags=0.5))
    with pytest.raises(CheckpointMismatch) as caught:
        learn(other, work)
    assert "loss.tags: 1.0 there, 0.5 here" in str(caught.value)
    assert "run.seed: 1 there, 2 here" in str(caught.value)
    assert "network.encoder_dim" not in str(caught.value)
    assert ((work / CHECKPOINT_FILE).read_bytes(), (work / "metrics.jsonl").read_bytes()) == before


@pytest.mark.parametrize("contents", [b"", b"nonsense", b"junk\n", b"PK\x03\x04 cut"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, contents: bytes) -> None:
    work = work_folder(tmp_path)
    (work / CHECKPOINT_FILE).write_bytes(contents)
    with pytest.raises(CheckpointMismatch, match="is no checkpoint"):
        learn(CONFIG, work)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [("config", 3, "config of another type"), ("step", -5, "step -5, the run has 6"),
     ("step", 10**9, "step 1000000000"), ("optimiser", [], "does not fit"), ("network", {}, "does not fit")],
)  # fmt: skip
def test_a_checkpoint_that_cannot_be_meant_is_refused(tmp_path: Path, key: str, value: object, told: str) -> None:
    work = work_folder(tmp_path)
    learn(CONFIG, work, minutes=0)
    state = torch.load(work / CHECKPOINT_FILE, weights_only=True)
    torch.save({**state, key: value}, work / CHECKPOINT_FILE)
    with pytest.raises(CheckpointMismatch, match=told):
        learn(CONFIG, work)


def test_a_flipped_bit_of_a_checkpoint_is_noticed(tmp_path: Path) -> None:
    work = work_folder(tmp_path)
    learn(CONFIG, work, minutes=0)
    whole = (work / CHECKPOINT_FILE).read_bytes()
    generator = np.random.default_rng(1)
    for at in generator.integers(len(whole) // 4, 3 * len(whole) // 4, 5):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(generator.integers(8))
        (work / CHECKPOINT_FILE).write_bytes(damaged)
        with pytest.raises(CheckpointMismatch, match="is no checkpoint"):
            learn(CONFIG, work)


def test_a_checkpoint_of_other_takes_is_refused(tmp_path: Path) -> None:
    work = work_folder(tmp_path)
    learn(CONFIG, work, minutes=0)
    takes = list(Corpus(work / TAKES_FOLDER).takes())
    for others in (takes[1:], [replace(takes[0], split=Split.VALIDATION), *takes[1:]]):
        with pytest.raises(CheckpointMismatch, match=r"corpus.takes: '\w{16}' there, '\w{16}' here"):
            train(CONFIG, work, others)


def test_takes_that_are_not_given_are_neither_learnt_from_nor_looked_at(tmp_path: Path) -> None:
    alone, among = work_folder(tmp_path / "alone"), work_folder(tmp_path / "among")
    takes = list(Corpus(alone / TAKES_FOLDER).takes())
    fill(among / TAKES_FOLDER, kind=Kind.VARIED)
    for work in (alone, among):
        assert train(CONFIG, work, takes)
    assert curve(alone) == curve(among)


def test_a_gradient_that_is_not_finite_never_reaches_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = work_folder(tmp_path)
    learn(CONFIG, work, minutes=0)
    before = (work / CHECKPOINT_FILE).read_bytes()

    def poisoned(network: Network, *rest: Any) -> Terms:
        terms = backward(network, *rest)
        next(weight for _, weight in network.trained()).grad.fill_(math.nan)  # type: ignore[union-attr]  # it has one
        return terms

    monkeypatch.setattr("training.train.backward", poisoned)
    with pytest.raises(LossNotFinite, match=r"step 0: gradient is nan; the batch was original-\d+@\d"):
        learn(replace(CONFIG, run=replace(CONFIG.run, checkpoint_steps=2)), work)
    assert (work / CHECKPOINT_FILE).read_bytes() == before


def test_triplets_want_two_soundtracks(tmp_path: Path) -> None:
    work = work_folder(tmp_path)
    takes = [replace(take, group="one", split=Split.TRAIN) for take in Corpus(work / TAKES_FOLDER).takes()]
    config = replace(CONFIG, crops=replace(CONFIG.crops, views=2), loss=LossConfig(triplet=1.0))
    with pytest.raises(ManifestInvalid, match=r"loss\.triplet needs takes of two soundtracks"):
        train(config, work, takes)
    assert not (work / CHECKPOINT_FILE).exists()


def test_nan_stops_with_the_crops_of_the_batch_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    work = work_folder(tmp_path)
    short = replace(CONFIG, run=replace(CONFIG.run, steps=1000))
    learn(short, work, minutes=0.001)
    done = _step(work)
    corpus = Corpus(work / TAKES_FOLDER)
    for take in corpus.takes():
        content = corpus.read(take.take_id, start_s=0, seconds=take.seconds)
        content.tags[:] = np.nan
        corpus.add(take, content)
    with pytest.raises(
        LossNotFinite, match=rf"step {done}: tags is nan, gradient is nan; the batch was original-\d+@\d"
    ):
        learn(short, work)
    assert _step(work) == done


def test_the_rate_rises_and_falls() -> None:
    config = OptimiserConfig(learning_rate=1.0, final_learning_rate=0.1, warmup_steps=4)
    rates = [learning_rate(step, 104, config) for step in range(105)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[54] == pytest.approx(0.55)
    assert rates[104] == pytest.approx(0.1)
    assert all(one >= other for one, other in itertools.pairwise(rates[4:]))


def test_lines_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, 0)
    for step in (1, 2, 3):
        metrics.add(step, {"loss": float(step)})
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 4, "lo')
    Metrics(tmp_path, 2)
    assert [row["step"] for row in curve(tmp_path)] == [1, 2]


def test_the_loss_of_patches_is_nought_for_a_student_that_says_what_the_teacher_says(tmp_path: Path) -> None:
    batch = Crops(fill(tmp_path), list(Corpus(tmp_path).takes()), CropsConfig(seconds=5), 4, 1).draw(0)
    assert batch.patches.shape == (4, 3, 400)
    mean = torch.zeros(400)
    config = LossConfig(cosine=0, scale=0, similarity=0, tags=0, patches=2.0)
    nothing = torch.zeros(4, 1)
    agreeing = Outputs(nothing, batch.vectors, batch.patches, nothing, nothing)
    assert compare(batch, config, mean, agreeing)["patches"].item() == pytest.approx(0, abs=1e-5)
    turned = Outputs(nothing, batch.vectors, batch.patches.roll(1, dims=0), nothing, nothing)
    assert compare(batch, config, mean, turned)["patches"].item() > 1
