"""Small ONNX models for the tests of programs: a graph from nodes, inputs by name and number of columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

node = helper.make_node


def model(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, int | None] | None = None,
    outputs: Mapping[str, int] | Sequence[str] = ("y",),
    constants: Mapping[str, Any] | None = None,
    *,
    opset: int = 17,
    ml_opset: int = 3,
) -> ModelProto:
    """A model of floats; an input with None columns is a vector [N]."""
    tensors = [numpy_helper.from_array(_array(value), name) for name, value in (constants or {}).items()]
    kinds = outputs if isinstance(outputs, Mapping) else dict.fromkeys(outputs, TensorProto.FLOAT)
    graph = helper.make_graph(
        list(nodes),
        "test",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"] if width is None else ["N", width])
            for name, width in (inputs or {"x": 3}).items()
        ],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in kinds.items()],
        tensors,
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", ml_opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def data(made: ModelProto) -> bytes:
    """The serialised model."""
    return bytes(made.SerializeToString())


def _array(value: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.kind == "f" else array
