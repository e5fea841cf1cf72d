"""Fixed shapes as a GPU runs them, on the CPU, where nothing is recorded; which of them are compiled."""

import shutil
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.embedder import muq, precision, runtimes, torch_encoder
from services.embedder.artifact import Artifact
from services.embedder.precision import settle
from services.embedder.runtimes import Serving, run_artifact, warm_up
from services.embedder.torch_encoder import BATCH_SIZES, FixedShapes, TorchEncoder
from tests.fakes.mini import TINY, sounds, write_mini

FULL = 12
WINDOW = 24_000


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Puts something that compiles nothing in the place of torch's compiler, and gives the shapes that it would see."""
    shapes: list[tuple[int, ...]] = []

    def compile_nothing(network: Callable[[Tensor], object], *, dynamic: bool) -> Callable[[Tensor], object]:
        assert not dynamic

        def run(sound: Tensor) -> object:
            shapes.append(tuple(sound.shape))
            return network(sound)

        return run

    monkeypatch.setattr(torch, "compile", compile_nothing)
    monkeypatch.setattr(runtimes, "_check_compiler", lambda: None)
    return shapes


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return write_mini(tmp_path_factory.mktemp("artifacts") / "tiny", TINY)


@pytest.fixture(scope="module")
def brief(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Return a network whose full windows are of one second."""
    return write_mini(tmp_path_factory.mktemp("artifacts") / "brief", TINY, window_seconds=1.0, hop_seconds=1.0)


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


def test_without_a_gpu_nothing_is_filled_up(brief: Artifact) -> None:
    encoder = TorchEncoder(brief, "cpu")
    shapes: list[tuple[int, ...]] = []
    encoder.network.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    encoder.encode(sounds(1, 3))
    assert shapes == [(3, WINDOW)]


def test_what_is_not_filled_up_has_a_function_of_its_own() -> None:
    function, others = Counted(), Counted()
    shapes = FixedShapes(function, "cpu", FULL, is_padded=True, others=others)
    for windows in (rows(3), rows(3, FULL - 1), rows(1, FULL + 1)):
        np.testing.assert_allclose(shapes.run(windows)[0][:, 0], windows.sum(axis=1), rtol=1e-5, atol=1e-6)
    assert (function.shapes, others.shapes) == ([(4, FULL)], [(3, FULL - 1), (1, FULL + 1)])


def test_full_windows_are_read_wherever_they_lie() -> None:
    windows = rows(6)
    windows.flags.writeable = False
    shapes = FixedShapes(Counted(), "cpu", FULL, is_padded=True)
    for view in (windows, windows[::2], windows[::-1]):
        np.testing.assert_allclose(shapes.run(view)[0][:, 0], view.sum(axis=1), rtol=1e-5, atol=1e-6)


def test_recorded_shapes_hold_neither_themselves_nor_their_function() -> None:
    function = Counted()
    shapes = FixedShapes(function, "cpu", FULL, is_padded=True)
    shapes.run(rows(3))
    gone = weakref.ref(shapes), weakref.ref(function)
    del shapes, function
    # At once, and not when Python looks for cycles: until then their weights stay on the GPU.
    assert [reference() for reference in gone] == [None, None]


def test_full_windows_at_few_sizes_are_compiled_and_nothing_else(
    brief: Artifact, compiled: list[tuple[int, ...]]
) -> None:
    encoder, plain = TorchEncoder(brief, "cpu", is_compiled=True), TorchEncoder(brief, "cpu")
    for windows in (sounds(1, 1), sounds(1, 3), sounds(0.43, 3), sounds(0.2, 5), sounds(1, 2)):
        found, wanted = encoder.encode(windows), plain.encode(windows)
        np.testing.assert_allclose(found.vectors, wanted.vectors, atol=1e-5)
        np.testing.assert_allclose(found.tags, wanted.tags, atol=1e-5)
    assert compiled == [(1, WINDOW), (4, WINDOW), (2, WINDOW)]


def test_serving_compiles_nothing_that_warm_up_has_not(brief: Artifact, compiled: list[tuple[int, ...]]) -> None:
    encoder = run_artifact(brief, Serving("torch", is_compiled=True))
    warm_up(encoder, 5.9, is_compiled=True)  # five windows at most
    assert set(compiled) == {(size, WINDOW) for size in (1, 2, 4, 8)}
    before = len(compiled)
    for count in range(1, 6):
        encoder.encode(sounds(1, count))
        encoder.encode(sounds(0.1 + 0.1 * count, count))
    assert set(compiled[before:]) == set(compiled[:before])


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # the compiler warns of its own imports, and of complex numbers
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiler_has_nothing_to_do_after_the_warm_up(
    brief: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.compiler.reset()
    encoder, plain = TorchEncoder(brief, "cpu", is_compiled=True), TorchEncoder(brief, "cpu")
    warm_up(encoder, 2, is_compiled=True)
    with torch.compiler.set_stance("fail_on_recompile"):
        for windows in (sounds(1, 1), sounds(1, 2), sounds(0.43, 2), sounds(0.2, 1)):
            np.testing.assert_allclose(encoder.encode(windows).vectors, plain.encode(windows).vectors, atol=1e-4)
    torch.compiler.reset()


@pytest.mark.parametrize(("lowest", "served"), [(-1.0, "bf16"), (1.1, "fp32")])
def test_reference_is_neither_compiled_nor_kept(
    brief: Artifact,
    compiled: list[tuple[int, ...]],
    monkeypatch: pytest.MonkeyPatch,
    lowest: float,
    served: str,
) -> None:
    made: list[tuple[weakref.ref[FixedShapes], str]] = []

    class Noted(TorchEncoder):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._shapes._is_padded = True
            made.append((weakref.ref(self._shapes), f"{self.precision} {options.get('is_compiled', False)}"))

    monkeypatch.setattr(torch_encoder, "TorchEncoder", Noted)
    monkeypatch.setattr(precision, "LOWEST_COSINE", lowest)
    monkeypatch.setattr(muq, "is_gpu_at_hand", lambda: False)
    # What `auto` does on a GPU.
    maker = runtimes._maker(brief, "torch", Serving("torch", "auto", is_compiled=True))
    encoder = settle(maker.make, "auto", ("bf16",), maker.make_reference)
    assert encoder.precision == served
    wanted = ["fp32 False", "bf16 True"] + (["fp32 True"] if served == "fp32" else [])
    assert [told for _, told in made] == wanted
    assert [reference() is not None for reference, _ in made] == [False] * (len(made) - 1) + [True]
    assert compiled == [(8, WINDOW)]  # the probe's six full windows, of bf16


def test_served_encoder_is_alone_in_memory(brief: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[FixedShapes]] = []

    class Padded(FixedShapes):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._is_padded = True
            made.append(weakref.ref(self))

    monkeypatch.setattr(torch_encoder, "FixedShapes", Padded)
    monkeypatch.setattr(precision, "LOWEST_COSINE", -1.0)  # a network without training is not robust
    encoder = run_artifact(brief, Serving("torch", "bf16"))
    assert encoder.precision == "bf16"
    assert [reference() is not None for reference in made] == [False, True]


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
