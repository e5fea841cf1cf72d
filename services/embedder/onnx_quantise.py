"""Makes 8-bit models of fp32 ones by ONNX Runtime's own quantiser; judges none.

Products whose nodes are marked (`Graph.allow_eight_bits`) get weights of 8 bits with one scale a tensor. A scale for
each channel is no nearer to fp32 in the networks here and takes four times as long to make. Weights use 7 of their 8
bits: without VNNI a processor adds pairs of products in 16 bits, which full weights overflow.
"""

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from onnxruntime import quantization

from services.embedder.model import Float32Array
from services.embedder.onnx_graph import EIGHT_BITS

# Without types for every tensor the quantiser cannot find those of some outputs; all here are float32.
_OPTIONS = {"DefaultTensorType": onnx.TensorProto.FLOAT}
# What the quantiser's own preparation leaves behind; without it every call warns, and sets up logging to do so.
_PREPARED = ("onnx.quant.pre_process", "onnxruntime.quant")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what the quantiser says to the root logger of every tensor that stays in fp32."""
    root = logging.getLogger()

    def is_ours(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Quantization parameters for tensor")

    root.addFilter(is_ours)
    try:
        yield
    finally:
        root.removeFilter(is_ours)


def quantise_dynamic(model: bytes) -> bytes:
    """Return a model that finds the scale of each input anew for each run.

    A row then depends on the rows of its run, so a run must be one window.
    """
    proto = _prepared(model)
    with _quiet(), tempfile.TemporaryDirectory(prefix="museed-int8-") as folder:
        path = Path(folder) / "int8.onnx"
        quantization.quantize_dynamic(
            proto,
            path,
            nodes_to_quantize=_marked(proto),
            op_types_to_quantize=sorted(_kinds(proto)),
            # Convolutions know no signed weights.
            weight_type=quantization.QuantType.QUInt8 if "Conv" in _kinds(proto) else quantization.QuantType.QInt8,
            reduce_range=True,
            extra_options=dict(_OPTIONS),
        )
        return path.read_bytes()


def quantise_static(model: bytes, name: str, inputs: Sequence[Float32Array]) -> bytes:
    """Return a model whose scales are those that calibration inputs had.

    Args:
        model: In fp32.
        name: Of its input.
        inputs: What the scales are taken from, each as a run gets it; lowest and highest value count.
    """
    proto = _prepared(model)
    with _quiet(), tempfile.TemporaryDirectory(prefix="museed-int8-") as folder:
        path = Path(folder) / "int8.onnx"
        quantization.quantize_static(
            proto,
            path,
            _Inputs(name, inputs),
            quant_format=quantization.QuantFormat.QDQ,
            nodes_to_quantize=_marked(proto),
            op_types_to_quantize=sorted(_kinds(proto)),
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            reduce_range=True,
            extra_options=dict(_OPTIONS),
        )
        return path.read_bytes()


class _Inputs(quantization.CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime ships no types
    def __init__(self, name: str, inputs: Sequence[Float32Array]) -> None:
        self._name = name
        self._left = iter(inputs)

    def get_next(self) -> dict[str, Float32Array] | None:
        found = next(self._left, None)
        return None if found is None else {self._name: found}


def _prepared(model: bytes) -> onnx.ModelProto:
    proto = onnx.ModelProto.FromString(model)
    onnx.helper.set_model_props(proto, dict([_PREPARED]))
    return proto


def _marked(proto: onnx.ModelProto) -> list[str]:
    return [node.name for node in proto.graph.node if node.name.startswith(EIGHT_BITS)]


def _kinds(proto: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in proto.graph.node if node.name.startswith(EIGHT_BITS)}
