"""What runs an artifact, and how its 8-bit models are made."""

import logging
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from services.embedder import muq, precision, runtimes
from services.embedder.artifact import Artifact
from services.embedder.errors import EncoderUnavailable, PrecisionRefused
from services.embedder.mini import build_model
from services.embedder.musicnn_wheel import import_wheel
from services.embedder.onnx_graph import Graph
from services.embedder.onnx_quantise import quantise_dynamic
from services.embedder.runtimes import Serving, run_artifact, warm_up
from tests.fakes.encoder import MANIFEST, FakeEncoder
from tests.fakes.mini import FULL, TINY, write_mini


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return write_mini(tmp_path_factory.mktemp("artifacts") / "mini", FULL)


@pytest.fixture(scope="module")
def musicnn(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return import_wheel(tmp_path_factory.mktemp("artifacts") / "musicnn-msd")


@pytest.mark.parametrize(
    ("runtime", "precision", "where"),
    [
        ("onnxruntime", "bf16", "onnxruntime on cpu does not compute in: use auto, fp32, int8-dynamic, int8-static"),
        ("torch", "int8-dynamic", "torch on cpu does not compute in: use auto, fp32, bf16, fp16"),
    ],
)
def test_precision_of_the_other_runtime_is_refused(
    artifact: Artifact, runtime: str, precision: str, where: str
) -> None:
    with pytest.raises(PrecisionRefused, match=where) as caught:
        run_artifact(artifact, Serving(runtime, precision))
    assert caught.value.reason == "PRECISION_UNAVAILABLE"


def test_runtime_that_does_not_run_an_architecture_is_refused(musicnn: Artifact) -> None:
    with pytest.raises(EncoderUnavailable, match="EMBEDDER_RUNTIME is torch, musicnn/1 runs on onnxruntime"):
        run_artifact(musicnn, Serving("torch"))


@pytest.mark.parametrize("precision", ["int8-dynamic", "int8-static"])
def test_eight_bits_are_refused_for_musicnn_with_what_they_cost(musicnn: Artifact, precision: str) -> None:
    with pytest.raises(PrecisionRefused, match=r"musicnn-msd then has a cosine of 0\.9\d+ to fp32") as caught:
        run_artifact(musicnn, Serving("onnxruntime", precision, threads=1))
    assert caught.value.reason == "PRECISION_REFUSED"


def test_auto_serves_musicnn_in_fp32(musicnn: Artifact) -> None:
    assert run_artifact(musicnn, Serving("auto", "auto", threads=1)).precision == "fp32"


@pytest.mark.parametrize(
    ("flags", "served"),
    [
        ("flags : fpu avx512f avx512_vnni", "int8"),
        ("flags : avx2 avx_vnni", "int8"),
        ("flags : avx2 avx_vnni_x", "fp32"),
    ],
)
def test_auto_takes_int8_where_the_processor_multiplies_bytes(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, served: str
) -> None:
    (tmp_path / "cpuinfo").write_text(flags)
    monkeypatch.setattr(runtimes, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(precision, "LOWEST_COSINE", 0.9)  # a network without training is not robust
    assert run_artifact(artifact, Serving("onnxruntime", "auto", threads=1)).precision == served


def test_auto_is_fp32_where_the_processor_tells_nothing(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "_CPU_INFO", tmp_path / "none")
    assert run_artifact(artifact, Serving("onnxruntime", "auto", threads=1)).precision == "fp32"


def test_auto_is_onnx_runtime_without_a_gpu(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muq, "is_gpu_at_hand", lambda: False)
    assert run_artifact(artifact, Serving()).runtime == "onnxruntime"


def test_all_products_of_stem_and_layers_run_in_eight_bits_and_no_other(artifact: Artifact) -> None:
    model = build_model(artifact)
    quantised = onnx.ModelProto.FromString(quantise_dynamic(model.graph))
    kinds = [node.op_type for node in quantised.graph.node]
    # Ten in each of six layers, one in the stem. What is left: eight of the mel filters, two of each attention, and the
    # heads.
    assert (kinds.count("MatMulInteger"), kinds.count("MatMul"), kinds.count("Gemm")) == (61, 22, 0)
    assert kinds.count("Conv") == 12


def test_quantiser_says_nothing_of_tensors_in_the_log(artifact: Artifact, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    quantise_dynamic(build_model(artifact).graph)
    logging.info("others are heard")
    assert [record.getMessage() for record in caplog.records] == ["others are heard"]


def test_model_that_no_message_holds_is_refused() -> None:
    graph = Graph()
    large = np.broadcast_to(np.float32(0), (1 << 15, 1 << 14))  # 2 GiB, of which four bytes exist
    graph._bytes += large.nbytes
    with pytest.raises(EncoderUnavailable, match="set EMBEDDER_RUNTIME to torch"):
        graph.serialise("large", {}, {})


@pytest.mark.parametrize(
    ("device", "largest_s", "sizes"),
    [
        ("cpu", 80, [1, 8, 1]),
        ("cpu", 5, [1, 1, 1]),
        ("cpu", 36_000, [1, 32, 1]),
        ("cuda", 80, [1, 2, 4, 8, 8, 1]),
        ("cuda", 59, [1, 2, 4, 5, 1]),
    ],
)
def test_warm_up_runs_the_shapes_that_are_served(device: str, largest_s: float, sizes: list[int]) -> None:
    encoder = FakeEncoder(manifest=MANIFEST, device=device)
    warm_up(encoder, largest_s)
    assert [len(batch) for batch in encoder.batches] == sizes


@pytest.mark.parametrize(("runtime", "sizes"), [("torch", [1, 2, 4, 5, 1]), ("onnxruntime", [1, 5, 1])])
def test_warm_up_of_a_compiled_network_runs_each_size(runtime: str, sizes: list[int]) -> None:
    encoder = FakeEncoder(manifest=MANIFEST, runtime=runtime)
    warm_up(encoder, 59, is_compiled=True)
    assert [len(batch) for batch in encoder.batches] == sizes


@pytest.mark.parametrize("served", [Serving("torch", "bf16"), Serving("onnxruntime", "int8-dynamic", 1)])
def test_short_windows_are_probed_and_warmed_up(
    tmp_path: Path, served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "LOWEST_COSINE", -1.0)  # a network without training is not robust
    artifact = write_mini(tmp_path / "brief", TINY, window_seconds=0.1, hop_seconds=0.1)
    encoder = run_artifact(artifact, served)
    warm_up(encoder, 1)
    assert encoder.precision == served.precision.partition("-")[0]


def test_compiling_without_a_compiler_says_what_to_install(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(EncoderUnavailable, match=r"EMBEDDER_TORCH_COMPILE is on, .* apt-get install g\+\+"):
        run_artifact(artifact, Serving("torch", is_compiled=True))
