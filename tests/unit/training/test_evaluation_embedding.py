"""Files in, vectors out, and back from the store; with an encoder that is easy to foresee."""

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from services.embedder.aggregation import WEIGHTED_MEAN
from services.embedder.artifact import Manifest
from services.embedder.errors import AudioSilent, NotAudio
from services.embedder.model import Encoded, unit
from training.evaluation.embedding import TrackVectors, embed_file
from training.evaluation.store import VectorStore, file_key

RATE = 8_000
Float32Array = NDArray[np.float32]


class LevelEncoder:
    """Says of a window how loud its halves are, and notes how windows come."""

    device = "cpu"
    min_samples = 800
    aggregator = WEIGHTED_MEAN

    def __init__(self) -> None:
        self.manifest = Manifest("level", "level/1", 2, RATE, 1.0, 1.0, "", tags=("loud",))
        self.shapes: list[tuple[int, ...]] = []

    def encode(self, windows: Float32Array) -> Encoded:
        self.shapes.append(windows.shape)
        half = windows.shape[1] // 2
        levels = np.stack([np.abs(windows[:, :half]).mean(axis=1), np.abs(windows[:, half:]).mean(axis=1)], axis=1)
        return Encoded(unit(levels.astype(np.float32)), levels[:, :1].astype(np.float32))


def write(path: Path, sound: Float32Array) -> Path:
    soundfile.write(path, sound, RATE, subtype="FLOAT")
    return path


def steady(seconds: float, level: float = 0.5) -> Float32Array:
    return np.full(round(seconds * RATE), level, np.float32)


def test_windows_are_cut_as_the_service_cuts_them(tmp_path: Path) -> None:
    encoder = LevelEncoder()
    # 17 full windows, of which the third is silent, and a rest of half a second that is too short to vote.
    sound = steady(17.5)
    sound[2 * RATE : 3 * RATE] = 0
    found = embed_file(encoder, write(tmp_path / "a.wav", sound))
    assert encoder.shapes == [(8, RATE), (8, RATE)]
    assert found.windows.shape == (16, 2)
    assert found.tags.shape == (16, 1)
    assert found.seconds.tolist() == [1.0] * 16
    assert found.duration_seconds == 17.5


def test_a_track_is_the_mean_of_its_windows_by_seconds(tmp_path: Path) -> None:
    encoder = LevelEncoder()
    rising = np.concatenate([steady(0.5, 0.25), steady(0.5, 0.75)])
    found = embed_file(encoder, write(tmp_path / "a.wav", np.concatenate([steady(3), rising])))
    wanted = unit(3 * unit(np.ones((1, 2), np.float32)) + unit(np.array([[1, 3]], np.float32)))[0]
    np.testing.assert_allclose(found.vector, wanted, atol=1e-4)


def test_a_rest_that_votes_is_encoded_alone_and_weighs_less(tmp_path: Path) -> None:
    encoder = LevelEncoder()
    encoder.manifest = Manifest("level", "level/1", 2, RATE, 4.0, 4.0, "", tags=("loud",))
    found = embed_file(encoder, write(tmp_path / "a.wav", steady(11.5)))
    assert encoder.shapes == [(2, 4 * RATE), (1, 28_000)]
    assert found.seconds.tolist() == [4.0, 4.0, 3.5]


def test_silence_and_noise_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioSilent):
        embed_file(LevelEncoder(), write(tmp_path / "silent.wav", steady(5, 0.0)))
    (tmp_path / "text.ogg").write_text("no music at all" * 100)
    with pytest.raises(NotAudio):
        embed_file(LevelEncoder(), tmp_path / "text.ogg")


def vectors() -> TrackVectors:
    return TrackVectors(
        windows=np.array([[0.6, 0.8], [1, 0]], np.float32),
        seconds=np.array([10, 4], np.float32),
        tags=np.array([[0.25], [0.5]], np.float32),
        duration_seconds=14.5,
    )


def test_store_gives_back_what_it_got(tmp_path: Path) -> None:
    store = VectorStore(tmp_path)
    assert not store.has("level-1", "key")
    assert store.read("level-1", "key") is None
    store.write("level-1", "key", vectors())
    assert store.has("level-1", "key")
    assert not store.has("level-2", "key")
    found = store.read("level-1", "key")
    assert found is not None
    np.testing.assert_array_equal(found.windows, vectors().windows)
    np.testing.assert_array_equal(found.seconds, vectors().seconds)
    np.testing.assert_array_equal(found.tags, vectors().tags)
    assert found.windows.dtype == found.tags.dtype == np.float32
    assert found.duration_seconds == 14.5
    assert [path.name for path in (tmp_path / "level-1").iterdir()] == ["key.npz"]


@pytest.mark.parametrize("contents", [b"", b"PK\x03\x04 torn"])
def test_a_torn_file_is_as_good_as_none(tmp_path: Path, contents: bytes) -> None:
    store = VectorStore(tmp_path)
    store.write("level-1", "key", vectors())
    (tmp_path / "level-1" / "key.npz").write_bytes(contents)
    assert store.read("level-1", "key") is None
    assert not store.has("level-1", "key")


@pytest.mark.parametrize("seed", range(4))
def test_no_damage_is_more_than_a_file_that_is_not_there(tmp_path: Path, seed: int) -> None:
    store = VectorStore(tmp_path)
    store.write("level-1", "key", vectors())
    path = tmp_path / "level-1" / "key.npz"
    whole = path.read_bytes()
    random = np.random.default_rng(seed)
    for _ in range(100):
        damaged = bytearray(whole)
        for at in random.integers(0, len(whole), random.integers(1, 4)):
            damaged[at] = random.integers(0, 256)
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy takes some for files of Python 2
            found = store.read("level-1", "key")
        if found is not None:  # what was hit says nothing of the vectors, as a date does
            np.testing.assert_array_equal(found.windows, vectors().windows)
            np.testing.assert_array_equal(found.tags, vectors().tags)


@pytest.mark.parametrize(
    "change",
    [
        {"windows": np.zeros((0, 2), np.float32), "seconds": np.zeros(0, np.float32), "tags": np.zeros((0, 1), "f4")},
        {"windows": np.ones((3, 2), np.float32)},
        {"windows": np.ones(2, np.float32)},
        {"windows": np.full((2, 2), np.nan, np.float32)},
        {"windows": np.ones((2, 2), np.float64)},
        {"seconds": np.zeros(2, np.float32)},
        {"tags": np.ones((1, 1), np.float32)},
        {"duration_seconds": float("inf")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_arrays_that_do_not_fit_are_as_good_as_none(tmp_path: Path, change: dict[str, Any]) -> None:
    store = VectorStore(tmp_path)
    store.write("level-1", "key", dataclasses.replace(vectors(), **change))
    assert store.read("level-1", "key") is None


def test_key_is_of_the_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"sound")
    (tmp_path / "b").write_bytes(b"sound")
    assert file_key(tmp_path / "a") == file_key(tmp_path / "b")
    assert file_key(tmp_path / "a") == "dd29442deca69f52c50006b831cb216edf78a7da33748f0a80ff19f2ebe57ecd"
