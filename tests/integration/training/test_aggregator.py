"""From a folder of music to an artifact whose windows a transformer aggregates: taught in legs, and served."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from services.embedder.artifact import open_artifact
from services.embedder.choice import load_encoder
from services.embedder.model import unit
from services.embedder.transformer_aggregator import TransformerAggregator
from tests.fakes.mini import sounds, write_mini
from tests.integration.training.test_evaluate_serves import serve
from training import aggregator, derive
from training.aggregator_config import load_aggregator_config
from training.aggregator_network import AggregatorNetwork
from training.window_crops import WindowedTrack

SMALL = [
    "--network.width=16", "--network.hidden=16", "--run.batch=2", "--run.validate_steps=2", "--run.checkpoint_steps=1",
    "--threads=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three soundtracks that train, by the digests of their names, one that tests, and a silent file."""
    folder = tmp_path_factory.mktemp("music")
    for number, sound in zip((1, 2, 3, 19), sounds(34, 4), strict=True):
        path = folder / f"soundtrack {number}" / "one.wav"
        path.parent.mkdir()
        soundfile.write(path, np.clip(sound, -1, 1), 24_000)
    soundfile.write(folder / "soundtrack 1" / "silent.wav", np.zeros(31 * 8_000), 8_000)
    return folder


async def test_a_transformer_is_taught_in_legs_and_served(
    music: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_mini(tmp_path / "base")
    out, work, cache = tmp_path / "out", tmp_path / "work", tmp_path / "cache"
    arguments = [f"--music={music}", f"--out={out}", f"--work={work}", f"--cache={cache}", *SMALL]
    chosen = [*arguments, f"--encoder={tmp_path / 'base'}"]
    assert aggregator.main([*chosen, "--minutes=0"]) == 75
    assert not out.exists()
    assert aggregator.main(chosen) == 0
    told = capfd.readouterr()
    assert "Left out: " in told.out
    assert "silent.wav: AudioSilent" in told.out
    steps = [json.loads(line)["step"] for line in (work / "metrics.jsonl").read_text().splitlines()]
    # Four windows of three pieces: nine begin a crop of two or more, four batches of two.
    assert steps == [1, 2, 2, 3, 4, 4]

    encoder = load_encoder(str(out), artifacts_folder=tmp_path, muq_folder=None, threads=1)
    assert encoder.manifest.pooling.method == "transformer"
    assert encoder.manifest.encoder_id in told.out
    assert encoder.manifest.revision == "aggregator of 1 epoch"
    assert encoder.manifest.random_pair_cosine is not None
    assert isinstance(encoder.aggregator, TransformerAggregator)
    found = await serve(encoder, music / "soundtrack 2" / "one.wav")
    seconds = np.array([10, 10, 10, 4], np.float32)
    np.testing.assert_allclose(found.vector, encoder.aggregator.aggregate(found.windows, seconds), atol=1e-6)
    base = load_encoder(str(tmp_path / "base"), artifacts_folder=tmp_path, muq_folder=None, threads=1)
    np.testing.assert_allclose(
        found.windows, (await serve(base, music / "soundtrack 2" / "one.wav")).windows, atol=1e-6
    )

    assert aggregator.main(chosen) == 1
    assert "nothing is overwritten" in capfd.readouterr().err
    # Another pooling of it is one; other windows are not what the transformer has learnt.
    assert derive.main([str(out), str(tmp_path / "mean"), "--pooling=weighted_mean"]) == 0
    assert derive.main([str(out), str(tmp_path / "long"), "--window-seconds=30"]) == 1
    assert "the transformer has learnt windows of 10 s" in capfd.readouterr().err


def test_the_export_is_returned_as_it_is_in_its_folder(tmp_path: Path) -> None:
    base, config = write_mini(tmp_path / "base"), load_aggregator_config(overrides=SMALL[:2])
    random = np.random.default_rng(0)
    learnt = [
        WindowedTrack(
            f"{number}.wav",
            f"soundtrack {number}",
            unit(random.standard_normal((4, 20)).astype(np.float32)),
            np.full(4, 10, np.float32),
        )
        for number in range(3)
    ]
    network = AggregatorNetwork(20, config.network).eval()
    made = aggregator.export_aggregator(network, config, base, learnt, tmp_path / "out")
    assert made.manifest.random_pair_cosine is not None
    assert made == open_artifact(tmp_path / "out")


def test_faults_are_told_before_anything_is_embedded(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"--out={tmp_path / 'out'}", f"--work={tmp_path / 'work'}", f"--cache={tmp_path / 'cache'}"]
    for more, told in [
        ([f"--music={music}", "--run.epoch=2"], "there is no key run.epoch"),
        ([f"--music={music}", "--encoder=no-such-thing"], "ENCODER_UNAVAILABLE: no encoder 'no-such-thing'"),
        ([f"--music={tmp_path / 'none'}"], "is not a folder: name one with music"),
    ]:
        assert aggregator.main([*arguments, *more]) == 1
        assert told in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "out").exists()
