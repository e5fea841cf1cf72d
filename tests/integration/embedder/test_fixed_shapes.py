"""museed-mini in torch at every size of batch: recorded and replayed on a GPU, filled up in the same way on a CPU."""

import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from services.embedder import torch_encoder
from services.embedder.artifact import open_artifact
from services.embedder.choice import MINI_FOLDER
from services.embedder.model import Encoded
from services.embedder.precision import LOWEST_COSINE, lowest_cosine
from services.embedder.runtimes import Serving, run_artifact
from services.embedder.torch_encoder import BATCH_SIZES, FixedShapes, TorchEncoder
from tests.fakes.mini import sounds

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
# On a CPU a window takes 0.1 s and more, so shorter ones and a few sizes stand for all.
SIZES = {"cpu": (1, 2, 3, 4), "cuda": (*BATCH_SIZES, 3, 5, 17, 31, 33, 40)}
SECONDS = {"cpu": 2.0, "cuda": 10.0}
ON = [
    pytest.param(("cpu", "fp32"), id="cpu-fp32"),
    pytest.param(("cpu", "bf16"), id="cpu-bf16"),
    pytest.param(("cuda", "fp32"), id="cuda-fp32", marks=GPU),
    pytest.param(("cuda", "bf16"), id="cuda-bf16", marks=GPU),
    pytest.param(("cuda", "fp16"), id="cuda-fp16", marks=GPU),
]


class Case:
    """An encoder whose batches are filled up, music, and what each window alone is."""

    def __init__(self, device: str, precision: str) -> None:
        self.encoder = padded(device, precision)
        self.sizes = SIZES[device]
        self.windows = sounds(SECONDS[device], max(self.sizes), seed=11)
        # By another encoder: what is recorded for one window is then no part of what is compared.
        plain = TorchEncoder(open_artifact(MINI_FOLDER), device, precision)
        alone = [plain.encode(window[None]) for window in self.windows]
        self.alone = Encoded(*(np.concatenate([getattr(one, part) for one in alone]) for part in ("vectors", "tags")))

    def check(self, encoded: Encoded, rows: NDArray[np.intp]) -> None:
        assert len(encoded.vectors) == len(rows)
        assert lowest_cosine(encoded.vectors, self.alone.vectors[rows]) >= 1 - 1e-4
        np.testing.assert_allclose(encoded.tags, self.alone.tags[rows], atol=5e-3)


def padded(device: str, precision: str) -> TorchEncoder:
    encoder = TorchEncoder(open_artifact(MINI_FOLDER), device, precision)
    encoder._shapes._is_padded = True
    encoder._shapes._full_samples = round(SECONDS[device] * encoder.manifest.sample_rate_hz)
    return encoder


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    # torch's threads wait for each other by spinning, which on a busy machine takes many times as long.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=ON)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


def test_window_has_the_same_vector_in_a_batch_of_every_size(case: Case) -> None:
    random = np.random.default_rng(0)
    for size in case.sizes:
        rows = random.permutation(len(case.windows))[:size]
        case.check(case.encoder.encode(case.windows[rows]), rows)


def test_sizes_may_come_in_any_order_and_again(case: Case) -> None:
    random = np.random.default_rng(1)
    rounds = 1 if case.encoder.device == "cpu" else 4
    for size in random.permutation(case.sizes * rounds):
        rows = random.permutation(len(case.windows))[:size]
        case.check(case.encoder.encode(case.windows[rows]), rows)
        part = case.windows[rows[:1], :30_001]  # which is never recorded, and comes between
        assert np.isfinite(case.encoder.encode(part).vectors).all()


def test_what_was_recorded_in_one_thread_is_replayed_in_another(case: Case) -> None:
    rows = np.arange(max(case.sizes[:3]))
    here = case.encoder.encode(case.windows[rows])
    with ThreadPoolExecutor(1) as executor:
        for _ in range(2):
            elsewhere = executor.submit(case.encoder.encode, case.windows[rows[::-1]]).result()
            case.check(elsewhere, rows[::-1])
    case.check(here, rows)  # nothing of it lies where the other thread wrote


def test_what_another_thread_recorded_is_replayed_here(case: Case) -> None:
    encoder, rows = padded(case.encoder.device, case.encoder.precision), np.arange(2)
    with ThreadPoolExecutor(1) as executor:
        case.check(executor.submit(encoder.encode, case.windows[rows]).result(), rows)
    case.check(encoder.encode(case.windows[rows]), rows)


@GPU
def test_gpu_holds_the_served_precision_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[FixedShapes]] = []

    class Noted(FixedShapes):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(weakref.ref(self))

    monkeypatch.setattr(torch_encoder, "FixedShapes", Noted)
    served = run_artifact(open_artifact(MINI_FOLDER), Serving("torch", "auto"))
    assert served.precision == "bf16"
    assert [reference() is not None for reference in made] == [False, True]


@GPU
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_is_near_fp32_at_every_size(precision: str) -> None:
    exact, lower = Case("cuda", "fp32"), padded("cuda", precision)
    for size in exact.sizes:
        vectors = lower.encode(exact.windows[:size]).vectors
        assert lowest_cosine(vectors, exact.alone.vectors[:size]) >= LOWEST_COSINE
