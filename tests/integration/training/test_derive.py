"""Derived artifacts are served, and make of a real file what a slow reference makes of it."""

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from services.embedder.artifact import open_artifact
from services.embedder.choice import load_encoder
from services.embedder.model import Encoder
from tests.fakes.mini import sounds, write_mini
from tests.integration.training.test_evaluate_serves import serve
from tests.integration.training.test_training import save_tiny_muq
from tests.unit.training.networks import TINY
from training import derive
from training.catalogue import Track
from training.evaluation.collection import Embedding
from training.evaluation.encoders import EncoderChoice
from training.evaluation.postprocessing import pooled
from training.evaluation.store import VectorStore
from training.renders import SAMPLE_RATE_HZ, render

RATE = 44_100
Float32Array = NDArray[np.float32]


def slow_mean(vectors: Float32Array, seconds: list[float]) -> Float32Array:
    return np.asarray(sum(s * v.astype(np.float64) for v, s in zip(vectors, seconds, strict=True)))


def slow_max(vectors: Float32Array, seconds: list[float]) -> Float32Array:
    longest = max(seconds)
    highest = np.max([v for v, s in zip(vectors, seconds, strict=True) if s == longest], axis=0)
    raised = [s / longest * np.maximum(v - highest, 0) for v, s in zip(vectors, seconds, strict=True)]
    return np.asarray(highest + np.max(raised, axis=0))


def slow_middle(vectors: Float32Array, seconds: list[float]) -> Float32Array:
    owners = np.repeat(np.arange(len(seconds)), [round(1_000 * s) for s in seconds])  # a thousand a second
    return np.asarray(vectors[owners[len(owners) // 2]])


SLOW: dict[str, Callable[[Float32Array, list[float]], Float32Array]] = {
    "weighted_mean": slow_mean,
    "max": slow_max,
    "middle": slow_middle,
}


def level(window: Float32Array) -> float:
    return float(np.sqrt(np.mean(window.astype(np.float64) ** 2)))


def reference(encoder: Encoder, path: Path, window_seconds: float, pooling: str) -> Float32Array:
    """Decode, resample and cut at once, encode each window alone, and pool by the book."""
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = soxr.resample(sound.mean(axis=1), rate, encoder.manifest.sample_rate_hz, quality="HQ")
    size = round(window_seconds * encoder.manifest.sample_rate_hz)
    windows = [mono[start : start + size] for start in range(0, len(mono), size)]
    heard = [one for one in windows if len(one) >= 3 * encoder.manifest.sample_rate_hz and level(one) >= 1e-3]
    vectors = np.concatenate([encoder.encode(one[None]).vectors for one in heard])
    pooled = SLOW[pooling](vectors, [len(one) / encoder.manifest.sample_rate_hz for one in heard])
    return np.asarray(pooled / np.linalg.norm(pooled), np.float32)


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Music with 20 silent seconds in it, 104 s in stereo: parts of 4, 14 and 44 s are left over."""
    path = tmp_path_factory.mktemp("song") / "song.ogg"
    one, other = (soxr.resample(render(seed, 61.0), SAMPLE_RATE_HZ, RATE) for seed in (5, 6))
    mono = np.concatenate([one[: 60 * RATE], np.zeros(20 * RATE, np.float32), other[: 24 * RATE]])
    # In parts: libsndfile's Vorbis encoder can crash on long blocks.
    with soundfile.SoundFile(path, "w", RATE, 2, format="OGG", subtype="VORBIS") as file:
        for start in range(0, len(mono), RATE):
            block = mono[start : start + RATE]
            file.write(np.stack([block, 0.8 * block], axis=1))
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    write_mini(folder / "mini")
    save_tiny_muq(folder / "muq", replace(TINY, encoder_depth=2))
    return {"mini": str(folder / "mini"), "muq": str(folder / "muq"), "musicnn": "musicnn-msd"}


@pytest.mark.parametrize(
    ("model", "window_seconds", "pooling"),
    [
        ("mini", 10, "max"),
        ("mini", 30, "weighted_mean"),
        ("mini", 60, "middle"),
        ("musicnn", 30, "max"),
        ("muq", 30, "max"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # muq and what it imports warn of what is not ours to change
async def test_a_derived_artifact_is_served_and_gives_the_vector_of_the_book(
    models: dict[str, str], song: Path, tmp_path: Path, model: str, window_seconds: float, pooling: str
) -> None:
    out = tmp_path / "derived"
    arguments = [models[model], str(out), f"--window-seconds={window_seconds}", f"--pooling={pooling}"]
    assert derive.main([*arguments, f"--artifacts={tmp_path / 'artifacts'}"]) == 0
    encoder, base = (
        load_encoder(str(one), artifacts_folder=tmp_path / "artifacts", muq_folder=None, threads=1)
        for one in (out, models[model])
    )
    assert encoder.manifest.encoder_id != base.manifest.encoder_id
    assert encoder.manifest.window_seconds == encoder.manifest.hop_seconds == window_seconds
    assert encoder.manifest.random_pair_cosine is None
    found = (await serve(encoder, song)).vector
    assert float(found @ reference(base, song, window_seconds, pooling)) >= 1 - 1e-5
    plain = (await serve(base, song)).vector
    assert float(found @ plain) < 1 - 1e-4  # or the test could not fail


def test_the_bench_judges_a_derived_artifact_by_its_own_pooling(tmp_path: Path) -> None:
    base = write_mini(tmp_path / "mini")
    soundfile.write(tmp_path / "one.wav", np.clip(sounds(24, 1)[0], -1, 1), 24_000)
    derived = derive.derive(base, tmp_path / "derived", pooling="max")
    choice = EncoderChoice(str(derived.folder), tmp_path)
    tracks = [Track("one.wav", "one", "metal", "tag", "", "", "", 24.0)]
    embedding = Embedding(tmp_path, VectorStore(tmp_path / "store"))
    for _ in range(2):  # embedded, and then read from the store
        (found,) = embedding.collect(tracks, {"derived": (choice, derived.manifest)}).vectors["derived"]
        wanted = slow_max(found.windows, [10, 10, 4])
        np.testing.assert_allclose(found.vector, wanted / np.linalg.norm(wanted), atol=1e-6)
        np.testing.assert_array_equal(pooled([found])[0], found.vector)


def test_nothing_is_overwritten_and_refusals_are_coded(
    models: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    kept = out / "thesis.txt"
    kept.write_text("years of work")
    free = tmp_path / "free"
    for arguments, told in [
        ([models["mini"], str(out), "--pooling=max"], f"{out} is there, and nothing is overwritten"),
        ([models["mini"], str(free), "--pooling=concatenate"], "POOLING_NOT_SERVED: pooling.method is 'concatenate'"),
        ([models["mini"], str(free), "--pooling=whole_track"], "POOLING_NOT_SERVED: pooling.method is 'whole_track'"),
        ([models["mini"], str(free), "--pooling=median"], "ARTIFACT_INVALID: pooling.method is 'median', it must be"),
        ([models["mini"], str(free), "--pooling=transformer"], "has no tensors aggregator.*"),
        ([models["mini"], str(free), "--window-seconds=0"], "ARTIFACT_INVALID: window_seconds is 0.0, it must be a"),
        ([models["mini"], str(free), "--window-seconds=nan"], "ARTIFACT_INVALID: window_seconds is nan, it must be a"),
        ([models["mini"], str(free), "--window-seconds=10"], "has windows of 10 s and the pooling weighted_mean alr"),
        ([str(tmp_path / "missing"), str(free)], "ENCODER_UNAVAILABLE: no encoder"),
        ([str(out), str(free), "--pooling=max"], "ARTIFACT_MISSING: "),
    ]:
        assert derive.main([*arguments, f"--artifacts={tmp_path / 'artifacts'}"]) == 1
        assert told in capsys.readouterr().err
    assert kept.read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "artifacts") == ["out"]


def test_random_pairs_are_measured_on_the_music_that_trains(
    models: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    music = tmp_path / "music"
    # By the digests of their names, number 19 tests and the others train.
    for number, sound in zip((1, 2, 3, 19), sounds(31, 4), strict=True):
        path = music / f"soundtrack {number}" / "one.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.clip(sound, -1, 1), 24_000)
    out, cache = tmp_path / "out", tmp_path / "cache"
    arguments = [models["mini"], str(out), "--pooling=max", f"--music={music}", f"--cache={cache}"]
    assert derive.main(arguments) == 0
    manifest = open_artifact(out).manifest
    assert manifest.random_pair_cosine is not None
    quantiles = [cosine for _, cosine in manifest.cosine_quantiles]
    assert quantiles == sorted(quantiles)
    assert -1 <= quantiles[0] < quantiles[-1] <= 1
    assert manifest.encoder_id in capsys.readouterr().out
    assert len(list(cache.rglob("*.npz"))) == 3
    assert json.loads((out / "manifest.json").read_text())["revision"].startswith("derived from museed-mini-")


@pytest.fixture(scope="module", autouse=True)
def _quiet_dependencies() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import muq as _  # noqa: F401
