"""From a folder of music to an artifact that the embedder serves: the whole road in small, with the real teachers."""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file

from services.embedder.choice import load_encoder
from tests.unit.training.networks import TINY
from training.__main__ import main
from training.catalogue import Split
from training.config import NetworkConfig
from training.manifest import list_music
from training.renders import SAMPLE_RATE_HZ, render

SMALL = ["--run.steps=4", "--run.batch=4", "--run.micro_batch=4", "--run.validate_steps=2", "--run.checkpoint_steps=2",
         "--run.settle_windows=12"]  # fmt: skip
FEW_TAKES = ["--corpus.varied=2", "--corpus.mixed=2", "--corpus.rendered=2"]


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make three soundtracks of two pieces, one of which validates, a silent file and a broken one."""
    folder = tmp_path_factory.mktemp("music")
    wanted, last = [Split.TRAIN, Split.TRAIN, Split.VALIDATION], folder
    for number in range(1000):
        if not wanted:
            break
        piece = folder / f"soundtrack {number}" / "one.wav"
        piece.parent.mkdir()
        soundfile.write(piece, np.zeros(31 * 8000), 8000)  # which split it is for is known by its folder's name
        entry = next(entry for entry in list_music(folder).entries if entry.path.startswith(piece.parent.name + "/"))
        if entry.split in wanted:
            wanted.remove(entry.split)
            soundfile.write(piece, render(number, 31.0), SAMPLE_RATE_HZ)
            soundfile.write(piece.with_name("two.flac"), render(number + 1000, 30.0), SAMPLE_RATE_HZ)
            last = piece.parent if entry.split is Split.TRAIN else last
        else:
            piece.unlink()
            piece.parent.rmdir()
    soundfile.write(last / "silent.wav", np.zeros(40 * 8000), 8000)
    (last / "broken.mp3").write_bytes(b"ID3 and nothing more")
    return folder


def run(music: Path, work: Path, *more: str) -> int:
    return main(["--music", str(music), "--work", str(work), "--threads", "1", *more])


def test_a_folder_becomes_an_artifact_that_the_embedder_serves(
    music: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--config", "mini-smoke", *SMALL, *FEW_TAKES)
    assert run(music, tmp_path, *arguments, "--minutes", "0") == 75
    assert run(music, tmp_path, *arguments) == 0
    told = capfd.readouterr()
    assert "making takes" in told.err
    assert "min left" in told.err
    left_out = [json.loads(line) for line in (tmp_path / "takes" / "left-out.jsonl").read_text().splitlines()]
    assert ["silent" in one["reason"] for one in left_out] == [True]
    unread = [json.loads(line) for line in (tmp_path / "manifest.left-out.jsonl").read_text().splitlines()]
    assert [one["path"].rpartition("/")[2] for one in unread] == ["broken.mp3"]

    folder = tmp_path / "museed-mini"
    encoder = load_encoder(str(folder), artifacts_folder=tmp_path, muq_folder=None, threads=1)
    encoded = encoder.encode(np.random.default_rng(1).uniform(-0.3, 0.3, (2, 240_000)).astype(np.float32))
    assert encoded.vectors.shape == (2, 400)
    np.testing.assert_allclose(np.linalg.norm(encoded.vectors, axis=1), 1, atol=1e-5)
    assert encoded.tags.shape == (2, len(encoder.manifest.tags))
    assert "metal" in encoder.manifest.tags
    learnt = [json.loads(line) for line in (folder / "training_list.jsonl").read_text().splitlines()]
    assert {take["split"] for take in learnt} == {"train"}
    assert {take["kind"] for take in learnt} == {"original", "varied", "mixed", "rendered"}
    assert encoder.manifest.encoder_id in told.out

    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert run(music, tmp_path, *arguments) == 0  # everything is there: nothing is learnt again
    again = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert again == steps
    same = load_encoder(str(folder), artifacts_folder=tmp_path, muq_folder=None, threads=1)
    assert same.manifest.encoder_id == encoder.manifest.encoder_id


@pytest.mark.parametrize("config", ["muq-contrastive", "muq-triplet"])
def test_a_published_muq_is_fine_tuned_in_its_last_layers_only(music: Path, tmp_path: Path, config: str) -> None:
    base = tmp_path / "base"
    save_tiny_muq(base, replace(TINY, encoder_depth=2))
    arguments = ["--config", config, *SMALL, "--run.micro_batch=2", f"--network.base={base}", "--crops.seconds=4"]
    fast = ["--network.trained_layers=1", "--optimiser.learning_rate=0.01", "--optimiser.warmup_steps=1"]
    assert run(music, tmp_path / "work", *arguments, *fast, "--name", "muq-tuned") == 0

    before, folder = load_file(base / "model.safetensors"), tmp_path / "work" / "muq-tuned"
    after = load_file(folder / "weights.safetensors")
    moved = {
        name
        for name, tensor in before.items()
        if not np.allclose(tensor.astype(np.float32), after[name].astype(np.float32), atol=2e-3)
    }
    assert moved
    assert all(name.startswith("model.conformer.layers.1.") for name in moved)
    assert not [name for name in moved if "running_" in name or "num_batches_tracked" in name]
    encoder = load_encoder(str(folder), artifacts_folder=tmp_path, muq_folder=None, threads=1)
    assert encoder.manifest.architecture == "muq/1"
    assert encoder.encode(np.zeros((1, 48_000), np.float32) + 0.1).vectors.shape == (1, 16)


def test_refusals_tell_what_to_do(music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "missing", tmp_path, "--config", "mini-smoke") == 1
    assert "is not a folder: name one with music" in capsys.readouterr().err
    assert run(music, tmp_path, "--config", "mini-smoke", "--run.stepz=3") == 1
    assert "there is no key run.stepz" in capsys.readouterr().err
    (tmp_path / "manifest.jsonl").write_text(
        '{"path":"a/1","group":"a","split":"train","seconds":60}\n{"path":"a/2","group":"a","split":"test","seconds":60}\n'
    )
    assert run(music, tmp_path, "--config", "mini-smoke") == 1
    assert "a is in test and train" in capsys.readouterr().err


def test_a_folder_that_holds_something_else_is_never_replaced(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work", encoding="utf-8")
    assert run(music, tmp_path, "--config", "mini-smoke", "--out", str(precious)) == 1
    assert "is there and is no model folder" in capsys.readouterr().err
    for name in ("..", ".", "", "takes/x", "Mini"):
        assert run(music, tmp_path, "--config", "mini-smoke", "--name", name) == 1
        assert "--name is" in capsys.readouterr().err
    assert (precious / "thesis.txt").is_file()
    assert not (tmp_path / "takes").exists()
    (tmp_path / "file").touch()
    assert run(music, tmp_path / "file", "--config", "mini-smoke") == 1
    assert "File exists" in capsys.readouterr().err


def save_tiny_muq(folder: Path, config: NetworkConfig) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from muq import MuQ, MuQConfig

        from training.network import muq_options

    torch.manual_seed(0)
    MuQ(MuQConfig(**muq_options(config), codebook_size=16)).save_pretrained(folder)
