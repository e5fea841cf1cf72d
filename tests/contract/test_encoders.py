"""What every encoder keeps on every runtime and in every precision; the interface is `model.ServedEncoder`."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soxr
import torch
from numpy.typing import NDArray

from services.embedder.artifact import Artifact, open_artifact
from services.embedder.choice import MINI_FOLDER
from services.embedder.model import ServedEncoder
from services.embedder.musicnn_wheel import import_wheel
from services.embedder.precision import LOWEST_COSINE
from services.embedder.runtimes import Serving, run_artifact
from tests.fakes.mini import write_mini
from tests.integration.embedder import audio_files

Float32Array = NDArray[np.float32]

# ServedEncoder, runtime, precision: all that can be served on a CPU.
SERVED = (
    ("museed-mini", "onnxruntime", "fp32"),
    ("museed-mini", "onnxruntime", "int8-dynamic"),
    ("museed-mini", "onnxruntime", "int8-static"),
    ("museed-mini", "torch", "fp32"),
    ("museed-mini", "torch", "bf16"),
    ("muq", "onnxruntime", "fp32"),
    ("muq", "torch", "fp32"),
    ("musicnn-msd", "onnxruntime", "fp32"),
)
ON_BOTH = ("museed-mini", "muq")

Load = Callable[[str, str, str], ServedEncoder]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    # torch's threads wait for each other by spinning, which on a busy machine takes many times as long.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Return what loads an encoder once: the museed-mini and the musicnn that are served, and a tiny MuQ."""
    folder = tmp_path_factory.mktemp("artifacts")
    artifacts: dict[str, Artifact] = {
        "museed-mini": open_artifact(MINI_FOLDER),
        "muq": write_mini(folder / "muq", has_heads=False),
        "musicnn-msd": import_wheel(folder / "musicnn-msd"),
    }
    loaded: dict[tuple[str, str, str], ServedEncoder] = {}

    def load(name: str, runtime: str, precision: str) -> ServedEncoder:
        key = name, runtime, precision
        if key not in loaded:
            threads = 2 if runtime == "onnxruntime" else 0
            loaded[key] = run_artifact(artifacts[name], Serving(runtime, precision, threads))
        return loaded[key]

    return load


@pytest.fixture(scope="module", params=SERVED, ids="-".join)
def encoder(request: pytest.FixtureRequest, load: Load) -> ServedEncoder:
    return load(*request.param)


def music(encoder: ServedEncoder, seconds: float, count: int) -> Float32Array:
    """Return different music at the encoder's rate, shape (count, samples)."""
    rate = encoder.manifest.sample_rate_hz
    rows = [audio_files.music(seconds + 0.1, seed).mean(axis=1) for seed in range(count)]
    return np.stack([soxr.resample(row, audio_files.RATE, rate)[: round(seconds * rate)] for row in rows])


def cosines(a: Float32Array, b: Float32Array) -> NDArray[np.float64]:
    return np.asarray(np.sum(a.astype(np.float64) * b, axis=1))


def test_vectors_are_unit_and_tags_are_scores(encoder: ServedEncoder) -> None:
    encoded, manifest = encoder.encode(music(encoder, 5, 3)), encoder.manifest
    assert (encoded.vectors.shape, encoded.tags.shape) == ((3, manifest.dim), (3, len(manifest.tags)))
    assert encoded.vectors.dtype == encoded.tags.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(encoded.vectors, axis=1), 1, atol=1e-6)
    assert ((encoded.tags >= 0) & (encoded.tags <= 1)).all()


def test_different_music_has_different_vectors(encoder: ServedEncoder) -> None:
    vectors = encoder.encode(music(encoder, 5, 4)).vectors
    assert np.triu(vectors @ vectors.T, 1).max() < 0.99


@pytest.mark.parametrize(("seconds", "count"), [(10.0, 4), (4.3, 5), (30.0, 2)])
def test_a_window_has_the_same_vector_alone_and_in_any_batch(
    encoder: ServedEncoder, seconds: float, count: int
) -> None:
    windows = music(encoder, seconds, count)
    alone = [encoder.encode(window[None]) for window in windows]
    vectors, tags = (np.concatenate([getattr(one, part) for one in alone]) for part in ("vectors", "tags"))
    random = np.random.default_rng(0)
    for size in {count, count // 2 + 1}:
        order = random.permutation(count)[:size]
        together = encoder.encode(windows[order])
        assert cosines(together.vectors, vectors[order]).min() >= 1 - 1e-4
        np.testing.assert_allclose(together.tags, tags[order], atol=1e-4 if encoder.precision == "fp32" else 5e-3)


def test_shortest_window_is_encoded(encoder: ServedEncoder) -> None:
    shortest = music(encoder, 1, 2)[:, : encoder.min_samples]
    encoded = encoder.encode(shortest)
    np.testing.assert_allclose(np.linalg.norm(encoded.vectors, axis=1), 1, atol=1e-6)


def test_extremes_have_finite_vectors(encoder: ServedEncoder) -> None:
    samples = 5 * encoder.manifest.sample_rate_hz
    square = np.where(np.arange(samples) % 50 < 25, 1, -1)
    impulse = np.eye(1, samples, samples // 2)[0]
    windows = np.stack([np.zeros(samples), square, np.ones(samples), impulse, 1e-30 * square]).astype(np.float32)
    encoded = encoder.encode(windows)
    assert np.isfinite(encoded.vectors).all()
    assert np.isfinite(encoded.tags).all()


def test_calls_may_come_from_another_thread_than_the_one_that_loaded_it(encoder: ServedEncoder) -> None:
    windows = music(encoder, 3, 2)
    with ThreadPoolExecutor(1) as executor:
        elsewhere = executor.submit(encoder.encode, windows).result()
    np.testing.assert_allclose(elsewhere.vectors, encoder.encode(windows).vectors, atol=1e-5)


def test_windows_are_read_wherever_they_lie_and_left_as_they_were(encoder: ServedEncoder) -> None:
    windows = music(encoder, 3, 4)
    kept = windows.copy()
    windows.flags.writeable = False
    every_other = encoder.encode(windows[::2]).vectors
    np.testing.assert_array_equal(windows, kept)
    np.testing.assert_allclose(every_other, encoder.encode(kept[[0, 2]]).vectors, atol=1e-5)


def test_results_are_the_callers_own(encoder: ServedEncoder) -> None:
    windows = music(encoder, 3, 2)
    first = encoder.encode(windows)
    kept = first.vectors.copy(), first.tags.copy()
    encoder.encode(windows[::-1])
    np.testing.assert_array_equal(first.vectors, kept[0])
    np.testing.assert_array_equal(first.tags, kept[1])


@pytest.mark.parametrize("served", SERVED, ids="-".join)
def test_what_computes_is_told(load: Load, served: tuple[str, str, str]) -> None:
    name, runtime, precision = served
    encoder, exact = load(*served), load(name, "onnxruntime", "fp32")
    assert (encoder.runtime, encoder.precision) == (runtime, precision.partition("-")[0])
    assert encoder.device == ("cuda" if runtime == "torch" and torch.cuda.is_available() else "cpu")
    assert encoder.parameters == exact.parameters > 0
    assert exact.memory_bytes >= 4 * 0.99 * exact.parameters
    # Filters, normalisations and heads are fp32 in all of them, convolutions in int8 as well.
    share = {"fp32": 1, "bf16": 0.51, "int8": 0.27}[encoder.precision]
    # torch keeps the zeros of the mel filters, 1025 × 128 numbers, where ONNX keeps the 17,216 of eight products.
    zeros = 4 * (1025 * 128 - 17_216) if runtime == "torch" else 0
    assert encoder.memory_bytes == pytest.approx(share * exact.memory_bytes + zeros, rel=0.02)


@pytest.mark.parametrize("name", ON_BOTH)
@pytest.mark.parametrize("seconds", [10.0, 4.3])
def test_both_runtimes_make_the_same_vectors(load: Load, name: str, seconds: float) -> None:
    one, other = load(name, "onnxruntime", "fp32"), load(name, "torch", "fp32")
    assert one.manifest == other.manifest
    assert one.manifest.encoder_id == other.manifest.encoder_id
    windows = music(one, seconds, 3)
    found, wanted = one.encode(windows), other.encode(windows)
    assert cosines(found.vectors, wanted.vectors).min() >= 0.9999
    np.testing.assert_allclose(found.tags, wanted.tags, atol=1e-4)


@pytest.mark.parametrize(("runtime", "precision"), [served[1:] for served in SERVED if served[2] != "fp32"])
def test_a_lower_precision_hardly_moves_a_vector(load: Load, runtime: str, precision: str) -> None:
    exact, lower = load("museed-mini", runtime, "fp32"), load("museed-mini", runtime, precision)
    assert exact.manifest.encoder_id == lower.manifest.encoder_id
    for seconds in (10.0, 3.1):
        windows = music(exact, seconds, 4)
        assert cosines(exact.encode(windows).vectors, lower.encode(windows).vectors).min() >= LOWEST_COSINE
