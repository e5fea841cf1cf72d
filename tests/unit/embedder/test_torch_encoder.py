"""Fixed shapes as a GPU runs them, on the CPU, where nothing is recorded."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.embedder.artifact import Artifact
from services.embedder.torch_encoder import BATCH_SIZES, FixedShapes, TorchEncoder
from tests.fakes.mini import TINY, sounds, write_mini

FULL = 12


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return write_mini(tmp_path_factory.mktemp("artifacts") / "tiny", TINY)


class Counted:
    """Returns sums and means of rows, and notes the shapes it is given."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, sound: Tensor) -> tuple[Tensor, Tensor]:
        self.shapes.append(tuple(sound.shape))
        return sound.sum(dim=1, keepdim=True), sound.mean(dim=1, keepdim=True)


def rows(count: int, samples: int = FULL) -> NDArray[np.float32]:
    return np.random.default_rng(count).standard_normal((count, samples)).astype(np.float32)


def test_full_windows_are_filled_up_to_few_sizes_and_others_are_not() -> None:
    function = Counted()
    shapes = FixedShapes(function, "cpu", FULL, is_padded=True)
    for windows in (rows(1), rows(3), rows(4), rows(2, 7), rows(32)):
        sums, means = shapes.run(windows)
        np.testing.assert_allclose(sums[:, 0], windows.sum(axis=1), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(means[:, 0], windows.mean(axis=1), rtol=1e-5, atol=1e-6)
    assert function.shapes == [(1, FULL), (4, FULL), (4, FULL), (2, 7), (32, FULL)]


def test_without_a_gpu_nothing_is_filled_up() -> None:
    function = Counted()
    FixedShapes(function, "cpu", FULL).run(rows(3))
    assert function.shapes == [(3, FULL)]


def test_filled_up_batches_have_the_vectors_of_the_others(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = TorchEncoder(artifact, "cpu")
    windows = sounds(10, 3)
    wanted = encoder.encode(windows)
    monkeypatch.setattr(encoder._shapes, "_is_padded", True)
    encoder.encode(sounds(10, 4, seed=7))  # what is left of it fills up the next batch
    found = encoder.encode(windows)
    np.testing.assert_allclose(found.vectors, wanted.vectors, atol=1e-5)
    np.testing.assert_allclose(found.tags, wanted.tags, atol=1e-5)


def test_more_windows_than_the_largest_batch_come_back_in_order(artifact: Artifact) -> None:
    encoder = TorchEncoder(artifact, "cpu")
    windows = sounds(0.2, BATCH_SIZES[-1] + 3)
    alone = np.concatenate([encoder.encode(window[None]).vectors for window in windows])
    np.testing.assert_allclose(encoder.encode(windows).vectors, alone, atol=1e-5)


@pytest.mark.parametrize(("precision", "bytes_each"), [("fp32", 4), ("bf16", 2), ("fp16", 2)])
def test_weights_are_held_in_the_precision_but_the_norms(
    artifact: Artifact, precision: str, bytes_each: int, tmp_path: Path
) -> None:
    encoder = TorchEncoder(artifact, "cpu", precision)
    held = {name: weight.element_size() for name, weight in encoder.network.named_parameters()}
    exact = {name for name, size in held.items() if size == 4}
    if precision != "fp32":
        assert all("norm" in name or name.startswith(("embedding.", "tags.")) for name in exact)
    assert {size for name, size in held.items() if name not in exact} <= {bytes_each}


def test_sound_reaches_the_network_as_fp32_in_every_precision(artifact: Artifact) -> None:
    sound = torch.from_numpy(sounds(1, 1))
    exact, lower = (TorchEncoder(artifact, "cpu", precision).network.log_mel(sound) for precision in ("fp32", "bf16"))
    assert torch.equal(exact, lower)
    assert lower.dtype == torch.float32
