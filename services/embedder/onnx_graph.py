"""Collects the nodes and constants of an ONNX graph and serialises them; knows no network.

A model is one protobuf message, which ends at 2 GiB: 0.5·10⁹ numbers in float32, half again as many as MuQ-large has.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from services.embedder.errors import EncoderUnavailable

Float32Array = NDArray[np.float32]

# Names of the nodes that may be computed in 8 bits begin so.
EIGHT_BITS = "eight_bits_"

_OPSET = 17
_IR_VERSION = 8
_LARGEST_BYTES = 2**31 - 2**20


class Graph:
    """A graph that grows; every method that adds something returns its name."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._bytes = 0

    def constant(self, value: NDArray[np.float32] | NDArray[np.int64]) -> str:
        """Add a tensor."""
        name = f"constant_{len(self._constants)}"
        self._bytes += value.nbytes
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def integers(self, *values: int) -> str:
        """Add a list of int64, as shapes and axes are."""
        return self.constant(np.array(values, np.int64))

    def add(self, kind: str, *inputs: str, **attributes: int | float | list[int]) -> str:
        """Add a node of one output."""
        return self.add_many(kind, *inputs, outputs=1, **attributes)[0]

    def add_many(self, kind: str, *inputs: str, outputs: int, **attributes: int | float | list[int]) -> list[str]:
        """Add a node of several outputs and return all their names."""
        names = [f"{kind.lower()}_{len(self._nodes)}_{number}" for number in range(outputs)]
        node = helper.make_node(kind, inputs, names, name=names[0])
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self._nodes.append(node)
        return names

    def allow_eight_bits(self, x: str) -> str:
        """Say that the node which was added last, and made `x`, may be computed in 8 bits."""
        assert self._nodes[-1].output[0] == x
        self._nodes[-1].name = EIGHT_BITS + x
        return x

    def affine(self, x: str, scale: Float32Array, shift: Float32Array) -> str:
        """Add x · scale + shift."""
        return self.add("Add", self.add("Mul", x, self.constant(scale)), self.constant(shift))

    def name_output(self, x: str, name: str) -> None:
        """Make a node's output one of the graph's."""
        self._nodes.append(helper.make_node("Identity", [x], [name]))

    def serialise(
        self, name: str, inputs: Mapping[str, list[str | int]], outputs: Mapping[str, list[str | int]]
    ) -> bytes:
        """Return the ONNX model.

        Args:
            name: Of the graph.
            inputs: Shapes of its float32 inputs by name; a string is a length that is not fixed.
            outputs: Shapes of its float32 outputs.

        Raises:
            EncoderUnavailable: The constants do not fit into one message.
        """
        if self._bytes > _LARGEST_BYTES:
            raise EncoderUnavailable(
                f"{name} has {self._bytes} bytes of weights, an ONNX model holds {_LARGEST_BYTES}:"
                " set EMBEDDER_RUNTIME to torch, which needs pip install 'museed[muq]'",
                field="EMBEDDER_RUNTIME",
                value=self._bytes,
                limit=_LARGEST_BYTES,
            )

        def values(shapes: Mapping[str, list[str | int]]) -> list[onnx.ValueInfoProto]:
            return [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in shapes.items()]

        model = helper.make_model(
            helper.make_graph(self._nodes, name, values(inputs), values(outputs), self._constants),
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
        )
        serialised: bytes = model.SerializeToString()
        return serialised
